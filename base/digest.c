#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

struct cf_digest {
    EVP_MD_CTX *ctx;
};

static void release(struct cf_digest *d)
{
    if (d)
        EVP_MD_CTX_free(d->ctx);
    cf_free(d);
}

struct cf_digest *cf_digest_open(struct cf_error *err)
{
    struct cf_digest *d = cf_calloc(1, sizeof *d, err);

    if (!d)
        return NULL;
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || !EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL)) {
        cf_fail(err, CF_ENOMEM, "sha256: libcrypto could not start");
        release(d);
        return NULL;
    }
    return d;
}

enum cf_status cf_digest_add(struct cf_digest *d, const void *p, size_t n,
                             struct cf_error *err)
{
    if (!EVP_DigestUpdate(d->ctx, p, n))
        return cf_fail(err, CF_EBUG, "sha256: libcrypto refused %zu bytes", n);
    return CF_OK;
}

enum cf_status cf_digest_close(struct cf_digest *d, char hex[CF_DIGEST_HEX],
                               struct cf_error *err)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_DigestFinal_ex(d->ctx, raw, &len);

    release(d);
    if (!ok || len != 32)
        return cf_fail(err, CF_EBUG, "sha256: libcrypto gave %u bytes", len);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digit[raw[i] >> 4];
        hex[2 * i + 1] = digit[raw[i] & 15];
    }
    hex[64] = '\0';
    return CF_OK;
}

enum cf_status cf_digest_mem(const void *p, size_t n, char hex[CF_DIGEST_HEX],
                             struct cf_error *err)
{
    struct cf_digest *d = cf_digest_open(err);

    if (!d)
        return CF_ENOMEM;
    if (cf_digest_add(d, p, n, err) != CF_OK) {
        release(d);
        return err ? err->status : CF_EBUG;
    }
    return cf_digest_close(d, hex, err);
}

enum cf_status cf_digest_file(const char *path, char hex[CF_DIGEST_HEX],
                              struct cf_error *err)
{
    enum { CHUNK = 1 << 20 };
    size_t size;
    int fd = cf_file_open(path, &size, err);
    struct cf_digest *d = NULL;
    enum cf_status st = CF_ENOMEM;
    char *buf = NULL;
    ssize_t n;

    if (fd < 0)
        return err ? err->status : CF_EIO;
    buf = cf_alloc(CHUNK, 1, err);
    d = cf_digest_open(err);
    if (!buf || !d)
        goto out;
    while ((n = read(fd, buf, CHUNK)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        st = n < 0 ? cf_fail_errno(err, errno, "%s: read", path)
                   : cf_digest_add(d, buf, (size_t)n, err);
        if (st != CF_OK)
            goto out;
    }
    st = cf_digest_close(d, hex, err);
    d = NULL;
out:
    release(d);
    cf_free(buf);
    close(fd);
    return st;
}
