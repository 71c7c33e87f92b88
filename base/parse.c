#include "base/parse.h"

#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cf_scan_blanks(struct cf_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
        s->p++;
}

bool cf_scan_lit(struct cf_scan *s, const char *lit)
{
    size_t n = strlen(lit);

    if ((size_t)(s->end - s->p) < n || memcmp(s->p, lit, n) != 0)
        return false;
    s->p += n;
    return true;
}

bool cf_scan_u64(struct cf_scan *s, uint64_t *v)
{
    const char *start = s->p;

    for (*v = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(*v, 10, v) ||
            __builtin_add_overflow(*v, (uint64_t)(*s->p - '0'), v))
            return false;
    return s->p > start;
}

bool cf_scan_i64(struct cf_scan *s, int64_t *v)
{
    bool minus = cf_scan_lit(s, "-");
    uint64_t u;

    if (!minus)
        cf_scan_lit(s, "+");
    if (!cf_scan_u64(s, &u))
        return false;
    /* Both compute exactly, whatever the types, and tell what int64_t cannot hold. */
    return !(minus ? __builtin_sub_overflow(0, u, v) : __builtin_add_overflow(0, u, v));
}

static struct cf_scan whole(const char *s)
{
    return (struct cf_scan){s, s + strlen(s)};
}

enum cf_status cf_parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out,
                            const char *what, struct cf_error *err)
{
    struct cf_scan scan = whole(s);

    if (!cf_scan_i64(&scan, out) || scan.p != scan.end || *out < lo || *out > hi)
        return cf_fail(err, CF_EUSAGE,
                       "%s: found '%.80s', expected a whole number %" PRId64 "..%" PRId64,
                       what, s, lo, hi);
    return CF_OK;
}

enum cf_status cf_parse_bytes(const char *s, int64_t lo, int64_t hi, int64_t *out,
                              const char *what, struct cf_error *err)
{
    static const char unit[] = "KMG";
    struct cf_scan scan = whole(s);
    bool fits = cf_scan_i64(&scan, out);

    for (int i = 0; fits && scan.p < scan.end && i < 3; i++)
        if (*scan.p == unit[i]) {
            fits = !__builtin_mul_overflow(*out, (int64_t)1024 << 10 * i, out);
            scan.p++;
            break;
        }
    if (!fits || scan.p != scan.end || *out < lo || *out > hi)
        return cf_fail(err, CF_EUSAGE,
                       "%s: found '%.80s', expected %" PRId64 "..%" PRId64
                       " bytes, as a whole number and perhaps K, M or G",
                       what, s, lo, hi);
    return CF_OK;
}

enum cf_status cf_parse_int(const char *s, int lo, int hi, int *out, const char *what,
                            struct cf_error *err)
{
    int64_t v;

    CF_TRY(cf_parse_i64(s, lo, hi, &v, what, err));
    *out = (int)v;
    return CF_OK;
}

enum cf_status cf_parse_auto(const char *s, int hi, int *out, const char *what,
                             struct cf_error *err)
{
    struct cf_error why = {0};

    *out = 0;
    if (strcmp(s, "auto") == 0 || cf_parse_int(s, 1, hi, out, what, &why) == CF_OK)
        return CF_OK;
    return cf_fail(err, why.status, "%s, or auto", why.msg);
}

enum cf_status cf_parse_u64(const char *s, uint64_t *out, const char *what,
                            struct cf_error *err)
{
    struct cf_scan scan = whole(s);

    if (!cf_scan_u64(&scan, out) || scan.p != scan.end)
        return cf_fail(err, CF_EUSAGE,
                       "%s: found '%.80s', expected a whole number 0..%" PRIu64, what, s,
                       UINT64_MAX);
    return CF_OK;
}

/* strtod of the C locale, whatever the program was started with. */
static double number(const char *s, char **end)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double v = c ? strtod_l(s, end, c) : strtod(s, end);

    if (c)
        freelocale(c);
    return v;
}

enum cf_status cf_parse_num(const char *s, double lo, double hi, double *out,
                            const char *what, struct cf_error *err)
{
    char *end;

    *out = number(s, &end);
    if (end == s || *end || isspace((unsigned char)*s) || !(*out >= lo && *out <= hi))
        return cf_fail(err, CF_EUSAGE, "%s: found '%.80s', expected a number %g..%g",
                       what, s, lo, hi);
    return CF_OK;
}

