#include "bench/load.h"

#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

/* More than this many processors at work for others, and nothing is judged. A bar is a
 * matter of a few percent. */
static const double TOLERATED = 0.05, TOLERATED_STOLEN = 0.1;
/* Processor time is counted in ticks: what the host takes cannot be told of less. */
static const double SHORT = 2;

enum { TASKS_MAX = 1 << 16, TOLD = 3 };

static double seconds_of(double ticks)
{
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* All processors' busy seconds since the boot, and those the host took. */
static void read_processors(double *busy, double *stolen, int *running)
{
    FILE *f = fopen("/proc/stat", "r");
    double user = 0, nice = 0, sys = 0, idle, wait, irq = 0, soft = 0, steal = 0;
    char line[512];

    *running = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "cpu ", 4) == 0)
            (void)sscanf(line + 4, "%lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &sys,
                         &idle, &wait, &irq, &soft, &steal);
        (void)sscanf(line, "procs_running %d", running);
    }
    if (f)
        fclose(f);
    *busy = seconds_of(user + nice + sys + irq + soft);
    *stolen = seconds_of(steal);
}

static double used(int who)
{
    struct rusage r;

    if (getrusage(who, &r) != 0)
        return 0;
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double own_seconds(void)
{
    return used(RUSAGE_SELF) + used(RUSAGE_CHILDREN);
}

/* Name, state and time of a task from its stat file; the name is in brackets and may hold
 * anything. */
static bool read_task(struct cf_load_task *t, char *state, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512], *open, *close;
    double user, sys;
    bool ok = false;

    if (f && fgets(line, sizeof line, f) && (open = strchr(line, '(')) &&
        (close = strrchr(line, ')')) &&
        sscanf(close + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lf %lf", state,
               &user, &sys) == 3) {
        *close = '\0';
        snprintf(t->name, sizeof t->name, "%.*s", (int)sizeof t->name - 1, open + 1);
        for (char *c = t->name; *c; c++)
            *c = isalnum((unsigned char)*c) || strchr("-_.", *c) ? *c : '?';
        t->seconds = seconds_of(user + sys);
        ok = true;
    }
    if (f)
        fclose(f);
    return ok;
}

/* Threads of this process that could run. */
static int own_runnable(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *e;
    int n = 0;

    while (dir && (e = readdir(dir))) {
        struct cf_load_task t;
        char path[300], state;

        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        n += isdigit((unsigned char)e->d_name[0]) && read_task(&t, &state, path) &&
             state == 'R';
    }
    if (dir)
        closedir(dir);
    return n;
}

/* All processes but this one. */
static int list_tasks(struct cf_load_task *task, int room)
{
    DIR *dir = opendir("/proc");
    const struct dirent *e;
    int n = 0;

    while (dir && n < room && (e = readdir(dir))) {
        char path[300], state;
        int pid = atoi(e->d_name);

        if (pid <= 0 || pid == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        task[n].pid = pid;
        n += read_task(&task[n], &state, path);
    }
    if (dir)
        closedir(dir);
    return n;
}

enum cf_status cf_load_start(struct cf_load *load, struct cf_error *err)
{
    int policy = sched_getscheduler(0), running;

    *load = (struct cf_load){.real_time = policy == SCHED_FIFO || policy == SCHED_RR};
    load->task = cf_alloc(TASKS_MAX, sizeof *load->task, err);
    if (!load->task)
        return CF_ENOMEM;
    load->n_task = list_tasks(load->task, TASKS_MAX);
    load->start = cf_clock();
    load->own = own_seconds();
    read_processors(&load->all, &load->stolen, &running);
    return CF_OK;
}

void cf_load_end(struct cf_load *load)
{
    cf_free(load->task);
    load->task = NULL;
}

void cf_load_look(struct cf_load *load)
{
    double busy, stolen;
    int running;

    read_processors(&busy, &stolen, &running);
    running -= own_runnable();
    load->runnable += running > 0 ? running : 0;
    load->looks++;
}

static int by_seconds(const void *a, const void *b)
{
    const struct cf_load_task *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

/* The busiest since the beginning; what has ended meanwhile is nobody's. */
static void name_them(struct cf_load_verdict *v, const struct cf_load *load, double wall)
{
    struct cf_load_task *task = cf_alloc(TASKS_MAX, sizeof *task, NULL);
    int n = task ? list_tasks(task, TASKS_MAX) : 0;
    size_t at = 0;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < load->n_task; j++)
            if (load->task[j].pid == task[i].pid)
                task[i].seconds -= load->task[j].seconds;
    if (n)
        qsort(task, (size_t)n, sizeof *task, by_seconds);
    for (int i = 0; i < n && i < TOLD && task[i].seconds > 0.01 * wall; i++)
        at += (size_t)snprintf(v->who + at, sizeof v->who - at, "%s%s: %.2f",
                               at ? ", " : "", task[i].name, task[i].seconds / wall);
    cf_free(task);
}

void cf_load_judge(struct cf_load_verdict *v, const struct cf_load *load)
{
    double wall = cf_clock() - load->start, busy, stolen;
    int running;

    *v = (struct cf_load_verdict){0};
    read_processors(&busy, &stolen, &running);
    v->others = (busy - load->all - (own_seconds() - load->own)) / wall;
    v->others = v->others > 0 ? v->others : 0;
    v->stolen = (stolen - load->stolen) / wall;
    v->runnable = load->looks ? load->runnable / load->looks : 0;
    v->quiet = (load->real_time || v->others <= TOLERATED) &&
               (wall < SHORT || v->stolen <= TOLERATED_STOLEN);
    name_them(v, load, wall);
}
