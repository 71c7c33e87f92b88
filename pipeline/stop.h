/* stop.h - signals: one thread waits for them, everybody else only reads what it says.
 *
 * - TERM, INT, USR1, XCPU, HUP: stop claiming; finish the group at hand if it is
 * predicted to end within the grace time, else drop it at the next block
 * - TERM or INT again: drop at once
 * - USR2: report progress
 * - PIPE, XFSZ: ignored; they come back as EPIPE and EFBIG
 * - HUP that was ignored at the start stays ignored (nohup) */
#ifndef CF_PIPELINE_STOP_H
#define CF_PIPELINE_STOP_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/cancel.h"

struct cf_stop {
    atomic_int asked;        /* the signal that asked to stop first, 0: none */
    struct cf_cancel claims; /* set as soon as asked: nothing new is begun */
    struct cf_cancel cancel; /* set when the work at hand is to be dropped */
    atomic_llong
        busy_until; /* predicted end of the group at hand, monotonic ms; 0 idle */
    atomic_int quit;
    int grace;                         /* seconds */
    void (*tick)(void *ctx, bool now); /* several times a second; now: USR2 came */
    void *ctx;
    pthread_t thread;
};

/* The signals to wait for, HUP only where it is not ignored: the same for one worker and
 * for the parent of many (crew.h). */
void cf_stop_signals(sigset_t *set);

/* Blocks the signals in the calling thread, so that all threads made later inherit that,
 * and starts the waiting thread. Call before any other thread exists. */
enum cf_status cf_stop_start(struct cf_stop *s, int grace,
                             void (*tick)(void *ctx, bool now), void *ctx,
                             struct cf_error *err);
void cf_stop_end(struct cf_stop *s);

bool cf_stop_asked(struct cf_stop *s);

/* Stop as if the signal sig had come: the end of a time limit, say. From any thread. */
void cf_stop_ask(struct cf_stop *s, int sig);

#endif
