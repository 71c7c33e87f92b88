/* zip_check.h - the end of a zip file, before a library reads the directory it points at.
 *
 * libzip asks for memory by the directory's own words. A hostile one may list millions of
 * entries; ours has one for each storage. */
#ifndef CF_WEIGHTS_ZIP_CHECK_H
#define CF_WEIGHTS_ZIP_CHECK_H

#include <stddef.h>

#include "base/error.h"

enum {
    CF_ZIP_MAX_ENTRIES = 1 << 17,
    CF_ZIP_MAX_DIRECTORY = 32 << 20, /* bytes */
};

/* fd is open for reading and size bytes long; where names it. CF_EFORMAT where it does
 * not begin and end as a zip file (telling what it is, where that is known), CF_EUNSUP
 * beyond the limits or for a PyTorch file that is no zip; CF_EIO, CF_ENOMEM. */
enum cf_status cf_zip_check(int fd, size_t size, const char *where, struct cf_error *err);

#endif
