#include "pipeline/statusfile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/memory.h"

void cf_statusfile_start(struct cf_statusfile *s, const char *path, struct cf_log *log)
{
    *s = (struct cf_statusfile){
        .path = path,
        .log = log,
        .started = (int64_t)time(NULL),
        .start = cf_clock_ms(),
    };
}

bool cf_statusfile_due(const struct cf_statusfile *s)
{
    return s->path && cf_clock_ms() - s->put >= 1000LL * CF_STATUSFILE_INTERVAL;
}

static json_t *moment(int64_t seconds)
{
    char buf[CF_CLOCK_UTC];
    const char *text = cf_clock_utc(buf, seconds);

    return text ? json_string(text) : json_null();
}

static json_t *stages(const struct cf_statusfile_facts *f)
{
    const double *ms = f->stage_ms;

    return json_pack("{sfsfsfsfsfsf}", "encode", ms[CF_STAGE_ENCODE], "generate",
                     ms[CF_STAGE_GENERATE], "decode", ms[CF_STAGE_DECODE], "webp",
                     ms[CF_STAGE_WEBP], "file", ms[CF_STAGE_FILE], "row",
                     ms[CF_STAGE_ROW]);
}

static char *text_of(const struct cf_statusfile *s, const struct cf_statusfile_facts *f)
{
    double seconds = (double)(cf_clock_ms() - s->start) * 1e-3;
    double rate = seconds > 0 ? (double)f->done / seconds : 0;
    long left = f->total > f->done + f->failed ? f->total - f->done - f->failed : 0;
    bool ended = strcmp(f->state, "ended") == 0;
    char host[65] = "", *text;
    json_t *obj;

    gethostname(host, sizeof host - 1);
    obj = json_pack(
        "{ss ss* si si sI sI sI sI sf so so sI so so so}", "state", f->state, "host",
        host, "pid", (int)getpid(), "workers", f->workers, "done", (json_int_t)f->done,
        "failed", (json_int_t)f->failed, "released", (json_int_t)f->released, "total",
        (json_int_t)f->total, "images_per_minute", 60 * rate, "eta_s",
        rate > 0 ? json_integer((json_int_t)((double)left / rate)) : json_null(),
        "stage_ms", stages(f), "peak_bytes", (json_int_t)cf_memory_peak(), "started",
        moment(s->started), "updated", moment((int64_t)time(NULL)), "exit_status",
        ended ? json_integer(f->exit_status) : json_null());
    text = obj ? json_dumps(obj, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(obj);
    return text;
}

/* 0 or errno. */
static int write_all(const char *path, const char *text)
{
    size_t left = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    int e = fd < 0 ? errno : 0;

    while (!e && left) {
        ssize_t n = write(fd, text, left);

        if (n < 0 && errno != EINTR)
            e = errno;
        text += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0 && close(fd) != 0 && !e)
        e = errno;
    return e;
}

static int replace(const char *path, const char *text)
{
    char *temp = cf_format(NULL, "%s.tmp-%d", path, (int)getpid());
    int e = ENOMEM;

    if (temp) {
        e = write_all(temp, text);
        if (!e && rename(temp, path) != 0)
            e = errno;
        if (e)
            unlink(temp);
    }
    cf_free(temp);
    return e;
}

void cf_statusfile_put(struct cf_statusfile *s, const struct cf_statusfile_facts *f)
{
    char *text;
    int e;

    if (!s->path)
        return;
    s->put = cf_clock_ms();
    text = text_of(s, f);
    e = text ? replace(s->path, text) : ENOMEM;
    free(text);
    if (e && !s->warned)
        cf_log(s->log, CF_LOG_WARN, "no status file", "file=\"%.200s\" error=\"%s\"",
               s->path, strerror(e));
    s->warned |= e != 0;
}
