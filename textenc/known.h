/* known.h - the text encoders that people download, as data.
 *
 * Sizes of flan-t5-xl and of the Qwen2, Qwen2.5 and Qwen3 models; their config.json, for
 * who makes weights of such a size; and the "text" section of model.json (textenc.c) that
 * goes with a family. Qwen2 and Qwen2.5 of 0.5B, 1.5B and 7B have the same sizes. */
#ifndef CF_TEXTENC_KNOWN_H
#define CF_TEXTENC_KNOWN_H

#include "textenc/encoder.h"
#include "textenc/qwen2_config.h"
#include "textenc/t5_config.h"

/* A config.json that was read, of either family. */
struct cf_encoder_config {
    enum cf_family family;
    struct cf_t5_config t5; /* of CF_FAMILY_T5 */
    struct cf_qwen2_config qwen2;
};

/* path: config.json, or a directory with one, or a weights file beside one. Errors of the
 * family's own reader. */
enum cf_status cf_encoder_config_load(struct cf_encoder_config *c, const char *path,
                                      struct cf_error *err);

/* Width of one tap. */
int cf_encoder_config_hidden(const struct cf_encoder_config *c);

struct cf_known_encoder {
    const char *name; /* "qwen2-1.5b" */
    struct cf_encoder_config config;
};

/* NULL behind the last. */
const struct cf_known_encoder *cf_known_encoder_at(int i);

/* CF_EUSAGE for an unknown name lists them all. */
enum cf_status cf_known_encoder_find(const struct cf_known_encoder **known,
                                     const char *name, struct cf_error *err);

/* The first with these sizes; NULL if there is none. */
const struct cf_known_encoder *cf_known_encoder_match(const struct cf_encoder_config *c);

/* Names of all whose features are of this width, "flan-t5-xl, qwen2.5-3b", into buf,
 * which is returned; "" for none. */
const char *cf_known_encoder_of_width(char *buf, size_t size, int hidden);

/* A config.json that reads back to the same; fresh, NULL where memory is out. */
json_t *cf_encoder_config_json(const struct cf_encoder_config *c);

/* The "text" section for prompts of up to max_tokens tokens, </s> of T5 included:
 * features after the last layer, no padding. Fresh, NULL where memory is out. */
json_t *cf_text_section(enum cf_family family, int max_tokens);

#endif
