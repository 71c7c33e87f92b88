#include "base/duration.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct cf_scan without_blanks(const char *s)
{
    struct cf_scan scan = {s, s + strlen(s)};

    while (scan.p < scan.end && blank(*scan.p))
        scan.p++;
    while (scan.p < scan.end && blank(scan.end[-1]))
        scan.end--;
    return scan;
}

static bool word(const struct cf_scan *s, int64_t *seconds)
{
    static const struct {
        const char *name;
        int64_t seconds;
    } table[] = {
        {"UNLIMITED", CF_UNLIMITED},
        {"INFINITE", CF_UNLIMITED},
        {"NOT_SET", CF_UNLIMITED},
        {"INVALID", 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if ((size_t)(s->end - s->p) == strlen(table[i].name) &&
            strncasecmp(s->p, table[i].name, strlen(table[i].name)) == 0) {
            *seconds = table[i].seconds;
            return true;
        }
    return false;
}

static bool number(struct cf_scan *s, uint64_t max, int64_t *out)
{
    uint64_t u;

    if (!cf_scan_u64(s, &u) || u > max)
        return false;
    *out = (int64_t)u;
    return true;
}

/* Behind "D-": HH, HH:MM or HH:MM:SS. */
static bool behind_days(struct cf_scan *s, int64_t days, int64_t *seconds)
{
    int64_t h, m = 0, sec = 0;

    if (!number(s, 23, &h))
        return false;
    if (cf_scan_lit(s, ":") && !number(s, 59, &m))
        return false;
    if (cf_scan_lit(s, ":") && !number(s, 59, &sec))
        return false;
    *seconds = ((days * 24 + h) * 60 + m) * 60 + sec;
    return true;
}

/* Behind "A:", A being minutes or hours: B or B:C. */
static bool behind_colon(struct cf_scan *s, int64_t a, int64_t *seconds)
{
    int64_t b, c;

    if (!number(s, 59, &b))
        return false;
    *seconds = a * 60 + b;
    if (!cf_scan_lit(s, ":"))
        return true;
    if (!number(s, 59, &c))
        return false;
    *seconds = *seconds * 60 + c;
    return true;
}

static bool with_unit(struct cf_scan *s, int64_t n, int64_t *seconds)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } table[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

    *seconds = n;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (cf_scan_lit(s, table[i].unit)) {
            *seconds = n * table[i].seconds;
            break;
        }
    return true;
}

static bool span(struct cf_scan *s, int64_t *seconds)
{
    int64_t n;

    if (word(s, seconds))
        return true;
    if (!number(s, CF_DURATION_MAX, &n))
        return false;
    if (cf_scan_lit(s, "-"))
        return behind_days(s, n, seconds) && s->p == s->end;
    if (cf_scan_lit(s, ":"))
        return behind_colon(s, n, seconds) && s->p == s->end;
    return with_unit(s, n, seconds) && s->p == s->end;
}

enum cf_status cf_parse_duration(const char *s, int64_t *seconds, const char *what,
                                 struct cf_error *err)
{
    struct cf_scan scan = without_blanks(s);

    if (!span(&scan, seconds) || (*seconds != CF_UNLIMITED && *seconds > CF_DURATION_MAX))
        return cf_fail(err, CF_EUSAGE,
                       "%s: '%.40s' is no span of time; expected seconds, 90m, 2h, M:SS, "
                       "H:MM:SS, D-HH:MM:SS or UNLIMITED",
                       what, s);
    return CF_OK;
}
