#include "pipeline/out_part.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "weights/model.h"

enum { COPY_BLOCK = 1 << 20 };

static enum cf_status make_entry(json_t **entry, const char *path, const char *name,
                                 struct cf_error *err)
{
    char hex[CF_DIGEST_HEX], sample[CF_DIGEST_HEX];
    struct stat info;

    if (stat(path, &info) != 0)
        return cf_fail_errno(err, errno, "%s", path);
    CF_TRY(cf_digest_file(path, hex, err));
    if (info.st_size > CF_MODEL_SAMPLED) {
        CF_TRY(cf_model_sample(path, sample, err));
        *entry = json_pack("{s:s, s:s, s:I, s:s}", "file", name, "sha256", hex, "bytes",
                           (json_int_t)info.st_size, "sample", sample);
    } else {
        *entry = json_pack("{s:s, s:s}", "file", name, "sha256", hex);
    }
    return *entry ? CF_OK : cf_fail(err, CF_ENOMEM, "entry of %s", name);
}

enum cf_status cf_out_entry(const struct cf_out *out, json_t **entry, const char *name,
                            struct cf_error *err)
{
    char *path = cf_out_path(out, name, err);
    enum cf_status st = path ? make_entry(entry, path, name, err) : CF_ENOMEM;

    cf_free(path);
    return st;
}

/* All n bytes; false and errno. */
static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno != EINTR)
            return false;
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

/* What is left of in: inside the kernel where it can, else through memory. */
static bool copy_bytes(int to, int in, size_t size, char *block)
{
    bool inside = true;

    while (size > 0) {
        ssize_t n = inside ? copy_file_range(in, NULL, to, NULL, size, 0)
                           : read(in, block, size < COPY_BLOCK ? size : COPY_BLOCK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && inside) { /* another file system, an old kernel, a full disk */
            inside = false;
            continue;
        }
        if (n == 0)
            errno = EIO; /* it became shorter */
        if (n <= 0 || (!inside && !write_all(to, block, (size_t)n)))
            return false;
        size -= (size_t)n;
    }
    return fsync(to) == 0;
}

enum cf_status cf_out_copy(const struct cf_out *out, const char *name, const char *from,
                           struct cf_error *err)
{
    char *path = cf_out_path(out, name, err), *block = cf_alloc(COPY_BLOCK, 1, err);
    int in = -1, to = -1;
    size_t size = 0;
    enum cf_status st = path && block ? CF_OK : CF_ENOMEM;

    if (st == CF_OK && (in = cf_file_open(from, &size, err)) < 0)
        st = cf_fail(err, CF_EIO, "%s", from);
    if (st == CF_OK &&
        (to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0)
        st = cf_fail_errno(err, errno, "%.300s: create", path);
    if (st == CF_OK && !copy_bytes(to, in, size, block))
        st = cf_fail_errno(err, errno, "%.300s: copy of %zu bytes", path, size);
    if (to >= 0 && close(to) != 0 && st == CF_OK)
        st = cf_fail_errno(err, errno, "%.300s: close", path);
    if (in >= 0)
        close(in);
    cf_free(block);
    cf_free(path);
    return st;
}
