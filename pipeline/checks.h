/* checks.h - is the image of a done job what its row says? */
#ifndef CF_PIPELINE_CHECKS_H
#define CF_PIPELINE_CHECKS_H

#include "jobs/detail.h"

/* What is wrong: kind is one word, NULL where nothing is.
 *   missing   there is no file
 *   file      a link, a directory, a file that cannot be read, or a row whose path or
 *             numbers cannot be
 *   size      of the file, or of the image in pixels
 *   hash      SHA-256 of the file
 *   damaged   no WebP that decodes
 *   pixels    SHA-256 of the decoded pixels; without loss only
 *   metadata  the embedded record names another job or other pixels */
struct cf_finding {
    const char *kind;
    char text[CF_ERROR_MAX];
};

/* deep: also its bytes, decoded. Fails only for what says nothing about the image (no
 * memory, no permission). */
enum cf_status cf_check_stored(const char *root, const struct cf_detail *d, bool deep,
                               struct cf_finding *f, struct cf_error *err);

#endif
