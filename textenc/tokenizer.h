/* tokenizer.h - one face over the two tokenizers: SentencePiece and byte-level BPE. */
#ifndef CF_TEXTENC_TOKENIZER_H
#define CF_TEXTENC_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum cf_tok_flags {
    CF_TOK_BOS = 1,     /* the bos id before the text */
    CF_TOK_EOS = 2,     /* the eos id after it */
    CF_TOK_SPECIAL = 4, /* added tokens in the text become their ids ("bpe" alone) */
};

enum cf_tok_role { CF_TOK_BOS_ID, CF_TOK_EOS_ID, CF_TOK_PAD_ID, CF_TOK_UNK_ID };

struct cf_tok;

/* type: "sentencepiece" or "bpe" (CF_EUNSUP for another); path: a .model file, or as
 * bpe_files.h says. Read-only once open: any number of threads may use it. */
enum cf_status cf_tok_open(struct cf_tok **tok, const char *type, const char *path,
                           struct cf_error *err);
void cf_tok_close(struct cf_tok *tok); /* NULL is fine */

/* CF_EUNSUP when flags (enum cf_tok_flags) ask for what this tokenizer lacks. */
enum cf_status cf_tok_check(const struct cf_tok *tok, unsigned flags,
                            struct cf_error *err);

/* Ids of text (well-formed UTF-8, CF_EFORMAT otherwise), fresh in *ids [*n] (cf_free). */
enum cf_status cf_tok_encode(const struct cf_tok *tok, const char *text, size_t len,
                             unsigned flags, int32_t **ids, size_t *n,
                             struct cf_error *err);

/* Text of ids, fresh (cf_free) and NUL-terminated. SentencePiece always leaves out
 * control pieces; skip_special makes BPE leave out its special tokens. CF_ERANGE for a
 * bad id. */
enum cf_status cf_tok_decode(const struct cf_tok *tok, const int32_t *ids, size_t n,
                             bool skip_special, char **text, size_t *len,
                             struct cf_error *err);

int32_t cf_tok_size(const struct cf_tok *tok);                      /* largest id + 1 */
int32_t cf_tok_id(const struct cf_tok *tok, enum cf_tok_role role); /* -1: none */
bool cf_tok_pad_left(const struct cf_tok *tok); /* what its files say; right by default */

#endif
