#include "jobs/seeds.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"

static bool number(struct cf_scan *t, uint64_t *v)
{
    cf_scan_blanks(t);
    if (!cf_scan_u64(t, v))
        return false;
    cf_scan_blanks(t);
    return true;
}

/* N or A..B or A..B:STEP */
static bool item(struct cf_scan *t, uint64_t *lo, uint64_t *hi, uint64_t *step)
{
    *step = 1;
    if (!number(t, lo))
        return false;
    *hi = *lo;
    if (!cf_scan_lit(t, ".."))
        return true;
    if (!number(t, hi) || *hi < *lo)
        return false;
    return !cf_scan_lit(t, ":") || (number(t, step) && *step > 0);
}

static enum cf_status append(struct cf_seeds *s, uint64_t lo, uint64_t hi, uint64_t step,
                             struct cf_error *err)
{
    uint64_t n = (hi - lo) / step;

    if (n >= CF_SEEDS_MAX || s->n + n >= CF_SEEDS_MAX)
        return cf_fail(err, CF_EFORMAT, "seeds: more than %d of them", CF_SEEDS_MAX);
    CF_TRY(cf_grow(&s->seed, &s->cap, s->n + (size_t)n + 1, sizeof *s->seed, err));
    for (uint64_t i = 0; i <= n; i++)
        s->seed[s->n++] = lo + i * step;
    return CF_OK;
}

enum cf_status cf_seeds_parse(struct cf_seeds *s, const char *text, size_t len,
                              struct cf_error *err)
{
    struct cf_scan t = {text, text + len};
    uint64_t lo, hi, step;

    do {
        if (!item(&t, &lo, &hi, &step))
            return cf_fail(err, CF_EFORMAT,
                           "seeds \"%.*s\": expected numbers, A..B or A..B:STEP, "
                           "with commas between",
                           (int)(len < 60 ? len : 60), text);
        CF_TRY(append(s, lo, hi, step, err));
    } while (cf_scan_lit(&t, ","));
    if (t.p != t.end)
        return cf_fail(err, CF_EFORMAT, "seeds \"%.*s\": cannot read it from byte %zu on",
                       (int)(len < 60 ? len : 60), text, (size_t)(t.p - text) + 1);
    return CF_OK;
}

void cf_seeds_free(struct cf_seeds *s)
{
    cf_free(s->seed);
    memset(s, 0, sizeof *s);
}
