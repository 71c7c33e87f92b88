/* spm.h - SentencePiece for C: the only door to the only C++ in the tree (spm.cc).
 *
 * Unigram and BPE models alike; normalizer, dummy prefix and byte fallback are all inside
 * the model file, and the file is trusted no further than SentencePiece trusts it: a
 * model directory checks its hash first. No exception leaves spm.cc.
 *
 * Text goes in as pointer and length and may hold NUL; ill-formed UTF-8 is handed over as
 * it is, and what SentencePiece makes of it differs from what it makes of U+FFFD, so
 * repair before (base/utf8.h). An open processor is read-only: any number of threads may
 * use it. Kudo & Richardson, "SentencePiece", arXiv 1808.06226. */
#ifndef CF_TEXTENC_SPM_H
#define CF_TEXTENC_SPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/error.h"

enum { CF_SPM_MAX_FILE = 64 << 20, CF_SPM_MAX_TEXT = 1 << 28 };

struct cf_spm;

/* CF_ENOENT, CF_EIO, CF_ENOMEM; CF_EFORMAT for an empty, damaged or foreign file and for
 * more than CF_SPM_MAX_FILE bytes. */
enum cf_status cf_spm_open(struct cf_spm **spm, const char *path, struct cf_error *err);
/* data is read now and not kept; where names it in messages. */
enum cf_status cf_spm_open_mem(struct cf_spm **spm, const void *data, size_t size,
                               const char *where, struct cf_error *err);
void cf_spm_close(struct cf_spm *spm); /* NULL is fine */

/* Ids of text, bos before and eos after where asked for.
 *   ids [cap]  out: the first min(cap, *n) ids; NULL with cap 0 is fine
 *   n          out: how many there are
 * CF_EUNSUP when the model has no bos or eos; CF_ERANGE above CF_SPM_MAX_TEXT. */
enum cf_status cf_spm_encode(const struct cf_spm *spm, const char *text, size_t len,
                             bool add_bos, bool add_eos, int32_t *ids, size_t cap,
                             size_t *n, struct cf_error *err);

/* Text of ids, fresh (cf_free) and NUL-terminated; control pieces give nothing. CF_ERANGE
 * for an id outside 0 .. size-1. */
enum cf_status cf_spm_decode(const struct cf_spm *spm, const int32_t *ids, size_t n,
                             char **text, size_t *len, struct cf_error *err);

int32_t cf_spm_size(const struct cf_spm *spm);
/* Borrowed, lives as long as spm; NULL for an id outside 0 .. size-1. */
const char *cf_spm_piece(const struct cf_spm *spm, int32_t id, size_t *len);
/* -1 where there is no such piece (SentencePiece itself would answer unk). */
int32_t cf_spm_id(const struct cf_spm *spm, const char *piece, size_t len);
float cf_spm_score(const struct cf_spm *spm, int32_t id); /* 0 outside 0 .. size-1 */

/* -1: the model has none. */
int32_t cf_spm_bos(const struct cf_spm *spm);
int32_t cf_spm_eos(const struct cf_spm *spm);
int32_t cf_spm_pad(const struct cf_spm *spm);
int32_t cf_spm_unk(const struct cf_spm *spm);

/* False outside 0 .. size-1. */
bool cf_spm_is_unknown(const struct cf_spm *spm, int32_t id);
bool cf_spm_is_control(const struct cf_spm *spm, int32_t id);
bool cf_spm_is_byte(const struct cf_spm *spm, int32_t id);

#ifdef __cplusplus
}
#endif

#endif
