/* log.h - one complete line per call, to one descriptor, from any thread.
 *
 * Text:  2026-01-31T12:00:00.123Z info msg key=value ...
 * JSON:  {"ts":"...","level":"info","event":"msg","host":"n1","worker":7,"key":value,...}
 * Facts are given as a printf format of key=value words separated by blanks; a value with
 * blanks is put in double quotes by the caller (cf_utf8_printable makes user text inert).
 * A value that is a JSON object without blanks stays one. Host and worker stand in JSON
 * lines, and in text lines the worker does, as soon as they are known.
 * Math code never logs. */
#ifndef CF_BASE_LOG_H
#define CF_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"

enum cf_log_level { CF_LOG_ERROR, CF_LOG_WARN, CF_LOG_INFO, CF_LOG_DEBUG };

struct cf_log {
    int fd;                  /* where lines go, 2 by default; not owned */
    int errors_fd;           /* errors go there too, -1: nowhere else */
    enum cf_log_level level; /* lines above it are dropped */
    bool json;
    char host[65];    /* empty: not told */
    long long worker; /* row of the worker in the queue, 0: not told */
    pthread_mutex_t lock;
};

void cf_log_init(struct cf_log *log); /* stderr, CF_LOG_INFO, text, this host */

/* Append to the file at path from now on, made when missing and never opened again;
 * errors go to stderr as well. CF_EPERM, CF_ECREAT and others where it cannot be. */
enum cf_status cf_log_open(struct cf_log *log, const char *path, struct cf_error *err);

/* Who speaks. Before other threads log. */
void cf_log_worker(struct cf_log *log, long long worker);

/* event is a short fixed phrase; fmt gives the facts and may be "". A failing descriptor
 * is ignored. */
void cf_log(struct cf_log *log, enum cf_log_level level, const char *event,
            const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
