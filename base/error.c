#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void scrub(char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
        /* U+0080 .. U+009F in UTF-8: U+009B is ESC [ to some terminals. */
        if ((unsigned char)*s == 0xc2 && (unsigned char)s[1] >= 0x80 &&
            (unsigned char)s[1] < 0xa0)
            s[0] = s[1] = '?';
    }
}

static void set(struct cf_error *err, enum cf_status status, const char *fmt, va_list ap)
{
    err->status = status;
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    scrub(err->msg);
}

enum cf_status cf_fail(struct cf_error *err, enum cf_status status, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return status;
    if (err->status == CF_OK) {
        va_start(ap, fmt);
        set(err, status, fmt, ap);
        va_end(ap);
    }
    return err->status;
}

static enum cf_status from_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return CF_ENOSPC;
    case ENOMEM:
        return CF_ENOMEM;
    case ENOENT:
    case ENOTDIR:
        return CF_ENOENT;
    case EACCES:
    case EPERM:
    case EROFS:
        return CF_EPERM;
    default:
        return CF_EIO;
    }
}

enum cf_status cf_fail_errno(struct cf_error *err, int errnum, const char *fmt, ...)
{
    va_list ap;
    size_t used;

    if (!err)
        return from_errno(errnum);
    if (err->status == CF_OK) {
        va_start(ap, fmt);
        set(err, from_errno(errnum), fmt, ap);
        va_end(ap);
        used = strlen(err->msg);
        snprintf(err->msg + used, sizeof err->msg - used, ": %s", strerror(errnum));
    }
    return err->status;
}

enum cf_status cf_wrap(struct cf_error *err, const char *fmt, ...)
{
    char was[CF_ERROR_MAX];
    va_list ap;
    size_t used;

    if (!err)
        return CF_EBUG;
    if (err->status == CF_OK)
        return CF_OK;
    memcpy(was, err->msg, sizeof was);
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", was);
    scrub(err->msg);
    return err->status;
}

/* One row per status: everything the rest of the program derives from it. */
static const struct {
    enum cf_status status;
    const char *name;
    bool retryable, environment;
    int exit;
} table[] = {
    {CF_OK, "OK", false, false, 0},
    {CF_EUSAGE, "EUSAGE", false, false, 64},
    {CF_EFORMAT, "EFORMAT", false, false, 65},
    {CF_ESHAPE, "ESHAPE", false, false, 65},
    {CF_ERANGE, "ERANGE", false, false, 65},
    {CF_EUNSUP, "EUNSUP", false, false, 65},
    {CF_ENOENT, "ENOENT", false, false, 66},
    {CF_EMISMATCH, "EMISMATCH", false, false, 65},
    {CF_ENOMEM, "ENOMEM", true, true, 71},
    {CF_EIO, "EIO", true, true, 74},
    {CF_ENOSPC, "ENOSPC", true, true, 74},
    {CF_ECREAT, "ECREAT", true, true, 73},
    {CF_EPERM, "EPERM", true, true, 77},
    {CF_EBUSY, "EBUSY", true, true, 75},
    {CF_ECANCEL, "ECANCEL", true, true, 75},
    {CF_ELOST, "ELOST", true, true, 75},
    {CF_ENUMERIC, "ENUMERIC", true, false, 70},
    {CF_ECONFIG, "ECONFIG", false, false, 78},
    {CF_ECPU, "ECPU", false, false, 69},
    {CF_EBUG, "EBUG", true, false, 70},
};

static int row(enum cf_status status)
{
    int n = (int)(sizeof table / sizeof table[0]);

    for (int i = 0; i < n; i++)
        if (table[i].status == status)
            return i;
    return n - 1; /* an unknown number is our own mistake */
}

const char *cf_status_name(enum cf_status status)
{
    return table[row(status)].name;
}

bool cf_status_retryable(enum cf_status status)
{
    return table[row(status)].retryable;
}

bool cf_status_environment(enum cf_status status)
{
    return table[row(status)].environment;
}

int cf_status_exit(enum cf_status status)
{
    return table[row(status)].exit;
}
