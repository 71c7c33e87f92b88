#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

/* Length of the longest well-formed prefix of one sequence at s, and whether it is whole.
 * Unicode 15, table 3-7 and "U+FFFD Substitution of Maximal Subparts". */
static size_t scan(const unsigned char *s, size_t len, bool *whole)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t need;

    *whole = true;
    if (s[0] < 0x80)
        return 1;
    *whole = false;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        need = 1;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        need = 2;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        need = 3;
    else
        return 1;
    if (s[0] == 0xe0)
        lo = 0xa0;
    if (s[0] == 0xed)
        hi = 0x9f;
    if (s[0] == 0xf0)
        lo = 0x90;
    if (s[0] == 0xf4)
        hi = 0x8f;
    for (size_t i = 1; i <= need; i++) {
        if (i >= len || s[i] < lo || s[i] > hi)
            return i;
        lo = 0x80;
        hi = 0xbf;
    }
    *whole = true;
    return need + 1;
}

bool cf_utf8_valid(const char *s, size_t len, size_t *at)
{
    bool whole;

    for (size_t i = 0; i < len;) {
        size_t n = scan((const unsigned char *)s + i, len - i, &whole);

        if (!whole) {
            if (at)
                *at = i;
            return false;
        }
        i += n;
    }
    return true;
}

enum cf_status cf_utf8_repair(const char *s, size_t len, char **out, size_t *out_len,
                              struct cf_error *err)
{
    size_t room, at = 0;
    bool whole;
    char *p;

    if (!cf_mul_size(len, 3, &room) || !cf_add_size(room, 1, &room))
        return cf_fail(err, CF_ENOMEM, "text of %zu bytes is too long", len);
    p = cf_alloc(room, 1, err);
    if (!p)
        return CF_ENOMEM;
    for (size_t i = 0; i < len;) {
        size_t n = scan((const unsigned char *)s + i, len - i, &whole);

        memcpy(p + at, whole ? s + i : "\xef\xbf\xbd", whole ? n : 3);
        at += whole ? n : 3;
        i += n;
    }
    p[at] = '\0';
    *out = p;
    *out_len = at;
    return CF_OK;
}

static uint32_t code_point(const unsigned char *s, size_t n)
{
    static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & mask[n];

    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

static bool printable(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0x200b && c <= 0x200f) &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff;
}

char *cf_utf8_printable(const char *s, size_t len, size_t max, struct cf_error *err)
{
    size_t room, at = 0, i = 0, end = len < max ? len : max;
    bool whole;
    char *p;

    if (!cf_mul_size(end, 10, &room) || !(p = cf_alloc(room + 4, 1, err)))
        return NULL;
    while (i < end) {
        const unsigned char *b = (const unsigned char *)s + i;
        size_t n = scan(b, len - i, &whole);
        uint32_t c = whole ? code_point(b, n) : 0;

        if (i + n > end)
            break;
        if (!whole)
            at += (size_t)snprintf(p + at, room + 4 - at, "\\x%02x", b[0]);
        else if (!printable(c))
            at += (size_t)snprintf(p + at, room + 4 - at, "\\u{%x}", (unsigned)c);
        else {
            memcpy(p + at, b, n);
            at += n;
        }
        i += whole ? n : 1;
    }
    strcpy(p + at, i < len ? "..." : "");
    return p;
}
