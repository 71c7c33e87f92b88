/* input.h - lines of a file, gzipped or not, or of a pipe, in bounded memory.
 *
 * A leading UTF-8 byte order mark is dropped. The hash is that of the text after
 * decompression. */
#ifndef CF_JOBS_INPUT_H
#define CF_JOBS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"

enum { CF_LINE_MAX = 1 << 20 };

struct cf_input;

struct cf_line {
    const char *text; /* without its newline; lives until the next call */
    size_t len;
    int64_t number; /* counts from 1 */
    bool
        too_long; /* more than CF_LINE_MAX: text is its beginning, the rest was skipped */
};

/* "-" is standard input. CF_ENOENT, CF_EFORMAT for a directory. */
enum cf_status cf_input_open(struct cf_input **in, const char *path,
                             struct cf_error *err);
void cf_input_close(struct cf_input *in); /* NULL is fine */

/* *end at the end of the input. CF_EFORMAT on damaged or cut compressed data and on
 * UTF-16; CF_EIO. */
enum cf_status cf_input_line(struct cf_input *in, struct cf_line *line, bool *end,
                             struct cf_error *err);

/* True when a pipe or terminal has no whole line to give for a fifth of a second, and at
 * least once a second of one that keeps giving: the time to let others at the queue.
 * Never for a file. */
bool cf_input_waits(struct cf_input *in);

/* The next call of cf_input_line gives the last line once more. */
void cf_input_again(struct cf_input *in);

/* Hash of all that was read; at the end of the input that is the whole text. Once. */
enum cf_status cf_input_hash(struct cf_input *in, char hex[CF_DIGEST_HEX],
                             struct cf_error *err);

#endif
