/* tar.h - many images in one file: webdataset shards that grow by whole samples.
 *
 * ROOT/NNNNN.tar holds samples of three members each, adjacent and with one stem of nine
 * digits (five of the tar's number, four of the sample's place in it): STEM.json,
 * STEM.txt, STEM.webp. ustar, mode 0644, uid and gid 0, no names, mtime 0: the same
 * samples in the same order give the same bytes. ROOT/NNNNN.jsonl is its manifest, one
 * line a sample. Headers are made by libarchive.
 *
 * While it grows both carry the suffix ".part" and a lock. The caller remembers how far
 * it counts (struct cf_tar_size after cf_tar_sync); whatever lies beyond when it is
 * opened again is cut off, byte by byte wherever a crash left it. */
#ifndef CF_STORE_TAR_H
#define CF_STORE_TAR_H

#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

enum { CF_TAR_SAMPLES = 10000, CF_TAR_PATH = 16 /* "NNNNN.tar" */ };

struct cf_tar;

struct cf_tar_size {
    int members;
    int64_t bytes, manifest_bytes;
};

/* Begin (at zero) or go on at this size. CF_EBUSY where another process holds its lock;
 * CF_EFORMAT where a file is shorter than the size says (names both). A tar that has its
 * final name already is opened too when its bytes agree: then cf_tar_finished is true
 * and nothing can be added (somebody died between the rename and the row). */
enum cf_status cf_tar_open(struct cf_tar **tar, const char *root, int number,
                           const struct cf_tar_size *at, struct cf_error *err);
bool cf_tar_finished(const struct cf_tar *tar);
void cf_tar_close(struct cf_tar *tar); /* NULL is fine; the files stay as they are */

/* One sample, written but not yet on disk. json and line are one JSON object each,
 * without line ends; line goes to the manifest. *offset is where the image begins in the
 * tar, path (CF_TAR_PATH bytes) its final name. On failure the files are cut back to the
 * end of the last whole sample. CF_ENOSPC, CF_EIO; CF_ERANGE at CF_TAR_SAMPLES. */
struct cf_tar_sample {
    const struct cf_blob *webp;
    const char *prompt, *json;
    size_t prompt_len;
};
enum cf_status cf_tar_add(struct cf_tar *tar, const struct cf_tar_sample *s,
                          int64_t *offset, char *path, struct cf_error *err);
enum cf_status cf_tar_line(struct cf_tar *tar, const char *line, struct cf_error *err);

/* All that was added is on disk when it returns CF_OK; *size is what now counts. */
enum cf_status cf_tar_sync(struct cf_tar *tar, struct cf_tar_size *size,
                           struct cf_error *err);
/* Back to an earlier size: what was added since is not wanted. */
enum cf_status cf_tar_cut(struct cf_tar *tar, const struct cf_tar_size *size,
                          struct cf_error *err);
/* End blocks, sync, final names, sync of the directory. */
enum cf_status cf_tar_finish(struct cf_tar *tar, struct cf_error *err);

/* The image at offset of ROOT/path, or of the file that still carries ".part". */
enum cf_status cf_tar_read(const char *root, const char *path, int64_t offset,
                           int64_t bytes, struct cf_blob *blob, struct cf_error *err);

#endif
