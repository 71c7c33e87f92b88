/* positive.h - the reference's extra for prompts that name people.
 *
 * Where a prompt holds one of some words about people, anywhere, also inside other words
 * ("man" in "romantic"), one sentence about faces is appended, once. Never to a negative
 * prompt. Infinity, tools/run_infinity.py, aug_with_positive_prompt. */
#ifndef CF_PIPELINE_POSITIVE_H
#define CF_PIPELINE_POSITIVE_H

#include <stddef.h>

#include "base/error.h"

/* The longer prompt, fresh (cf_free), in *out, or NULL where nothing is appended. */
enum cf_status cf_positive(char **out, const char *prompt, size_t len,
                           struct cf_error *err);

#endif
