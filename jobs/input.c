#include "jobs/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"

enum { CHUNK = 1 << 16, WAIT_MS = 200, TURN_MS = 1000 };

struct cf_input {
    gzFile gz; /* reads plain text through as it is */
    struct cf_digest *digest;
    int fd;       /* of a pipe or terminal; -1 for a file. gz owns it */
    int64_t turn; /* when cf_input_waits last said yes, monotonic ms */
    char *name;
    char *line; /* grows up to CF_LINE_MAX + 1 */
    size_t cap;
    struct cf_line last;
    bool again;
    size_t at, len; /* in buf */
    char buf[CHUNK];
};

static int64_t monotonic_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

enum cf_status cf_input_open(struct cf_input **out, const char *path,
                             struct cf_error *err)
{
    struct cf_input *in = cf_calloc(1, sizeof *in, err);
    enum cf_status st = CF_OK;
    struct stat sb;
    int fd;

    *out = NULL;
    if (!in)
        return CF_ENOMEM;
    in->name = cf_strdup(strcmp(path, "-") ? path : "standard input", err);
    in->digest = cf_digest_open(err);
    fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC)
                           : fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (!in->name || !in->digest)
        st = CF_ENOMEM;
    else if (fd < 0 || fstat(fd, &sb) != 0)
        st = cf_fail_errno(err, errno, "%s", in->name);
    else if (S_ISDIR(sb.st_mode))
        st = cf_fail(err, CF_EFORMAT, "%s: a directory", in->name);
    else if (!(in->gz = gzdopen(fd, "rb")))
        st = cf_fail(err, CF_ENOMEM, "%s: no memory to read it", in->name);
    if (st != CF_OK) {
        if (fd >= 0)
            close(fd);
        cf_input_close(in);
        return st;
    }
    in->fd = S_ISREG(sb.st_mode) ? -1 : fd;
    in->turn = monotonic_ms();
    *out = in;
    return CF_OK;
}

void cf_input_close(struct cf_input *in)
{
    char hex[CF_DIGEST_HEX];

    if (!in)
        return;
    if (in->digest)
        cf_digest_close(in->digest, hex, NULL);
    if (in->gz)
        gzclose(in->gz);
    cf_free(in->name);
    cf_free(in->line);
    cf_free(in);
}

/* zlib reads a file that was cut off to its last byte and tells it only by gzerror. */
static enum cf_status read_error(struct cf_input *in, struct cf_error *err)
{
    int code, errnum = errno;
    const char *words = gzerror(in->gz, &code);

    if (code == Z_ERRNO)
        return cf_fail_errno(err, errnum, "%s: read", in->name);
    if (code == Z_MEM_ERROR)
        return cf_fail(err, CF_ENOMEM, "%s: no memory to decompress", in->name);
    if (code == Z_BUF_ERROR)
        return cf_fail(err, CF_EFORMAT, "%s: compressed data end too early", in->name);
    return cf_fail(err, CF_EFORMAT, "%s: %s", in->name, words);
}

/* A pipe is read by what it has: zlib would wait for a full buffer. */
static enum cf_status read_some(struct cf_input *in, struct cf_error *err)
{
    int code = Z_OK;
    ssize_t n;

    do
        n = in->fd >= 0 ? read(in->fd, in->buf, CHUNK) : gzread(in->gz, in->buf, CHUNK);
    while (n < 0 && errno == EINTR && (gzclearerr(in->gz), true));
    if (in->fd >= 0 && n < 0)
        return cf_fail_errno(err, errno, "%s: read", in->name);
    if (n == 0 && in->fd < 0)
        gzerror(in->gz, &code);
    if (n < 0 || code != Z_OK)
        return read_error(in, err);
    in->at = 0;
    in->len = (size_t)n;
    return CF_OK;
}

static bool starts(const struct cf_input *in, const char *what, size_t n)
{
    return in->len >= n && memcmp(in->buf, what, n) == 0;
}

static enum cf_status fill(struct cf_input *in, struct cf_error *err)
{
    bool first = in->len == 0 && in->last.number == 0;

    CF_TRY(read_some(in, err));
    CF_TRY(cf_digest_add(in->digest, in->buf, in->len, err));
    if (!first)
        return CF_OK;
    if (starts(in, "\x1f\x8b", 2))
        return cf_fail(err, CF_EFORMAT,
                       "%s: compressed data on a pipe (zcat makes it text)", in->name);
    if (starts(in, "\xff\xfe", 2) || starts(in, "\xfe\xff", 2))
        return cf_fail(err, CF_EFORMAT, "%s: UTF-16, expected UTF-8 (iconv converts it)",
                       in->name);
    if (starts(in, "\xef\xbb\xbf", 3))
        in->at = 3;
    return CF_OK;
}

static enum cf_status keep(struct cf_input *in, const char *p, size_t n,
                           struct cf_error *err)
{
    struct cf_line *l = &in->last;

    if (n > CF_LINE_MAX - l->len) {
        n = CF_LINE_MAX - l->len;
        l->too_long = true;
    }
    CF_TRY(cf_grow(&in->line, &in->cap, l->len + n + 1, 1, err));
    memcpy(in->line + l->len, p, n);
    l->len += n;
    return CF_OK;
}

enum cf_status cf_input_line(struct cf_input *in, struct cf_line *line, bool *end,
                             struct cf_error *err)
{
    bool any = false, newline = false;

    *end = false;
    if (!in->again) {
        in->last.len = 0;
        in->last.too_long = false;
    }
    while (!in->again && !newline) {
        const char *p, *nl;
        size_t n;

        if (in->at == in->len)
            CF_TRY(fill(in, err));
        if (in->len == 0) {
            *end = !any;
            break;
        }
        any = true;
        p = in->buf + in->at;
        n = in->len - in->at;
        nl = memchr(p, '\n', n);
        newline = nl != NULL;
        n = newline ? (size_t)(nl - p) : n;
        CF_TRY(keep(in, p, n, err));
        in->at += n + newline;
    }
    if (!in->again && !*end)
        in->last.number++;
    in->again = false;
    in->last.text = in->line;
    *line = in->last;
    return CF_OK;
}

bool cf_input_waits(struct cf_input *in)
{
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    bool dry = !in->again && !memchr(in->buf + in->at, '\n', in->len - in->at);

    if (in->fd < 0)
        return false;
    if (!(dry && poll(&p, 1, WAIT_MS) == 0) && monotonic_ms() - in->turn < TURN_MS)
        return false;
    in->turn = monotonic_ms();
    return true;
}

void cf_input_again(struct cf_input *in)
{
    in->again = true;
}

enum cf_status cf_input_hash(struct cf_input *in, char hex[CF_DIGEST_HEX],
                             struct cf_error *err)
{
    struct cf_digest *d = in->digest;

    in->digest = NULL;
    return cf_digest_close(d, hex, err);
}
