/* pretok.h - cuts text into the pieces that Qwen2's byte-level BPE may not merge across.
 *
 * The published pattern, seven ordered alternatives, the first that matches at the cursor
 * wins:
 *
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N} |
 *    ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
 *
 * Written by hand over the classes of unicode.h: no regular expression library agrees
 * with the reference on every class, and this is linear. Two facts that surprise: U+017F
 * (long s) counts as s in 's; combining marks are neither letters nor numbers, so they
 * cut words. Qwen2 tokenizer, transformers tokenization_qwen2.py. */
#ifndef CF_TEXTENC_PRETOK_H
#define CF_TEXTENC_PRETOK_H

#include <stddef.h>

/* The pattern as tokenizer.json spells it; another one is another tokenizer. */
extern const char cf_pretok_pattern[];

/* Bytes of the piece at the head of s (well-formed UTF-8, already in NFC); 0 only when
 * len is 0. */
size_t cf_pretok_next(const char *s, size_t len);

#endif
