#include "pipeline/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

void cf_progress_start(struct cf_progress *p, struct cf_log *log,
                       enum cf_progress_mode mode, int interval, bool quiet)
{
    const char *term = getenv("TERM");
    bool terminal = isatty(2) && (!term || strcmp(term, "dumb") != 0);

    memset(p, 0, sizeof *p);
    p->log = log;
    p->bar = mode == CF_PROGRESS_ALWAYS ||
             (mode == CF_PROGRESS_AUTO && terminal && !quiet && !log->json);
    p->lines = mode == CF_PROGRESS_AUTO && !p->bar && !quiet;
    p->interval = interval;
    p->start = p->told = cf_clock_ms();
}

/* "1:02:03" for seconds. */
static const char *clock_text(char *buf, size_t size, double seconds)
{
    long s = seconds < 0 || seconds > 1e8 ? 0 : (long)seconds;

    if (s >= 3600)
        snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

static void draw(long done, long total, double seconds)
{
    enum { WIDTH = 30 };
    int full = total > 0 ? (int)(WIDTH * (double)done / (double)total) : WIDTH;
    char bar[WIDTH + 1], left[32];
    double rate = seconds > 0 ? (double)done / seconds : 0;

    full = full > WIDTH ? WIDTH : full;
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %ld/%ld  %.1f images/min  %s left \x1b[K", bar, done, total,
            60 * rate,
            rate > 0 ? clock_text(left, sizeof left, (double)(total - done) / rate)
                     : "?");
    fflush(stderr);
}

void cf_progress_tick(struct cf_progress *p, bool now)
{
    long long t = cf_clock_ms();
    long done = atomic_load(&p->done), total = atomic_load(&p->total);
    double seconds = (double)(t - p->start) * 1e-3;
    double rate = seconds > 0 ? (double)done / seconds : 0;

    if (p->bar && total > 0)
        draw(done, total, seconds);
    if (!now && (!p->lines || t - p->told < 1000LL * p->interval))
        return;
    p->told = t;
    cf_log(p->log, CF_LOG_INFO, "progress",
           "done=%ld total=%ld failed=%ld images_per_minute=%.1f left_s=%.0f", done,
           total, atomic_load(&p->failed), 60 * rate,
           rate > 0 ? (double)(total - done) / rate : 0.0);
}

void cf_progress_stages(const struct cf_progress *p, const double ms[CF_NSTAGE])
{
    long done = atomic_load(&p->done);
    double each = done > 0 ? 1.0 / (double)done : 0.0;

    cf_log(p->log, CF_LOG_INFO, "stages",
           "encode_ms=%.1f generate_ms=%.1f decode_ms=%.1f webp_ms=%.1f file_ms=%.1f "
           "row_ms=%.1f",
           each * ms[CF_STAGE_ENCODE], each * ms[CF_STAGE_GENERATE],
           each * ms[CF_STAGE_DECODE], each * ms[CF_STAGE_WEBP], each * ms[CF_STAGE_FILE],
           each * ms[CF_STAGE_ROW]);
}

void cf_progress_end(struct cf_progress *p)
{
    if (p->bar && atomic_load(&p->total) > 0) {
        cf_progress_tick(p, false);
        fputc('\n', stderr);
    }
}
