/* layout.h - how images lie below the output root.
 *
 * "files": one file an image (store/sink.h). "tar": whole samples in NNNNN.tar
 * (store/tar.h); ten million files are a burden for many file systems and slow to read in
 * training. */
#ifndef CF_STORE_LAYOUT_H
#define CF_STORE_LAYOUT_H

#include <stdint.h>

#include "base/error.h"

enum cf_layout { CF_LAYOUT_AUTO, CF_LAYOUT_FILES, CF_LAYOUT_TAR };
enum { CF_LAYOUT_MANY = 100000 }; /* jobs that still become a file each */

/* "auto", "files" or "tar"; else CF_EUSAGE about what, an option's name. */
enum cf_status cf_layout_parse(const char *s, enum cf_layout *layout, const char *what,
                               struct cf_error *err);
/* The word that cf_layout_parse takes; static. */
const char *cf_layout_name(enum cf_layout layout);

/* AUTO becomes TAR above CF_LAYOUT_MANY jobs, else FILES; the others stay. */
enum cf_layout cf_layout_choose(enum cf_layout layout, int64_t jobs);

/* The output root: output where it was given, else "images" in dir, where the queue or
 * the plan is. Fresh string. */
char *cf_layout_root(const char *dir, const char *output, struct cf_error *err);

#endif
