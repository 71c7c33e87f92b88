/* claims.c - what claiming and finishing cost: processes that do nothing else.
 *
 *     claims DB PROCESSES PER_CLAIM SECONDS
 *
 * Each process claims PER_CLAIM jobs and finishes them in one transaction, again and
 * again. One line of JSON: jobs a second of all together, and the median, the 99th
 * hundredth and the longest of both calls in milliseconds. The database is changed: use a
 * copy. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cli.h"
#include "base/clock.h"
#include "base/parse.h"
#include "jobs/queue.h"
#include "jobs/self.h"

enum { MOST = 1 << 20, PROCESSES = 64, PER_CLAIM = 64 };

struct shared {
    int n[PROCESSES]; /* rounds of each */
    int64_t jobs[PROCESSES];
    float ms[2][MOST]; /* claim, finish; rounds of process p from p * part on */
};

static enum cf_status finish(struct cf_queue *q, const struct cf_jobs *jobs,
                             struct cf_error *err)
{
    struct cf_finished f[PER_CLAIM] = {0};

    for (int i = 0; i < jobs->n; i++) {
        f[i].job = &jobs->job[i];
        f[i].out = (struct cf_output){
            .path = "no/file",
            .bytes = 1,
            .file_sha256 = jobs->job[i].key,
            .pixel_sha256 = jobs->job[i].key,
            .width = 1,
            .height = 1,
            .stage_ms = "{\"generate\":1.0}",
        };
    }
    return cf_queue_finish_many(q, f, jobs->n, NULL, err);
}

static enum cf_status rounds(struct cf_queue *q, int64_t worker, int k, double until,
                             struct shared *s, int p, int part, struct cf_error *err)
{
    while (cf_clock() < until && s->n[p] < part) {
        struct cf_jobs jobs;
        double t0 = cf_clock(), t1;
        enum cf_status st;

        CF_TRY(cf_queue_claim(q, worker, k, &jobs, err));
        t1 = cf_clock();
        if (!jobs.n)
            return cf_fail(err, CF_ENOENT, "no job is left");
        st = finish(q, &jobs, err);
        s->ms[0][p * part + s->n[p]] = (float)(1e3 * (t1 - t0));
        s->ms[1][p * part + s->n[p]++] = (float)(1e3 * (cf_clock() - t1));
        s->jobs[p] += jobs.n;
        cf_jobs_free(&jobs);
        CF_TRY(st);
    }
    return CF_OK;
}

static int work(const char *db, int k, double seconds, struct shared *s, int p, int part)
{
    struct cf_error err = {0};
    struct cf_self self = {.lock_fd = -1};
    struct cf_queue *q = NULL;
    int64_t worker;

    if (cf_queue_open(&q, db, CF_QUEUE_WRITE, &err) == CF_OK &&
        cf_self_open(&self, cf_queue_dir(q), "bench", "", &err) == CF_OK &&
        cf_queue_register(q, &self.worker, &worker, &err) == CF_OK &&
        rounds(q, worker, k, cf_clock() + seconds, s, p, part, &err) == CF_OK)
        cf_queue_unregister(q, worker, &err);
    cf_queue_close(q);
    cf_self_close(&self);
    return err.status == CF_OK ? 0 : cf_cli_complain("claims", &err);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void tell(const char *name, float *ms, int n)
{
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    printf(",\"%s_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name, (double)ms[n / 2],
           (double)ms[n * 99L / 100], (double)ms[n - 1]);
}

static void report(struct shared *s, int processes, int part, double seconds)
{
    int64_t jobs = 0;
    int n = 0;

    for (int p = 0; p < processes; p++) {
        for (int call = 0; call < 2; call++)
            memmove(&s->ms[call][n], &s->ms[call][p * part],
                    (size_t)s->n[p] * sizeof(float));
        n += s->n[p];
        jobs += s->jobs[p];
    }
    printf("{\"processes\":%d,\"jobs\":%lld,\"jobs_per_second\":%.1f", processes,
           (long long)jobs, (double)jobs / seconds);
    if (n) {
        tell("claim", s->ms[0], n);
        tell("finish", s->ms[1], n);
    }
    puts("}");
}

static int run(char **argv, struct cf_error *err)
{
    int processes, k, seconds, status = 0, part;
    struct shared *s;
    double start;

    if (cf_parse_int(argv[2], 1, PROCESSES, &processes, "PROCESSES", err) != CF_OK ||
        cf_parse_int(argv[3], 1, PER_CLAIM, &k, "PER_CLAIM", err) != CF_OK ||
        cf_parse_int(argv[4], 1, 3600, &seconds, "SECONDS", err) != CF_OK)
        return -1;
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) {
        cf_fail(err, CF_ENOMEM, "%zu bytes of shared memory", sizeof *s);
        return -1;
    }
    part = MOST / processes;
    start = cf_clock();
    for (int p = 0; p < processes; p++)
        if (fork() == 0)
            _exit(work(argv[1], k, seconds, s, p, part));
    for (int p = 0, st; p < processes && wait(&st) > 0; p++)
        status |= st;
    report(s, processes, part, cf_clock() - start);
    return status ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct cf_error err = {0};
    int status = -1;

    if (argc == 5)
        status = run(argv, &err);
    else
        cf_fail(&err, CF_EUSAGE, "usage: claims DB PROCESSES PER_CLAIM SECONDS");
    return status < 0 ? cf_cli_complain("claims", &err) : status;
}
