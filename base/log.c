#include "base/log.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cf_log_init(struct cf_log *log)
{
    memset(log, 0, sizeof *log);
    log->fd = 2;
    log->level = CF_LOG_INFO;
    pthread_mutex_init(&log->lock, NULL);
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
        while (islower((unsigned char)*key) || *key == '_')
            key++;
        if (q[1] == ' ' && key > q + 2 && *key == '=')
            return q;
    }
    return NULL;
}

/* One key=value word at *s into obj; values that look like numbers become numbers. */
static const char *word(const char *s, json_t *obj)
{
    const char *eq = strchr(s, '='), *end;
    char key[64], *num_end;
    json_t *v;

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
    v = NULL;
    if (isdigit((unsigned char)eq[1]) || eq[1] == '-') {
        double d = strtod(eq + 1, &num_end);

        if (num_end == end)
            v = memchr(eq + 1, '.', (size_t)(end - eq - 1))
                    ? json_real(d)
                    : json_integer(strtoll(eq + 1, NULL, 10));
    }
    json_object_set_new(obj, key, v ? v : json_stringn(eq + 1, (size_t)(end - eq - 1)));
    return end;
}

static char *as_json(const char *ts, const char *level, const char *event,
                     const char *facts)
{
    json_t *obj = json_pack("{ssssss}", "ts", ts, "level", level, "event", event);
    const char *s = facts;
    char *out;

    while (obj && s && *s) {
        s += strspn(s, " ");
        if (*s)
            s = word(s, obj);
    }
    if (obj && !s)
        json_object_set_new(obj, "facts", json_string(facts));
    out = obj ? json_dumps(obj, JSON_COMPACT) : NULL;
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
    char ts[40], facts[3072], line[4096], *json = NULL;
    va_list ap;
    int n;

    if (!log || level > log->level)
        return;
    stamp(ts, sizeof ts);
    va_start(ap, fmt);
    vsnprintf(facts, sizeof facts, fmt, ap);
    va_end(ap);
    if (log->json)
        json = as_json(ts, name[level], event, facts);
    n = json ? snprintf(line, sizeof line, "%s\n", json)
             : snprintf(line, sizeof line, "%s %s %s%s%s\n", ts, name[level], event,
                        *facts ? " " : "", facts);
    free(json);
    if (n >= (int)sizeof line) {
        n = (int)sizeof line - 1;
        line[n - 1] = '\n';
    }
    pthread_mutex_lock(&log->lock);
    put(log->fd, line, (size_t)n);
    pthread_mutex_unlock(&log->lock);
}
