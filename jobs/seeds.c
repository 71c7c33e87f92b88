#include "jobs/seeds.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

struct text {
    const char *p, *end;
};

static void blanks(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
        t->p++;
}

static bool number(struct text *t, uint64_t *v)
{
    const char *start;

    blanks(t);
    *v = 0;
    for (start = t->p; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
        if (__builtin_mul_overflow(*v, 10, v) ||
            __builtin_add_overflow(*v, (uint64_t)(*t->p - '0'), v))
            return false;
    if (t->p == start)
        return false;
    blanks(t);
    return true;
}

static bool take(struct text *t, const char *what)
{
    size_t n = strlen(what);

    if ((size_t)(t->end - t->p) < n || memcmp(t->p, what, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* N or A..B or A..B:STEP */
static bool item(struct text *t, uint64_t *lo, uint64_t *hi, uint64_t *step)
{
    *step = 1;
    if (!number(t, lo))
        return false;
    *hi = *lo;
    if (!take(t, ".."))
        return true;
    if (!number(t, hi) || *hi < *lo)
        return false;
    return !take(t, ":") || (number(t, step) && *step > 0);
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
    struct text t = {text, text + len};
    uint64_t lo, hi, step;

    do {
        if (!item(&t, &lo, &hi, &step))
            return cf_fail(err, CF_EFORMAT,
                           "seeds \"%.*s\": expected numbers, A..B or A..B:STEP, "
                           "with commas between",
                           (int)(len < 60 ? len : 60), text);
        CF_TRY(append(s, lo, hi, step, err));
    } while (take(&t, ","));
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
