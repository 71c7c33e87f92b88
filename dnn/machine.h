/* machine.h - inside of struct cf_dnn, for the files of dnn/ alone.
 *
 * Every public operation runs between cf_call_begin and cf_call_end: the leading thread
 * flushes subnormals, oneDNN sees the right number of threads, and the wall time goes to
 * one category. Loops of our own are split by cf_split, whose parts never share an
 * output. */
#ifndef CF_DNN_MACHINE_H
#define CF_DNN_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "dnn/dnn.h"
#include "dnn/kern.h"
#include "dnn/onednn.h"

enum {
    CF_THREAD_SCRATCH = 512 << 10, /* bytes each thread owns for tiles */
    CF_SHARED_SCRATCH = 512 << 10, /* bytes the leader hands to an op */
};

struct cf_packing;

struct cf_dnn {
    enum cf_cpu level;
    int threads;
    int node;         /* cf_dnn_settle */
    unsigned outside; /* floating-point mode of the leader outside of the call at hand */
    bool flushing;    /* between cf_dnn_begin and cf_dnn_end */
    struct cf_kern kern;
    struct cf_one *one; /* owned */
    char *scratch;      /* owned; CF_THREAD_SCRATCH a thread */
    char *shared;       /* owned; CF_SHARED_SCRATCH */
    struct cf_dnn_times times;
    struct cf_packing *packing; /* between cf_packs_begin and cf_packs_end; else NULL */
};

/* The fastest entries of a level. */
void cf_kern_choose(struct cf_kern *kern, enum cf_cpu level);

struct cf_call {
    double *timer; /* category that is charged */
    double start;
    unsigned mode;   /* floating-point mode of the leader, to restore */
    int omp_threads; /* likewise */
};

void cf_call_begin(struct cf_call *call, struct cf_dnn *dnn, double *timer);
void cf_call_end(struct cf_call *call, const struct cf_dnn *dnn);

/* Around what oneDNN runs on the team: all of it flushes subnormals, and afterwards all
 * but the leader, whose mode cf_call_end restores, have the mode that the leader had
 * before the call; so they would have had it started them then. */
void cf_team_begin(const struct cf_dnn *dnn);
void cf_team_end(const struct cf_dnn *dnn);

/* fn(arg, first, last, thread) over parts of [0, n), each part but the last a multiple of
 * grain; n of at most one grain runs in the leader. thread < dnn->threads. Flushes
 * subnormals in all of the team but for a leader alone, who is inside a call. */
void cf_split(const struct cf_dnn *dnn, int64_t n, int64_t grain,
              void (*fn)(void *arg, int64_t first, int64_t last, int thread), void *arg);

/* The scratch of one thread of a cf_split. */
void *cf_thread_scratch(const struct cf_dnn *dnn, int thread);

#endif
