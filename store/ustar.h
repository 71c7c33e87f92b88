/* ustar.h - members of a tar, as bytes: POSIX.1-1988 headers made and read by libarchive.
 *
 * A member is a block of 512 bytes that names it, then its content, filled up with zeros
 * to whole blocks. Two blocks of zeros end the archive. */
#ifndef CF_STORE_USTAR_H
#define CF_STORE_USTAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

enum { CF_USTAR_BLOCK = 512, CF_USTAR_END = 2 * CF_USTAR_BLOCK };

struct cf_ustar_member {
    const char *name; /* ASCII, under 100 bytes */
    const void *data;
    size_t size;
};

/* n members without an end: mode 0644, uid and gid 0, no names, mtime 0. *last is where
 * the content of the last one begins. CF_ERANGE for a member that a header cannot
 * describe (8 GiB), CF_ENOMEM. */
enum cf_status cf_ustar_make(const struct cf_ustar_member *m, int n, struct cf_blob *out,
                             int64_t *last, struct cf_error *err);

/* What a header says; the block is hostile. name holds CF_USTAR_NAME bytes. CF_EFORMAT
 * for anything but the header of one plain file (its checksum is checked). */
enum { CF_USTAR_NAME = 101 };
enum cf_status cf_ustar_read(const void *block, char *name, int64_t *size,
                             const char *where, struct cf_error *err);

#endif
