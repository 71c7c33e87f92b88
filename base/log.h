/* log.h - one complete line per call, to one descriptor, from any thread.
 *
 * Text:  2026-01-31T12:00:00.123Z info msg key=value ...
 * JSON:  {"ts":"...","level":"info","event":"msg","key":value,...}
 * Facts are given as a printf format of key=value words separated by blanks; a value with
 * blanks is put in double quotes by the caller (cf_utf8_printable makes user text inert).
 * Math code never logs. */
#ifndef CF_BASE_LOG_H
#define CF_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>

enum cf_log_level { CF_LOG_ERROR, CF_LOG_WARN, CF_LOG_INFO, CF_LOG_DEBUG };

struct cf_log {
    int fd;                  /* where lines go, 2 by default; not owned */
    enum cf_log_level level; /* lines above it are dropped */
    bool json;
    pthread_mutex_t lock;
};

void cf_log_init(struct cf_log *log); /* stderr, CF_LOG_INFO, text */

/* event is a short fixed phrase; fmt gives the facts and may be "". A failing descriptor
 * is ignored. */
void cf_log(struct cf_log *log, enum cf_log_level level, const char *event,
            const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
