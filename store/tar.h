/* tar.h - many images in one file: webdataset shards that grow by whole samples.
 *
 * ROOT/NNNNN.tar holds samples of three members each, adjacent and with one stem of nine
 * digits (five of the tar's number, four of the sample's place in it): STEM.json,
 * STEM.txt, STEM.webp. ustar, mode 0644, uid and gid 0, no names, mtime 0: the same
 * samples in the same order give the same bytes. ROOT/NNNNN.jsonl is its manifest, one
 * line a sample. Both names and stems are those of img2dataset.
 *
 * While it grows both carry the suffix ".part", and the tar a flock: of one file two
 * processes append to, one would cut off what the other counts. (Where a file system has
 * no locks only the queue's row keeps them apart.)
 *
 *     open -> (add, line)* -> sync -> the caller commits the size -> ... -> finish -> row
 *
 * Numbers are a queue's own: store/owner.h keeps two queues out of one directory.
 *
 * What counts is the size that the caller has committed, never the length of the file:
 * whatever lies beyond it when the tar is opened again is cut off, byte by byte wherever
 * a crash left it. Finish writes the end, syncs, renames the manifest and then the tar:
 * after a kill between these an open takes the manifest's name back.
 *
 * Errors. After a write that failed (disk full) the files end with the last whole sample
 * and the tar can be used: sync what is there, or try again. After a failed fdatasync, or
 * when the cut fails too, this tar is given up: every later call but close returns the
 * same error. What was added since the last good sync is lost then (the kernel may have
 * dropped the pages and report success the next time): the caller closes, makes these
 * samples anew and opens at the size that it has committed. A tar belongs to one thread.
 */
#ifndef CF_STORE_TAR_H
#define CF_STORE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/webp.h"

enum { CF_TAR_SAMPLES = 10000, CF_TAR_PATH = 16 /* "NNNNN.tar" */, CF_TAR_MAX = 99999 };

struct cf_tar;

struct cf_tar_size {
    int members;
    int64_t bytes, manifest_bytes;
};

/* Begin (at zero) or go on at this size. root exists (cf_sink_open makes it).
 *   CF_EBUSY    another process has its lock
 *   CF_EFORMAT  a file is missing or shorter than the size says (message: both sizes);
 *               nothing was changed
 *   CF_ECREAT   NNNNN.tar or .jsonl is there and is another one than this: of another
 *               queue, presumably; or no plain file has the name
 *   CF_ERANGE   a number or size that cannot be
 * NNNNN.tar of exactly this size and its end is opened too (somebody died between the
 * rename and the row): then cf_tar_finished is true and nothing can be added. */
enum cf_status cf_tar_open(struct cf_tar **tar, const char *root, int number,
                           const struct cf_tar_size *at, struct cf_error *err);
bool cf_tar_finished(const struct cf_tar *tar);
void cf_tar_close(struct cf_tar *tar); /* NULL is fine; the files stay as they are */

/* One sample, written but not yet on disk, in two calls: cf_tar_add puts its members into
 * the tar and tells where, cf_tar_line puts the line that repeats this into the manifest
 * and makes it whole. json and line are one JSON object each, without line ends. *offset
 * is where the image begins in the tar, path (CF_TAR_PATH bytes) its final name. On
 * failure of either the files are cut back to the end of the last whole sample.
 * CF_ENOSPC, CF_EIO, CF_EPERM; CF_ERANGE at CF_TAR_SAMPLES. */
struct cf_tar_sample {
    const struct cf_blob *webp;
    const char *prompt, *json;
    size_t prompt_len;
};
enum cf_status cf_tar_add(struct cf_tar *tar, const struct cf_tar_sample *s,
                          int64_t *offset, char *path, struct cf_error *err);
enum cf_status cf_tar_line(struct cf_tar *tar, const char *line, struct cf_error *err);

/* All that was added is on disk when it returns CF_OK; *size is what may be committed. */
enum cf_status cf_tar_sync(struct cf_tar *tar, struct cf_tar_size *size,
                           struct cf_error *err);
/* Back to an earlier size, one that cf_tar_sync or cf_tar_open knew: what was added since
 * is not wanted. To the present size: gives up a sample that waits for its line. */
enum cf_status cf_tar_cut(struct cf_tar *tar, const struct cf_tar_size *size,
                          struct cf_error *err);
/* End blocks, sync, final names, sync of the directory. All samples were synced and
 * committed (CF_EBUG otherwise: opened again at the committed size it would be another
 * tar). A tar without samples is removed. On failure the row stays open: close, and open
 * again at the same size. A finished one stays as it is. */
enum cf_status cf_tar_finish(struct cf_tar *tar, struct cf_error *err);

#endif
