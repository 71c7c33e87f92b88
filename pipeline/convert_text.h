/* convert_text.h - a downloaded folder of a text encoder becomes two parts of a model.
 *
 * A folder has config.json, weights in whatever form (weights/source.h), and usually the
 * tokenizer's files: spiece.model for T5, tokenizer.json or vocab.json and merges.txt for
 * Qwen2 and its like, with tokenizer_config.json beside them. What is copied:
 *
 *     text_encoder/config.json        as it was
 *     text_encoder/model.safetensors  the tensors that an encoder reads: no decoder, no
 *                                     head, no vision
 *     spiece.model                    or
 *     tokenizer/...                   the files of a byte-level BPE tokenizer */
#ifndef CF_PIPELINE_CONVERT_TEXT_H
#define CF_PIPELINE_CONVERT_TEXT_H

#include "pipeline/convert_out.h"
#include "pipeline/convert_take.h"
#include "textenc/known.h"
#include "weights/model_spec.h"

enum { CF_TOK_FILES = 3 };

struct cf_convert_text {
    struct cf_encoder_config config;
    struct cf_source *src;
    struct cf_state state;
    struct cf_take take;
    char *dir, *config_path;
    char prefix[CF_STATE_NAME + 2]; /* of the names that are written: "model." */
    int dropped;
    bool spm;                /* SentencePiece, not BPE */
    char *tok_path;          /* what cf_tok_open takes */
    char *tok[CF_TOK_FILES]; /* files to copy; NULL behind the last */
};

/* What is asked of it; NULL and zero where nothing is. */
struct cf_convert_text_spec {
    const char *dir;       /* folder, or a weights file beside its config.json */
    const char *tokenizer; /* file or folder; NULL: dir */
    const char *key;       /* of cf_state_enter */
    const char *const *ignore;
    struct cf_take_type type;
};

/* Opens and checks all of it: config, weights (every tensor by name and shape), tokenizer
 * (which may have no more ids than the embedding has rows). Nothing is written. *t is to
 * be closed in any case. Errors of the config readers, of cf_source_open, cf_state_enter
 * and cf_take_check; CF_ENOENT for a missing tokenizer names what was looked for. */
enum cf_status cf_convert_text_open(struct cf_convert_text *t,
                                    const struct cf_convert_text_spec *spec,
                                    struct cf_error *err);
void cf_convert_text_close(struct cf_convert_text *t); /* a zeroed struct is fine */

/* Writes both parts into out and enters their files into the manifest. */
enum cf_status cf_convert_text_write(const struct cf_convert_text *t, struct cf_out *out,
                                     struct cf_dnn *dnn, struct cf_model_spec *manifest,
                                     struct cf_error *err);

#endif
