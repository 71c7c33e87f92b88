#include "textenc/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/utf8.h"

enum {
    MAX_DECOMPOSED = 18, /* code points of the longest decomposition in Unicode */
    MAX_UTF8 = 4
};

enum cf_uclass cf_unicode_class(int32_t cp)
{
    if (cp == '\r' || cp == '\n')
        return CF_U_NEWLINE;
    if ((cp >= 0x09 && cp <= 0x0d) || cp == 0x20 || cp == 0x85 || cp == 0xa0 ||
        cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
        cp == 0x202f || cp == 0x205f || cp == 0x3000)
        return CF_U_SPACE;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CF_U_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CF_U_NUMBER;
    default:
        return CF_U_REST;
    }
}

size_t cf_unicode_next(const char *s, size_t len, int32_t *cp)
{
    static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *b = (const unsigned char *)s;
    size_t n = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

    if (n > len)
        n = len;
    *cp = b[0] & mask[n];
    for (size_t i = 1; i < n; i++)
        *cp = *cp << 6 | (b[i] & 0x3f);
    return n;
}

/* Marks of one run, sorted by combining class and, within a class, by place. */
struct mark {
    int32_t cp;
    int32_t ccc;
    size_t at;
};

static int by_class(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;

    if (x->ccc != y->ccc)
        return x->ccc < y->ccc ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int32_t combining_class(int32_t cp)
{
    return utf8proc_get_property(cp)->combining_class;
}

static bool run_in_order(const int32_t *cp, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (combining_class(cp[i]) < combining_class(cp[i - 1]))
            return false;
    return true;
}

/* Canonical Ordering Algorithm (Unicode 3.11, D109) for cp[0..n). */
static enum cf_status order_marks(int32_t *cp, size_t n, struct cf_error *err)
{
    for (size_t i = 0, end; i < n; i = end) {
        struct mark *run;

        for (end = i; end < n && combining_class(cp[end]) != 0; end++)
            ;
        if (run_in_order(cp + i, end - i)) {
            end += end == i;
            continue;
        }
        run = cf_alloc(end - i, sizeof(*run), err);
        if (!run)
            return CF_ENOMEM;
        for (size_t j = i; j < end; j++)
            run[j - i] = (struct mark){cp[j], combining_class(cp[j]), j};
        qsort(run, end - i, sizeof(*run), by_class);
        for (size_t j = i; j < end; j++)
            cp[j] = run[j - i].cp;
        cf_free(run);
    }
    return CF_OK;
}

/* Code points of s, decomposed canonically, not yet ordered. */
static enum cf_status decompose(const char *s, size_t len, int32_t **cp, size_t *n,
                                struct cf_error *err)
{
    size_t cap = 0;

    for (size_t i = 0; i < len;) {
        int32_t c;
        int boundary = 0;
        utf8proc_ssize_t got;

        CF_TRY(cf_grow(cp, &cap, *n + MAX_DECOMPOSED, sizeof(**cp), err));
        i += cf_unicode_next(s + i, len - i, &c);
        got = utf8proc_decompose_char(c, *cp + *n, MAX_DECOMPOSED,
                                      UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        if (got < 0 || got > MAX_DECOMPOSED)
            return cf_fail(err, CF_EFORMAT, "code point U+%04X: %s", (unsigned)c,
                           got < 0 ? utf8proc_errmsg(got) : "decomposition too long");
        *n += (size_t)got;
    }
    return CF_OK;
}

static enum cf_status to_utf8(const int32_t *cp, size_t n, char **out, size_t *out_len,
                              struct cf_error *err)
{
    size_t room, at = 0;
    char *p;

    if (!cf_mul_size(n, MAX_UTF8, &room) || !cf_add_size(room, 1, &room))
        return cf_fail(err, CF_ENOMEM, "text of %zu code points is too long", n);
    p = cf_alloc(room, 1, err);
    if (!p)
        return CF_ENOMEM;
    for (size_t i = 0; i < n; i++)
        at += (size_t)utf8proc_encode_char(cp[i], (utf8proc_uint8_t *)p + at);
    p[at] = '\0';
    *out = p;
    *out_len = at;
    return CF_OK;
}

static enum cf_status check_text(const char *s, size_t len, struct cf_error *err)
{
    size_t at;

    if (cf_utf8_valid(s, len, &at))
        return CF_OK;
    return cf_fail(err, CF_EFORMAT, "text is not UTF-8 at byte %zu", at);
}

static enum cf_status copy(const char *s, size_t len, char **out, size_t *out_len,
                           struct cf_error *err)
{
    *out = cf_strndup(s, len, err);
    *out_len = len;
    return *out ? CF_OK : CF_ENOMEM;
}

enum cf_status cf_unicode_nfc(const char *s, size_t len, char **out, size_t *out_len,
                              struct cf_error *err)
{
    enum cf_status st = check_text(s, len, err);
    int32_t *cp = NULL;
    size_t n = 0, ascii = 0;
    utf8proc_ssize_t got;

    if (st != CF_OK)
        return st;
    while (ascii < len && (unsigned char)s[ascii] < 0x80)
        ascii++;
    if (ascii == len)
        return copy(s, len, out, out_len, err);
    st = decompose(s, len, &cp, &n, err);
    if (st == CF_OK)
        st = order_marks(cp, n, err);
    if (st != CF_OK)
        goto out;
    got = utf8proc_normalize_utf32(cp, (utf8proc_ssize_t)n,
                                   UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (got < 0) {
        st = cf_fail(err, CF_EFORMAT, "normalization: %s", utf8proc_errmsg(got));
        goto out;
    }
    st = to_utf8(cp, (size_t)got, out, out_len, err);
out:
    cf_free(cp);
    return st;
}

enum cf_status cf_unicode_lower(const char *s, size_t len, char **out, size_t *out_len,
                                struct cf_error *err)
{
    enum cf_status st = check_text(s, len, err);
    int32_t *cp;
    size_t n = 0;

    if (st != CF_OK)
        return st;
    cp = cf_alloc(len, sizeof(*cp), err);
    if (!cp)
        return CF_ENOMEM;
    for (size_t i = 0; i < len; n++) {
        i += cf_unicode_next(s + i, len - i, &cp[n]);
        cp[n] = utf8proc_tolower(cp[n]);
    }
    st = to_utf8(cp, n, out, out_len, err);
    cf_free(cp);
    return st;
}
