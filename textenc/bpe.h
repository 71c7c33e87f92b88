/* bpe.h - Qwen2's tokenizer: byte-level byte pair encoding.
 *
 *   text -> cut out added tokens -> NFC of each rest -> pieces (pretok.h) -> bytes ->
 * merges
 *
 * Within a piece the adjacent pair of lowest rank merges first, leftmost on ties, until
 * none merges; by a heap, so that a word of a megabyte costs n log n. Ids are those of
 * transformers' Qwen2Tokenizer, exactly. Nothing is put before or after the text.
 *
 * Text is well-formed UTF-8 (repair it first, base/utf8.h), given with its length; NUL is
 * a character. An open tokenizer is read-only: any number of threads may use it. */
#ifndef CF_TEXTENC_BPE_H
#define CF_TEXTENC_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cf_bpe;

/* path as in bpe_files.h: tokenizer.json, vocab.json, or their directory. */
enum cf_status cf_bpe_open(struct cf_bpe **bpe, const char *path, struct cf_error *err);
void cf_bpe_close(struct cf_bpe *bpe); /* NULL is fine */

/* Ids of text. With parse_special the added tokens ("<|im_start|>") in it become their
 * ids, as in the reference; without, they are plain text: the choice for text of users.
 *   ids [cap]  out: the first min(cap, *n) ids; NULL with cap 0 is fine
 *   n          out: how many there are
 * CF_EFORMAT on ill-formed UTF-8; CF_ERANGE above 256 MiB; CF_ENOMEM. */
enum cf_status cf_bpe_encode(const struct cf_bpe *bpe, const char *text, size_t len,
                             bool parse_special, int32_t *ids, size_t cap, size_t *n,
                             struct cf_error *err);

/* Text of ids, fresh (cf_free) and NUL-terminated; bytes that do not form UTF-8 become
 * U+FFFD. skip_special leaves out the added tokens marked special. CF_ERANGE for an id
 * that is no token. */
enum cf_status cf_bpe_decode(const struct cf_bpe *bpe, const int32_t *ids, size_t n,
                             bool skip_special, char **text, size_t *len,
                             struct cf_error *err);

int32_t cf_bpe_size(const struct cf_bpe *bpe); /* largest id, added ones too, plus 1 */

/* Id of a whole token as written in text, added tokens first; -1 if there is none. */
int32_t cf_bpe_id(const struct cf_bpe *bpe, const char *s, size_t len);

/* What tokenizer_config.json names, -1 where it names none. */
int32_t cf_bpe_bos(const struct cf_bpe *bpe);
int32_t cf_bpe_eos(const struct cf_bpe *bpe);
int32_t cf_bpe_pad(const struct cf_bpe *bpe); /* else "<|endoftext|>" */
int32_t cf_bpe_unk(const struct cf_bpe *bpe);
bool cf_bpe_pad_left(const struct cf_bpe *bpe);

#endif
