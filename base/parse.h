/* parse.h - numbers that people type: whole strings only, ranges checked, nothing
 * skipped. */
#ifndef CF_BASE_PARSE_H
#define CF_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { CF_SIDE_MAX = 16383 }; /* pixels: what WebP can hold */

/* what names the option or column in messages. CF_EUSAGE for anything but one number in
 * lo..hi. */
enum cf_status cf_parse_int(const char *s, int lo, int hi, int *out, const char *what,
                            struct cf_error *err);
/* The same for 1..hi, or the word "auto", which is 0. */
enum cf_status cf_parse_auto(const char *s, int hi, int *out, const char *what,
                             struct cf_error *err);
enum cf_status cf_parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out,
                            const char *what, struct cf_error *err);
/* Bytes, also with K, M or G after the number (powers of 1024). */
enum cf_status cf_parse_bytes(const char *s, int64_t lo, int64_t hi, int64_t *out,
                              const char *what, struct cf_error *err);
enum cf_status cf_parse_u64(const char *s, uint64_t *out, const char *what,
                            struct cf_error *err);
/* C locale, finite, lo <= x <= hi. */
enum cf_status cf_parse_num(const char *s, double lo, double hi, double *out,
                            const char *what, struct cf_error *err);
/* "WxH" or "WXH", both 1..CF_SIDE_MAX. */
enum cf_status cf_parse_size(const char *s, int *width, int *height, const char *what,
                             struct cf_error *err);
/* A size by name, which a model's own list turns into pixels: "0.25M" (a class of
 * pixels), "3:2" (width to height), "3:2@0.25M". What is not named is 0 or "". */
struct cf_size_name {
    int w, h;        /* the ratio, 1..1000 each; 0: none */
    char pixels[16]; /* the class, digits and a point before an M */
};
bool cf_size_name_read(const char *s, struct cf_size_name *name);
/* An option that takes pixels or a name; *width and *height are 0 for a name. */
enum cf_status cf_parse_size_or_name(const char *s, int *width, int *height,
                                     const char *what, struct cf_error *err);
/* "a" or "a,b,c": at most max numbers in lo .. hi; *n of them. */
enum cf_status cf_parse_list(const char *s, double lo, double hi, double *out, int max,
                             int *n, const char *what, struct cf_error *err);
/* One of the words, which end with NULL; *out is its place among them. */
enum cf_status cf_parse_word(const char *s, const char *const *words, int *out,
                             const char *what, struct cf_error *err);

/* A text that is read from the left, for notations made of numbers: [p, end) is what is
 * left of it, no NUL needed. A function that gives false has read nothing of use; p then
 * stands where it could not go on. */
struct cf_scan {
    const char *p, *end;
};
void cf_scan_blanks(struct cf_scan *s); /* spaces and tabs, perhaps none */
bool cf_scan_lit(struct cf_scan *s, const char *lit);
bool cf_scan_u64(struct cf_scan *s, uint64_t *v); /* decimal digits alone */
bool cf_scan_i64(struct cf_scan *s, int64_t *v);  /* perhaps a sign before them */

#endif
