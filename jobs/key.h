/* key.h - what identifies a job, and its name.
 *
 * The key is SHA-256 over this text, where L(x) is the decimal length of x in bytes, a
 * colon, x and a newline:
 *
 *     "cfgen-job-1\n"  L(prompt)  L(negative) or "-\n"  L(recipe)  seed "\n"  w "x" h
 * "\n"
 *
 * Lengths in front make it impossible for two jobs to give the same text. recipe is the
 * canonical JSON of jobs/recipe.h, seed is decimal and unsigned. The key neither names
 * the model's weights nor the build: the output's row does. */
#ifndef CF_JOBS_KEY_H
#define CF_JOBS_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

/* All borrowed. */
struct cf_job_spec {
    const char *prompt;
    size_t prompt_len;
    const char *negative; /* NULL for none */
    size_t negative_len;
    const char *recipe; /* canonical JSON */
    uint64_t seed;
    int width, height; /* 0: the model's default */
};

enum cf_status cf_job_key(const struct cf_job_spec *spec, char key[CF_DIGEST_HEX],
                          struct cf_error *err);

#endif
