#include "pipeline/crew.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/stop.h"

struct crew {
    const struct cf_crew_options *o;
    struct cf_crew_share *share;
    pid_t pid[CF_CREW_MAX]; /* 0: none */
    int running, deaths;    /* deaths in a row */
    long finished;          /* at the last death */
    sigset_t was;           /* signals blocked before */
    cpu_set_t cpus;
    struct cf_crew_result result;
};

/* ---- shared numbers ---- */

static void fold(struct cf_crew_slot *to, struct cf_crew_slot *from)
{
    atomic_fetch_add(&to->done, atomic_exchange(&from->done, 0));
    atomic_fetch_add(&to->failed, atomic_exchange(&from->failed, 0));
    atomic_fetch_add(&to->released, atomic_exchange(&from->released, 0));
    for (int i = 0; i < CF_NSTAGE; i++)
        atomic_fetch_add(&to->stage_us[i], atomic_exchange(&from->stage_us[i], 0));
}

static void add(struct cf_crew_sum *sum, struct cf_crew_slot *s)
{
    sum->done += atomic_load(&s->done);
    sum->failed += atomic_load(&s->failed);
    sum->released += atomic_load(&s->released);
    for (int i = 0; i < CF_NSTAGE; i++)
        sum->stage_ms[i] += (double)atomic_load(&s->stage_us[i]) * 1e-3;
}

struct cf_crew_sum cf_crew_sum(struct cf_crew_share *share)
{
    struct cf_crew_sum sum = {0};

    add(&sum, &share->gone);
    for (int i = 0; i < CF_CREW_MAX; i++)
        add(&sum, &share->slot[i]);
    return sum;
}

int cf_crew_reserve(struct cf_crew_share *share, int index, int want, long max)
{
    long had = atomic_load(&share->reserved), n;

    do {
        n = max - had < want ? max - had : want;
        if (n <= 0)
            return 0;
    } while (!atomic_compare_exchange_weak(&share->reserved, &had, had + n));
    atomic_fetch_add(&share->slot[index].reserved, n);
    return (int)n;
}

void cf_crew_unreserve(struct cf_crew_share *share, int index, int n)
{
    atomic_fetch_sub(&share->slot[index].reserved, n);
    atomic_fetch_sub(&share->reserved, n);
}

/* A child is gone: others may do what it had begun. */
static void give_up(struct cf_crew_share *share, int index)
{
    long reserved = atomic_exchange(&share->slot[index].reserved, 0),
         ended = atomic_exchange(&share->slot[index].ended, 0);

    if (reserved > ended)
        atomic_fetch_sub(&share->reserved, reserved - ended);
}

int cf_crew_worse(int a, int b)
{
    bool error_a = a > 1 && a != 75, error_b = b > 1 && b != 75;

    if (error_a || error_b)
        return error_a ? a : b;
    return a > b ? a : b;
}

/* ---- children ---- */

void cf_crew_slice(const cpu_set_t *all, int index, int n, cpu_set_t *part)
{
    int count = CPU_COUNT(all), seen = 0;

    if (count < n) {
        *part = *all;
        return;
    }
    CPU_ZERO(part);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all)) {
            if (seen >= count * index / n && seen < count * (index + 1) / n)
                CPU_SET(cpu, part);
            seen++;
        }
}

static void waited_for(sigset_t *set)
{
    cf_stop_signals(set);
    sigaddset(set, SIGCHLD);
}

/* Signals stay blocked: the work begins by waiting for them in a thread of its own. */
static void be_child(struct crew *c, int index, pid_t parent)
{
    sigset_t chld;
    cpu_set_t part;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* dead before that */
        atomic_store(&c->share->stop, SIGTERM);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &chld, NULL);
    cf_crew_slice(&c->cpus, index, c->o->workers, &part);
    sched_setaffinity(0, sizeof part, &part);
    fflush(NULL);
    index = c->o->work(c->o->ctx, c->share, index);
    fflush(NULL);
    _exit(index);
}

static enum cf_status start(struct crew *c, int index, struct cf_error *err)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0)
        be_child(c, index, parent);
    if (pid < 0)
        return cf_fail_errno(err, errno, "worker %d of %d", index + 1, c->o->workers);
    c->pid[index] = pid;
    c->running++;
    return CF_OK;
}

static void stop(struct crew *c, int sig)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&c->share->stop, &none, sig) &&
        (sig == SIGTERM || sig == SIGINT))
        atomic_store(&c->share->drop, 1);
}