enum cf_status cf_parse_size(const char *s, int *width, int *height, const char *what,
                             struct cf_error *err)
{
    struct cf_scan scan = whole(s);
    uint64_t w, h;

    if (!cf_scan_u64(&scan, &w) ||
        !(cf_scan_lit(&scan, "x") || cf_scan_lit(&scan, "X")) ||
        !cf_scan_u64(&scan, &h) || scan.p != scan.end || w < 1 || h < 1 ||
        w > CF_SIDE_MAX || h > CF_SIDE_MAX)
        return cf_fail(err, CF_EUSAGE,
                       "%s: found '%.80s', expected WIDTHxHEIGHT in pixels, 1..%d each, "
                       "such as 512x512",
                       what, s, CF_SIDE_MAX);
    *width = (int)w;
    *height = (int)h;
    return CF_OK;
}

/* "0.25M" and nothing behind it. */
static bool pixels(struct cf_scan *scan, char *out, size_t size)
{
    size_t n = 0;

    while (scan->p + n < scan->end &&
           (isdigit((unsigned char)scan->p[n]) || scan->p[n] == '.'))
        n++;
    if (!n || n + 2 > size || scan->p + n + 1 != scan->end || scan->p[n] != 'M')
        return false;
    memcpy(out, scan->p, n + 1);
    out[n + 1] = '\0';
    return true;
}

bool cf_size_name_read(const char *s, struct cf_size_name *name)
{
    struct cf_scan scan = whole(s), ratio = scan;
    uint64_t w, h;

    memset(name, 0, sizeof *name);
    if (!cf_scan_u64(&ratio, &w) || !cf_scan_lit(&ratio, ":"))
        return pixels(&scan, name->pixels, sizeof name->pixels);
    if (!cf_scan_u64(&ratio, &h) || w < 1 || h < 1 || w > 1000 || h > 1000)
        return false;
    name->w = (int)w;
    name->h = (int)h;
    return ratio.p == ratio.end || (cf_scan_lit(&ratio, "@") &&
                                    pixels(&ratio, name->pixels, sizeof name->pixels));
}

enum cf_status cf_parse_size_or_name(const char *s, int *width, int *height,
                                     const char *what, struct cf_error *err)
{
    struct cf_size_name name;

    *width = *height = 0;
    if (cf_size_name_read(s, &name) ||
        cf_parse_size(s, width, height, what, NULL) == CF_OK)
        return CF_OK;
    return cf_fail(
        err, CF_EUSAGE,
        "%s: found '%.80s', expected WIDTHxHEIGHT in pixels, 1..%d each, such "
        "as 512x512, or a ratio, a class of pixels or both, such as 3:2, 0.25M "
        "or 3:2@0.25M",
        what, s, CF_SIDE_MAX);
}

enum cf_status cf_parse_list(const char *s, double lo, double hi, double *out, int max,
                             int *n, const char *what, struct cf_error *err)
{
    const char *at = s;
    char *end;

    for (*n = 0; *n < max; at = end + 1) {
        double v = number(at, &end);

        if (end == at || isspace((unsigned char)*at) || (*end && *end != ',') ||
            !(v >= lo && v <= hi))
            break;
        out[(*n)++] = v;
        if (!*end)
            return CF_OK;
    }
    return cf_fail(
        err, CF_EUSAGE,
        "%s: found '%.80s', expected numbers %g..%g divided by commas, at most %d", what,
        s, lo, hi, max);
}

enum cf_status cf_parse_word(const char *s, const char *const *words, int *out,
                             const char *what, struct cf_error *err)
{
    char list[256] = "";
    size_t len = 0;

    for (*out = 0; words[*out]; (*out)++) {
        if (strcmp(s, words[*out]) == 0)
            return CF_OK;
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "",
                                words[*out]);
        len = len < sizeof list ? len : sizeof list - 1;
    }
    return cf_fail(err, CF_EUSAGE, "%s: found '%.80s', expected one of %s", what, s,
                   list);
}
