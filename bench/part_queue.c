/* A worker over a queue, as users run it: images per core-hour, and what queue, WebP and
 * metadata take of its wall time, by its own account. The programs are run as processes
 * of their own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "bench/parts.h"
#include "bench/subject.h"

extern char **environ;

enum { OUTPUT_MAX = 1 << 20, SMALL_IMAGES = 96, SMALL_BASE = 64 };

struct queue {
    char *dir;                       /* owned, temporary */
    char *db, *jobs, *images, *said; /* owned, in dir */
    char bin[1024];                  /* where this program lies; "": not known */
    char threads[16];
};

/* A program beside this one, or in PATH. */
static enum cf_status run_program(const struct queue *q, const char *name,
                                  const char **argv, struct cf_error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    char path[1100];
    int status, e;
    pid_t pid;

    snprintf(path, sizeof path, "%s/%s", q->bin, name);
    if (!q->bin[0] || access(path, X_OK) != 0)
        snprintf(path, sizeof path, "%s", name);
    argv[0] = path;
    if ((e = posix_spawn_file_actions_init(&files)) || (e = posix_spawnattr_init(&attr)))
        return cf_fail_errno(err, e, "%s", name);
    sigemptyset(&none); /* ours are blocked, for a thread waits for them */
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&files, 1, q->said, O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    e = posix_spawnp(&pid, path, &files, &attr, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (e)
        return cf_fail_errno(err, e, "%s", path);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return cf_fail_errno(err, errno, "%s", path);
    return status == 0
               ? CF_OK
               : cf_fail(err, CF_EIO, "%s failed (status %d); it said so in %s", name,
                         WIFEXITED(status) ? WEXITSTATUS(status) : status, q->said);
}

static enum cf_status write_jobs(const struct queue *q, int images, struct cf_error *err)
{
    FILE *f = fopen(q->jobs, "w");

    if (!f)
        return cf_fail_errno(err, errno, "%s", q->jobs);
    for (int i = 0; i < images; i++)
        fprintf(f, "{\"prompt\": \"a green frog on a yellow background, %d\"}\n", i);
    return fclose(f) == 0 ? CF_OK : cf_fail_errno(err, errno, "%s", q->jobs);
}

static enum cf_status open_queue(struct queue *q, const struct cf_bench *b,
                                 struct cf_error *err)
{
    ssize_t n = readlink("/proc/self/exe", q->bin, sizeof q->bin - 1);
    char *slash;

    q->bin[n > 0 ? n : 0] = '\0';
    slash = strrchr(q->bin, '/');
    if (slash)
        *slash = '\0';
    snprintf(q->threads, sizeof q->threads, "%d", b->threads);
    q->dir = cf_subject_mktemp(err);
    if (!q->dir)
        return err->status;
    q->db = cf_format(err, "%s/jobs.sqlite", q->dir);
    q->jobs = cf_format(err, "%s/jobs.jsonl", q->dir);
    q->images = cf_format(err, "%s/images", q->dir);
    q->said = cf_format(err, "%s/said", q->dir);
    return q->db && q->jobs && q->images && q->said ? CF_OK : CF_ENOMEM;
}

static void close_queue(struct queue *q)
{
    if (q->dir)
        cf_subject_remove(q->dir);
    cf_free(q->dir);
    cf_free(q->db);
    cf_free(q->jobs);
    cf_free(q->images);
    cf_free(q->said);
}

/* A number of the worker's summary; 0 where it is missing. */
static double fact(const char *said, const char *key)
{
    const char *line = strstr(said, " finished "), *at = line ? strstr(line, key) : NULL;

    return at ? strtod(at + strlen(key), NULL) : 0;
}

static enum cf_status tell(struct cf_bench *b, const struct queue *q,
                           struct cf_error *err)
{
    struct cf_bench_result r;
    double seconds, images;
    size_t n;
    char *said = cf_file_read(q->said, OUTPUT_MAX, &n, err);

    if (!said)
        return err->status;
    seconds = fact(said, " seconds=");
    images = fact(said, " images=");
    if (!(seconds > 0 && images > 0)) {
        cf_fail(err, CF_EFORMAT, "%s: no summary of a worker", q->said);
    } else {
        r = cf_bench_result(b, "%.0f images", images);
        r.seconds = seconds / images;
        r.core_hour = 3600 / (r.seconds * b->threads);
        if (cf_bench_tell(b, &r, err) == CF_OK) {
            r = cf_bench_result(b, "queue, WebP and metadata");
            r.of_wall = (fact(said, " claim_s=") + fact(said, " webp_s=") +
                         fact(said, " file_s=") + fact(said, " row_s=")) /
                        seconds;
            cf_bench_tell(b, &r, err);
        }
    }
    cf_free(said);
    return err->status;
}

static enum cf_status work(struct cf_bench *b, struct queue *q,
                           const struct cf_subject *s, struct cf_error *err)
{
    int images = b->o->trial || s->vae.base >= SMALL_BASE ? b->o->rounds : SMALL_IMAGES;
    const char *init[] = {NULL, "init", "--db", q->db, NULL};
    const char *add[] = {NULL, "add", "--db", q->db, q->jobs, NULL};
    const char *batch[] = {NULL,       "--db",    q->db,       "--model",  s->dir,
                           "--output", q->images, "--threads", q->threads, NULL};

    CF_TRY(write_jobs(q, images, err));
    CF_TRY(run_program(q, "cfgen-jobs", init, err));
    CF_TRY(run_program(q, "cfgen-jobs", add, err));
    CF_TRY(run_program(q, "cfgen-batch", batch, err));
    return tell(b, q, err);
}

enum cf_status cf_bench_queue(struct cf_bench *b, struct cf_error *err)
{
    struct queue q = {0};
    struct cf_subject *s;
    enum cf_status st;

    CF_TRY(cf_bench_subject(b, &s, err));
    cf_load_look(&b->load);
    st = open_queue(&q, b, err);
    if (st == CF_OK)
        st = work(b, &q, s, err);
    close_queue(&q);
    return st;
}
