/* parse.h - numbers that people type: whole strings only, ranges checked, nothing
 * skipped. */
#ifndef CF_BASE_PARSE_H
#define CF_BASE_PARSE_H

#include <stdint.h>

#include "base/error.h"

/* what names the option or column in messages. CF_EUSAGE for anything but one number. */
enum cf_status cf_parse_int(const char *s, long lo, long hi, int *out, const char *what,
                            struct cf_error *err);
enum cf_status cf_parse_u64(const char *s, uint64_t *out, const char *what,
                            struct cf_error *err);
/* C locale, finite, lo <= x <= hi. */
enum cf_status cf_parse_num(const char *s, double lo, double hi, double *out,
                            const char *what, struct cf_error *err);
/* "WxH", both 1 .. 16383. */
enum cf_status cf_parse_size(const char *s, int *width, int *height, const char *what,
                             struct cf_error *err);
/* "a" or "a,b,c": at most max numbers in lo .. hi; *n of them. */
enum cf_status cf_parse_list(const char *s, double lo, double hi, double *out, int max,
                             int *n, const char *what, struct cf_error *err);

#endif
