#include "textenc/pretok.h"

#include <stdbool.h>
#include <stdint.h>

#include "textenc/unicode.h"

const char cf_pretok_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Class of the character at byte i and the place after it; i < len. */
static enum cf_uclass look(const char *s, size_t len, size_t i, size_t *next)
{
    int32_t cp;

    *next = i + cf_unicode_next(s + i, len - i, &cp);
    return cf_unicode_class(cp);
}

/* End of the run of class c that starts at i. */
static size_t run(const char *s, size_t len, size_t i, enum cf_uclass c)
{
    size_t next;

    while (i < len && look(s, len, i, &next) == c)
        i = next;
    return i;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Length of 's 't 're 've 'm 'll 'd in any case at the head of s, 0 if there is none. */
static size_t contraction(const char *s, size_t len)
{
    char a, b;

    if (len < 2 || s[0] != '\'')
        return 0;
    a = lower(s[1]);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (len < 3)
        return 0;
    if (s[1] == '\xc5' && s[2] == '\xbf') /* U+017F */
        return 3;
    b = lower(s[2]);
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return 0;
}

/* Alternatives 5 to 7 for the run of white space and newlines at the head of s. */
static size_t blanks(const char *s, size_t len)
{
    size_t i = 0, last = 0, after_newline = 0, next;

    while (i < len) {
        enum cf_uclass c = look(s, len, i, &next);

        if (c != CF_U_SPACE && c != CF_U_NEWLINE)
            break;
        if (c == CF_U_NEWLINE)
            after_newline = next;
        last = i;
        i = next;
    }
    if (after_newline)
        return after_newline;
    if (i < len && last > 0)
        return last; /* the last blank belongs to what follows */
    return i;
}

size_t cf_pretok_next(const char *s, size_t len)
{
    size_t n, next, after;
    enum cf_uclass c, d;

    if (len == 0)
        return 0;
    n = contraction(s, len);
    if (n)
        return n;
    c = look(s, len, 0, &next);
    if (c == CF_U_LETTER)
        return run(s, len, next, CF_U_LETTER);
    if (c == CF_U_NUMBER)
        return next;
    if (c != CF_U_NEWLINE && next < len) {
        d = look(s, len, next, &after);
        if (d == CF_U_LETTER)
            return run(s, len, after, CF_U_LETTER);
        if (s[0] == ' ' && d == CF_U_REST)
            c = CF_U_REST;
    }
    if (c == CF_U_REST) {
        next = run(s, len, next, CF_U_REST);
        return run(s, len, next, CF_U_NEWLINE);
    }
    return blanks(s, len);
}
