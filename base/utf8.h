/* utf8.h - text from outside is bytes until it was checked here. */
#ifndef CF_BASE_UTF8_H
#define CF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* True for well-formed UTF-8 (Unicode table 3-7: no surrogates, no overlong forms, at
 * most U+10FFFF); otherwise *at is the offset of the first ill-formed byte. NUL is
 * well-formed. */
bool cf_utf8_valid(const char *s, size_t len, size_t *at);

/* A fresh, NUL-terminated copy in which every maximal ill-formed part is replaced by
 * U+FFFD, as Python's "replace" and the WHATWG decoder do. *out is freed by cf_free. */
enum cf_status cf_utf8_repair(const char *s, size_t len, char **out, size_t *out_len,
                              struct cf_error *err);

/* A fresh printable copy for logs: control characters, bidi controls and ill-formed bytes
 * as \xNN or \u{NNNN}, at most max bytes of s, "..." where it was cut. */
char *cf_utf8_printable(const char *s, size_t len, size_t max, struct cf_error *err);

#endif