static void failed(struct crew *c, int status, const char *why)
{
    cf_log(c->o->log, CF_LOG_ERROR, "stopped", "code=%s error=\"%s\"",
           cf_status_name(status == 71 ? CF_ENOMEM : CF_EBUG), why);
    c->result.status = cf_crew_worse(c->result.status, status);
    if (!atomic_load(&c->share->stop))
        stop(c, SIGTERM);
}

/* In the place of one that died: unless there is no point in it. */
static void replace(struct crew *c, int index)
{
    struct cf_crew_sum sum = cf_crew_sum(c->share);
    struct cf_error err = {0};
    char why[160];

    if (atomic_load(&c->share->stop)) {
        c->result.orphans = true;
        c->result.status = cf_crew_worse(c->result.status, 75);
        return;
    }
    c->deaths = sum.done + sum.failed > c->finished ? 1 : c->deaths + 1;
    c->finished = sum.done + sum.failed;
    if (c->deaths > c->o->deaths_max) {
        c->result.orphans = true;
        snprintf(why, sizeof why,
                 "%d workers in a row died and no job was finished in between: look at "
                 "their last words above",
                 c->deaths);
        failed(c, 70, why);
    } else if (start(c, index, &err) != CF_OK) {
        c->result.orphans = true;
        failed(c, 71, err.msg);
    }
}

/* Statuses that the work gives: it ended by itself and left nothing behind. */
static bool ended_in_order(int how)
{
    int status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;

    return status == 0 || status == 1 || (status >= 64 && status <= 78);
}

static void ended(struct crew *c, int index, int how)
{
    struct cf_crew_slot *slot = &c->share->slot[index];
    pid_t pid = c->pid[index];

    c->pid[index] = 0;
    c->running--;
    give_up(c->share, index);
    fold(&c->share->gone, slot);
    if (ended_in_order(how)) {
        c->result.status = cf_crew_worse(c->result.status, WEXITSTATUS(how));
        return;
    }
    cf_log(c->o->log, CF_LOG_WARN, "worker died", "pid=%d index=%d %s=%d", (int)pid,
           index, WIFSIGNALED(how) ? "signal" : "status",
           WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
    replace(c, index);
}

static void look_after(struct crew *c)
{
    int how;

    for (int i = 0; i < c->o->workers; i++)
        if (c->pid[i] && waitpid(c->pid[i], &how, WNOHANG) > 0)
            ended(c, i, how);
}

/* ---- the parent ---- */

static enum cf_status check_alone(struct cf_error *err)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n <= 1 ? CF_OK
                  : cf_fail(err, CF_EBUG,
                            "%d threads before the workers are forked, expected 1", n);
}

static void wait_for_all(struct crew *c)
{
    const struct timespec poll = {0, 50 * 1000 * 1000};
    sigset_t set;

    waited_for(&set);
    while (c->running) {
        int sig = sigtimedwait(&set, NULL, &poll);

        if (sig > 0 && sig != SIGCHLD && sig != SIGUSR2)
            stop(c, sig);
        look_after(c);
        if (c->o->tick)
            c->o->tick(c->o->ctx, c->share, sig == SIGUSR2);
    }
}

enum cf_status cf_crew_run(const struct cf_crew_options *o, struct cf_crew_share **share,
                           struct cf_crew_result *result, struct cf_error *err)
{
    struct crew c = {.o = o};
    enum cf_status st = CF_OK;
    sigset_t set;

    *share = NULL;
    CF_TRY(check_alone(err));
    c.share = mmap(NULL, sizeof *c.share, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c.share == MAP_FAILED)
        return cf_fail_errno(err, errno, "memory shared by the workers");
    *share = c.share;
    if (sched_getaffinity(0, sizeof c.cpus, &c.cpus) != 0)
        CPU_ZERO(&c.cpus);
    signal(SIGCHLD, SIG_DFL); /* ignored, as some callers leave it, hides every end */
    waited_for(&set);
    sigprocmask(SIG_BLOCK, &set, &c.was);
    for (int i = 0; i < o->workers && st == CF_OK; i++)
        st = start(&c, i, err);
    if (st != CF_OK)
        stop(&c, SIGTERM);
    wait_for_all(&c);
    sigprocmask(SIG_SETMASK, &c.was, NULL);
    *result = c.result;
    return st;
}

void cf_crew_close(struct cf_crew_share *share)
{
    if (share)
        munmap(share, sizeof *share);
}
