#include "weights/pack_file.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "weights/safetensors.h"
#include "weights/st_write.h"

enum {
    HEX = CF_DIGEST_HEX - 1,
    PIECE = 16 << 10,
    PIECES = 256,
    LINE = 64,
    BLOCKS_MAX = 99999, /* five digits */
    NAME = CF_PACK_FILE_FORMAT + 6,
};

struct cf_pack_file {
    struct cf_st *st;
    struct cf_pack_file_block *block; /* [n] */
    int n;
};

/* ---- sample ---- */

static enum cf_status add_number(struct cf_digest *d, uint64_t x, struct cf_error *err)
{
    unsigned char b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(x >> 8 * i);
    return cf_digest_add(d, b, sizeof b, err);
}

/* n bytes from place at on of all blocks laid end to end. */
static enum cf_status add_piece(struct cf_digest *d,
                                const struct cf_pack_file_block *block, uint64_t at,
                                size_t n, struct cf_error *err)
{
    for (; n > 0; block++) {
        size_t part;

        if (at >= block->bytes) {
            at -= block->bytes;
            continue;
        }
        part = block->bytes - at < n ? block->bytes - (size_t)at : n;
        CF_TRY(cf_digest_add(d, (const char *)block->data + at, part, err));
        n -= part;
        at = 0;
    }
    return CF_OK;
}

static enum cf_status add_sample(struct cf_digest *d,
                                 const struct cf_pack_file_block *block, int n,
                                 struct cf_error *err)
{
    uint64_t all = 0, rest;

    for (int i = 0; i < n; i++) {
        CF_TRY(cf_digest_add(d, block[i].format, strlen(block[i].format) + 1, err));
        CF_TRY(add_number(d, block[i].bytes, err));
        all += block[i].bytes;
    }
    if (all <= (uint64_t)PIECES * PIECE)
        return add_piece(d, block, 0, (size_t)all, err);
    rest = all - PIECE;
    for (uint64_t i = 0; i < PIECES; i++)
        CF_TRY(add_piece(d, block,
                         rest / (PIECES - 1) * i + rest % (PIECES - 1) * i / (PIECES - 1),
                         PIECE, err));
    return CF_OK;
}

static enum cf_status sample(char hex[CF_DIGEST_HEX],
                             const struct cf_pack_file_block *block, int n,
                             struct cf_error *err)
{
    struct cf_digest *d = cf_digest_open(err);
    enum cf_status st, closed;

    if (!d)
        return CF_ENOMEM;
    st = add_sample(d, block, n, err);
    closed = cf_digest_close(d, hex, err);
    return st == CF_OK ? closed : st;
}

/* ---- reading ---- */

/* Tensor i is the block of number i. */
static enum cf_status take_block(struct cf_pack_file *f, int i, struct cf_error *err)
{
    struct cf_pack_file_block *b = &f->block[i];
    const struct cf_view *v = cf_st_view(f->st, i);
    const char *name = cf_st_name(f->st, i);
    char number[16];

    snprintf(number, sizeof number, "%05d ", i);
    if (strncmp(name, number, 6) != 0 || !name[6] ||
        strlen(name + 6) >= sizeof b->format || v->dtype != CF_U8 || v->ndim != 1 ||
        v->dim[0] < 1 || v->dim[0] % LINE != 0 || (uintptr_t)v->data % LINE != 0)
        return cf_fail(err, CF_EFORMAT,
                       "%.200s: tensor %.100s is no block of packed weights of number %d",
                       cf_st_path(f->st), name, i);
    snprintf(b->format, sizeof b->format, "%s", name + 6);
    b->data = v->data;
    b->bytes = (size_t)v->dim[0];
    return CF_OK;
}

/* The hash in tensor i of that name. */
static enum cf_status take_hash(char hex[CF_DIGEST_HEX], const struct cf_pack_file *f,
                                int i, const char *name, struct cf_error *err)
{
    const struct cf_view *v = cf_st_view(f->st, i);

    if (strcmp(cf_st_name(f->st, i), name) != 0 || v->dtype != CF_U8 ||
        cf_view_count(v) != HEX)
        return cf_fail(err, CF_EFORMAT, "%.200s: tensor %.100s, expected %s U8 [%d]",
                       cf_st_path(f->st), cf_st_name(f->st, i), name, HEX);
    memcpy(hex, v->data, HEX);
    hex[HEX] = '\0';
    return CF_OK;
}

