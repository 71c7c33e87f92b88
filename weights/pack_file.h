/* pack_file.h - packed weights (dnn/packs.h) on disk: a safetensors file of blocks.
 *
 *     "00000 FORMAT" ...  U8 [bytes]   the blocks in their order
 *     "~key"              U8 [64]      hex SHA-256 of what they were made from and for
 *     "~sample"           U8 [64]      hex SHA-256 of names, sizes and samples of the
 * blocks
 *
 * It is mapped, so all processes that use it share one copy, and it is compared before it
 * is used: the structure with the size of the file, the key, and 256 pieces of 16 KiB
 * with their hash, as with the files of a model (weights/model.h). It is written beside
 * its name and renamed, so it is whole or not there. */
#ifndef CF_WEIGHTS_PACK_FILE_H
#define CF_WEIGHTS_PACK_FILE_H

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

enum { CF_PACK_FILE_FORMAT = 128 }; /* bytes of a block's format, NUL included */

struct cf_pack_file_block {
    char format[CF_PACK_FILE_FORMAT];
    const void *data; /* 64-byte aligned */
    size_t bytes;     /* a multiple of 64 */
};

struct cf_pack_file;

/* CF_ENOENT; CF_EMISMATCH where it was made for another key or is not as it was written;
 * CF_EFORMAT for what is no such file; errors of cf_st_open. */
enum cf_status cf_pack_file_open(struct cf_pack_file **file, const char *path,
                                 const char key[CF_DIGEST_HEX], struct cf_error *err);
void cf_pack_file_close(struct cf_pack_file *file); /* NULL is fine */
int cf_pack_file_count(const struct cf_pack_file *file);
const struct cf_pack_file_block *cf_pack_file_block(const struct cf_pack_file *file,
                                                    int i);

/* meta: an object of strings, for people. CF_EBUSY where another process is writing the
 * same file; CF_ENOSPC, CF_EPERM, CF_EIO: then there is no new file, and no rest of it.
 */
enum cf_status cf_pack_file_write(const char *path, const char key[CF_DIGEST_HEX],
                                  const json_t *meta,
                                  const struct cf_pack_file_block *block, int n,
                                  struct cf_error *err);

#endif
