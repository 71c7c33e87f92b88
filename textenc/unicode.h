/* unicode.h - what the tokenizers need to know of Unicode, by utf8proc.
 *
 * Every text here is well-formed UTF-8 (base/utf8.h decides that once, at the door) given
 * as pointer and length: NUL is a character like any other. */
#ifndef CF_TEXTENC_UNICODE_H
#define CF_TEXTENC_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The classes that the Qwen2 pattern tells apart. White space is the Unicode property
 * White_Space without CR and LF, which are a class of their own. */
enum cf_uclass { CF_U_LETTER, CF_U_NUMBER, CF_U_NEWLINE, CF_U_SPACE, CF_U_REST };

enum cf_uclass cf_unicode_class(int32_t cp);

/* The code point at the head of s and its bytes (1..4); len >= 1. */
size_t cf_unicode_next(const char *s, size_t len, int32_t *cp);

/* Normalization form C into a fresh buffer (cf_free), NUL-terminated. Time is n log n in
 * the longest run of combining marks: utf8proc_map sorts such a run in n^2, and a prompt
 * may be nothing but marks. CF_ENOMEM; CF_EFORMAT on ill-formed text. */
enum cf_status cf_unicode_nfc(const char *s, size_t len, char **out, size_t *out_len,
                              struct cf_error *err);

/* Each code point's simple lower case (utf8proc_tolower), fresh as above. */
enum cf_status cf_unicode_lower(const char *s, size_t len, char **out, size_t *out_len,
                                struct cf_error *err);

#endif
