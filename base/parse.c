#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum cf_status cf_parse_int(const char *s, long lo, long hi, int *out, const char *what,
                            struct cf_error *err)
{
    char *end;
    long v;

    errno = 0;
    v = strtol(s, &end, 10);
    if (end == s || *end || errno || isspace((unsigned char)*s) || v < lo || v > hi)
        return cf_fail(err, CF_EUSAGE,
                       "%s: found '%.80s', expected a whole number %ld..%ld", what, s, lo,
                       hi);
    *out = (int)v;
    return CF_OK;
}

enum cf_status cf_parse_u64(const char *s, uint64_t *out, const char *what,
                            struct cf_error *err)
{
    char *end;

    errno = 0;
    *out = strtoull(s, &end, 10);
    if (!isdigit((unsigned char)*s) || *end || errno)
        return cf_fail(
            err, CF_EUSAGE,
            "%s: found '%.80s', expected a whole number 0..18446744073709551615", what,
            s);
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
    char *x, *end;
    long w, h = 0;

    w = strtol(s, &x, 10);
    if (*x == 'x' && isdigit((unsigned char)x[1]))
        h = strtol(x + 1, &end, 10);
    else
        end = x;
    if (!isdigit((unsigned char)*s) || *x != 'x' || *end || w < 1 || h < 1 || w > 16383 ||
        h > 16383)
        return cf_fail(
            err, CF_EUSAGE,
            "%s: found '%.80s', expected WIDTHxHEIGHT in pixels, such as 512x512", what,
            s);
    *width = (int)w;
    *height = (int)h;
    return CF_OK;
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
