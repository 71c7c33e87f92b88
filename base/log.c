#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

void cf_log_init(struct cf_log *log)
{
    memset(log, 0, sizeof *log);
    log->fd = 2;
    log->errors_fd = -1;
    log->level = CF_LOG_INFO;
    if (gethostname(log->host, sizeof log->host - 1) != 0)
        log->host[0] = '\0';
    pthread_mutex_init(&log->lock, NULL);
}

enum cf_status cf_log_open(struct cf_log *log, const char *path, struct cf_error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? cf_fail(err, CF_ECREAT, "log file %s: %s", path, strerror(errno))
                   : cf_fail_errno(err, errno, "log file %s", path);
    log->fd = fd;
    log->errors_fd = 2;
    return CF_OK;
}

void cf_log_worker(struct cf_log *log, long long worker)
{
    log->worker = worker;
}

static void stamp(char *buf, size_t size)
{
    struct timespec ts;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, size - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

/* The quote that ends a value: others may stand inside, as messages name things in
 * quotes; this one is followed by the end or by the next key. */
static const char *closing(const char *s)
{
    const char *q, *key;

    for (q = strchr(s, '"'); q; q = strchr(q + 1, '"')) {
        if (!q[1])
            return q;
        key = q + 2;
        while (islower((unsigned char)*key) || isdigit((unsigned char)*key) ||
               *key == '_')
            key++;
        if (q[1] == ' ' && key > q + 2 && *key == '=')
            return q;
    }
    return NULL;
}

/* A number or an object where the n bytes at s are one, else a string. */
static json_t *value_of(const char *s, size_t n)
{
    bool integer = n < 20 && !memchr(s, '.', n);
    json_t *v = NULL;
    char *end;

    if (*s == '{')
        v = cf_json_parse(s, n, SIZE_MAX, "log", NULL);
    if (isdigit((unsigned char)*s) || *s == '-') {
        double d = strtod(s, &end);

        if (end == s + n)
            v = integer ? json_integer(strtoll(s, NULL, 10)) : json_real(d);
    }
    return v ? v : json_stringn(s, n);
}

/* One key=value word at *s into obj. */
static const char *word(const char *s, json_t *obj)
{
    const char *eq = strchr(s, '='), *end;
    char key[64];

    if (!eq || eq == s || (size_t)(eq - s) >= sizeof key)
        return NULL;
    memcpy(key, s, (size_t)(eq - s));
    key[eq - s] = '\0';
    if (eq[1] == '"') {
        end = closing(eq + 2);
        if (!end)
            return NULL;
        json_object_set_new(obj, key, json_stringn(eq + 2, (size_t)(end - eq - 2)));
        return end + 1;
    }
    end = eq + 1 + strcspn(eq + 1, " ");
    json_object_set_new(obj, key, value_of(eq + 1, (size_t)(end - eq - 1)));
    return end;
}

static char *as_json(const struct cf_log *log, const char *ts, const char *level,
                     const char *event, const char *facts)
{
    json_t *obj = json_pack("{ssssss}", "ts", ts, "level", level, "event", event);
    const char *s = facts;
    char *out;

    if (obj && *log->host)
        json_object_set_new(obj, "host", json_string(log->host));
    if (obj && log->worker)
        json_object_set_new(obj, "worker", json_integer(log->worker));
    while (obj && s && *s) {
        s += strspn(s, " ");
        if (*s)
            s = word(s, obj);
    }
    if (obj && !s)
        json_object_set_new(obj, "facts", json_string(facts));
    out = obj ? json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(obj);
    return out;
}

static void put(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);

        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

void cf_log(struct cf_log *log, enum cf_log_level level, const char *event,
            const char *fmt, ...)
{
    static const char *const name[] = {"error", "warn", "info", "debug"};
    char ts[40], facts[3072], line[4096], who[32] = "", *json = NULL;
    va_list ap;
    int n;

    if (!log || level > log->level)
        return;
    stamp(ts, sizeof ts);
    va_start(ap, fmt);
    vsnprintf(facts, sizeof facts, fmt, ap);
    va_end(ap);
    if (log->json)
        json = as_json(log, ts, name[level], event, facts);
    if (log->worker)
        snprintf(who, sizeof who, " worker=%lld", log->worker);
    n = json ? snprintf(line, sizeof line, "%s\n", json)
             : snprintf(line, sizeof line, "%s %s %s%s%s%s\n", ts, name[level], event,
                        *facts ? " " : "", facts, who);
    free(json);
    if (n >= (int)sizeof line) {
        n = (int)sizeof line - 1;
        line[n - 1] = '\n';
    }
    pthread_mutex_lock(&log->lock);
    put(log->fd, line, (size_t)n);
    if (level == CF_LOG_ERROR && log->errors_fd >= 0)
        put(log->errors_fd, line, (size_t)n);
    pthread_mutex_unlock(&log->lock);
}