static enum cf_status take_all(struct cf_pack_file *f, const char *key,
                               struct cf_error *err)
{
    char hex[CF_DIGEST_HEX], found[CF_DIGEST_HEX];
    const char *path = cf_st_path(f->st);
    int n = cf_st_count(f->st) - 2;

    if (n < 1 || n > BLOCKS_MAX)
        return cf_fail(err, CF_EFORMAT, "%.200s: %d tensors, expected 3..%d", path, n + 2,
                       BLOCKS_MAX + 2);
    CF_TRY(take_hash(hex, f, n, "~key", err));
    if (strcmp(hex, key) != 0)
        return cf_fail(err, CF_EMISMATCH,
                       "%.200s: made from other files, for another instruction set or by "
                       "another version (key %.12s, expected %.12s)",
                       path, hex, key);
    f->block = cf_calloc((size_t)n, sizeof *f->block, err);
    if (!f->block)
        return CF_ENOMEM;
    for (; f->n < n; f->n++)
        CF_TRY(take_block(f, f->n, err));
    CF_TRY(take_hash(hex, f, n + 1, "~sample", err));
    CF_TRY(sample(found, f->block, n, err));
    if (strcmp(hex, found) != 0)
        return cf_fail(err, CF_EMISMATCH,
                       "%.200s: damaged: sample is %.12s, the file says %.12s", path,
                       found, hex);
    return CF_OK;
}

enum cf_status cf_pack_file_open(struct cf_pack_file **out, const char *path,
                                 const char key[CF_DIGEST_HEX], struct cf_error *err)
{
    struct cf_pack_file *f = cf_calloc(1, sizeof *f, err);
    enum cf_status st;

    *out = NULL;
    if (!f)
        return CF_ENOMEM;
    st = cf_st_open(&f->st, path, err);
    if (st == CF_OK)
        st = take_all(f, key, err);
    if (st == CF_OK)
        *out = f;
    else
        cf_pack_file_close(f);
    return st;
}

void cf_pack_file_close(struct cf_pack_file *f)
{
    if (!f)
        return;
    cf_st_close(f->st);
    cf_free(f->block);
    cf_free(f);
}

int cf_pack_file_count(const struct cf_pack_file *f)
{
    return f->n;
}

const struct cf_pack_file_block *cf_pack_file_block(const struct cf_pack_file *f, int i)
{
    return &f->block[i];
}

/* ---- writing ---- */

static void name_of(char name[NAME], const struct cf_pack_file_block *block, int i)
{
    snprintf(name, NAME, "%05d %s", i, block[i].format);
}

static enum cf_status declare(struct cf_st_writer *w, const char *name, size_t bytes,
                              struct cf_error *err)
{
    int64_t dim = (int64_t)bytes;

    return cf_st_declare(w, name, CF_U8, 1, &dim, err);
}

static enum cf_status write_all(struct cf_st_writer *w, const char *key,
                                const json_t *meta,
                                const struct cf_pack_file_block *block, int n,
                                struct cf_error *err)
{
    char name[NAME], hex[CF_DIGEST_HEX];

    for (int i = 0; i < n; i++) {
        name_of(name, block, i);
        CF_TRY(declare(w, name, block[i].bytes, err));
    }
    CF_TRY(declare(w, "~key", HEX, err));
    CF_TRY(declare(w, "~sample", HEX, err));
    CF_TRY(cf_st_begin(w, meta, err));
    for (int i = 0; i < n; i++) {
        name_of(name, block, i);
        CF_TRY(cf_st_put(w, name, block[i].data, block[i].bytes, err));
    }
    CF_TRY(sample(hex, block, n, err));
    CF_TRY(cf_st_put(w, "~key", key, HEX, err));
    return cf_st_put(w, "~sample", hex, HEX, err);
}

enum cf_status cf_pack_file_write(const char *path, const char key[CF_DIGEST_HEX],
                                  const json_t *meta,
                                  const struct cf_pack_file_block *block, int n,
                                  struct cf_error *err)
{
    struct cf_st_writer *w;
    enum cf_status st;

    if (n < 1 || n > BLOCKS_MAX)
        return cf_fail(err, CF_ERANGE, "%.200s: %d blocks, expected 1..%d", path, n,
                       BLOCKS_MAX);
    CF_TRY(cf_st_writer_open(&w, path, err));
    st = write_all(w, key, meta, block, n, err);
    if (st == CF_OK)
        return cf_st_finish(w, err);
    cf_st_abandon(w);
    return st;
}
