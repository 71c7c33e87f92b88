/* vocab.h - byte strings <-> ids, and which two ids merge into which third.
 *
 * The tables of a byte-level BPE tokenizer, without its files: two open-addressing hash
 * tables over one block of bytes. Filled by one thread, then read-only for all.
 * Sennrich et al., arXiv 1508.07909; over bytes as in GPT-2. */
#ifndef CF_TEXTENC_VOCAB_H
#define CF_TEXTENC_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    CF_VOCAB_MAX = 1 << 22, /* ids are below this */
    CF_VOCAB_NO_ID = -1
};

struct cf_vocab;

/* Room for n tokens and merges more is made as they come. */
struct cf_vocab *cf_vocab_open(struct cf_error *err);
void cf_vocab_close(struct cf_vocab *v); /* NULL is fine */

/* Token id is these len bytes (copied). CF_EFORMAT for an id outside 0..CF_VOCAB_MAX-1,
 * an id or a string given twice, or an empty string. */
enum cf_status cf_vocab_add(struct cf_vocab *v, int64_t id, const char *s, size_t len,
                            struct cf_error *err);

int32_t cf_vocab_size(const struct cf_vocab *v); /* largest id + 1; there may be gaps */
int32_t cf_vocab_find(const struct cf_vocab *v, const char *s, size_t len); /* or NO_ID */

/* The bytes of id, borrowed, not terminated; NULL and *len = 0 for a gap or no such id.
 */
const char *cf_vocab_bytes(const struct cf_vocab *v, int32_t id, size_t *len);

/* The next merge in order of rank: left followed by right is their concatenation, which
 * must be a token too. CF_EFORMAT where it is not, or for a pair given twice. */
enum cf_status cf_vocab_merge(struct cf_vocab *v, int32_t left, int32_t right,
                              struct cf_error *err);

/* Rank (0 merges first) and result of a pair; false where it does not merge. */
bool cf_vocab_pair(const struct cf_vocab *v, int32_t left, int32_t right, uint32_t *rank,
                   int32_t *id);

#endif
