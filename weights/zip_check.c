#include "weights/zip_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"

/* APPNOTE.TXT of PKWARE, 4.3.14 to 4.3.16. */
enum {
    HEAD = 512,
    END = 22,         /* end of central directory record */
    END64 = 56,       /* the same with 64-bit fields */
    COMMENT = 0xffff, /* behind END */
    TAIL = COMMENT + END + 20 + END64,
};

static enum cf_status read_at(int fd, void *dst, size_t n, size_t at, const char *where,
                              struct cf_error *err)
{
    unsigned char *p = dst;

    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, p + done, n - done, (off_t)(at + done));

        if (got < 0 && errno != EINTR)
            return cf_fail_errno(err, errno, "%.300s: read", where);
        if (got == 0)
            return cf_fail(err, CF_EFORMAT, "%.300s: ends at byte %zu", where, at + done);
        done += got > 0 ? (size_t)got : 0;
    }
    return CF_OK;
}

/* The two numbers of torch.save before 1.6: a pickle of this integer comes first. */
static const unsigned char legacy[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

/* What a file without a zip's beginning is, as far as its first bytes tell. */
static enum cf_status not_a_zip(const unsigned char *head, size_t n, const char *where,
                                struct cf_error *err)
{
    if (n > 2 + sizeof legacy && head[0] == 0x80 &&
        memcmp(head + 2, legacy, sizeof legacy) == 0)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a PyTorch file of the form before 1.6: save it anew with "
                       "torch.save(torch.load(FILE, map_location=\"cpu\"), NEW)",
                       where);
    if (n > 262 && memcmp(head + 257, "ustar", 5) == 0)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a tar archive: unpack it, or if it is a PyTorch file of "
                       "the form before 0.2, save it anew with a present torch.save",
                       where);
    if (n > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a plain pickle, not a file of torch.save: save the "
                       "weights with torch.save(STATE_DICT, NEW)",
                       where);
    CF_TRY(cf_file_no_download(head, n, where, err));
    return cf_fail(err, CF_EFORMAT,
                   "%.200s: begins as no zip file, expected a file of torch.save", where);
}

static enum cf_status check_counts(uint64_t entries, uint64_t bytes, const char *where,
                                   struct cf_error *err)
{
    if (entries > CF_ZIP_MAX_ENTRIES || bytes > CF_ZIP_MAX_DIRECTORY)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: a zip directory of %llu entries and %llu bytes, at most "
                       "%d and %d are read",
                       where, (unsigned long long)entries, (unsigned long long)bytes,
                       CF_ZIP_MAX_ENTRIES, CF_ZIP_MAX_DIRECTORY);
    return CF_OK;
}

/* Each place that could be taken for an end record, whichever a reader chooses. */
static enum cf_status check_tail(const unsigned char *tail, size_t n, const char *where,
                                 struct cf_error *err)
{
    bool found = false;

    for (size_t i = 0; i + END <= n; i++) {
        const unsigned char *p = tail + i;

        if (p[0] != 'P' || p[1] != 'K')
            continue;
        if (p[2] == 5 && p[3] == 6) {
            uint32_t entries = cf_load_u16(p + 10), bytes = cf_load_u32(p + 12);

            found = true;
            /* All ones: the 64-bit record says it. */
            CF_TRY(check_counts(entries == 0xffff ? 0 : entries,
                                bytes == 0xffffffff ? 0 : bytes, where, err));
        }
        if (p[2] == 6 && p[3] == 6 && i + END64 <= n)
            CF_TRY(check_counts(cf_load_u64(p + 32), cf_load_u64(p + 40), where, err));
    }
    if (!found)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: begins as a zip file and does not end as one: cut short?",
                       where);
    return CF_OK;
}

enum cf_status cf_zip_check(int fd, size_t size, const char *where, struct cf_error *err)
{
    size_t head_n = size < HEAD ? size : HEAD, tail_n = size < TAIL ? size : TAIL;
    unsigned char head[HEAD], *tail;
    enum cf_status status;

    CF_TRY(read_at(fd, head, head_n, 0, where, err));
    if (head_n < 4 || memcmp(head, "PK\3\4", 4) != 0)
        return not_a_zip(head, head_n, where, err);
    tail = cf_alloc(tail_n, 1, err);
    if (!tail)
        return CF_ENOMEM;
    status = read_at(fd, tail, tail_n, size - tail_n, where, err);
    if (status == CF_OK)
        status = check_tail(tail, tail_n, where, err);
    cf_free(tail);
    return status;
}
