#include "tests/retype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "weights/checkpoint.h"

struct file {
    json_t *header;
    unsigned char *data;
    size_t used, room;
};

/* Room for a tensor behind the others, and its entry in the header. */
static void *put(struct file *f, const char *name, enum cf_dtype dtype, int ndim,
                 const int64_t *dim)
{
    json_t *shape = json_array();
    size_t size = cf_dtype_size(dtype), at = f->used;

    for (int i = 0; i < ndim; i++) {
        json_array_append_new(shape, json_integer(dim[i]));
        size *= (size_t)dim[i];
    }
    f->used += size;
    assert_true(f->used <= f->room);
    json_object_set_new(f->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", cf_dtype_name(dtype),
                                  "shape", shape, "data_offsets", (json_int_t)at,
                                  (json_int_t)f->used));
    return f->data + at;
}

static float largest(const float *x, int64_t n)
{
    float top = 1e-20f;

    for (int64_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(x[i]));
    return top;
}

static void put_int8(struct file *f, const char *name, const float *x, int64_t n,
                     int64_t k)
{
    const int64_t dim[2] = {n, k};
    int8_t *q = put(f, name, CF_I8, 2, dim);
    char scale_name[600];
    unsigned char *scale;

    snprintf(scale_name, sizeof(scale_name), "%s_scale", name);
    scale = put(f, scale_name, CF_F32, 1, &n);
    for (int64_t i = 0; i < n; i++, x += k, q += k) {
        float s = largest(x, k) / 127.0f;

        memcpy(scale + i * 4, &s, 4);
        for (int64_t j = 0; j < k; j++)
            q[j] = (int8_t)lrintf(x[j] / s);
    }
}

static void put_q4(struct file *f, const char *name, const float *x, int64_t n, int64_t k)
{
    const int64_t dim[2] = {n, k / 2}, groups[2] = {n, k / 32};
    unsigned char *q = put(f, name, CF_U8, 2, dim), *scale;
    char scale_name[600];

    snprintf(scale_name, sizeof(scale_name), "%s_scale", name);
    scale = put(f, scale_name, CF_F16, 2, groups);
    for (int64_t i = 0; i < n * k / 32; i++, x += 32, q += 16) {
        float s = largest(x, 32) / 7.0f;

        assert_int_equal(cf_floats_store(scale + 2 * i, CF_F16, &s, 1, NULL), CF_OK);
        for (int j = 0; j < 16; j++)
            q[j] = (unsigned char)((lrintf(x[j] / s) + 8) | (lrintf(x[j + 16] / s) + 8)
                                                                << 4);
    }
}

static bool is_matrix(const char *name, const struct cf_view *v)
{
    size_t len = strlen(name);

    return v->ndim == 2 && len > 7 && strcmp(name + len - 7, ".weight") == 0 &&
           !strstr(name, "lvl_embed") && !strstr(name, "relative_attention_bias");
}

static void put_matrix(struct file *f, const char *name, const struct cf_view *v,
                       enum cf_wtype type)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
    const int64_t n = v->dim[0], k = v->dim[1];
    float *x = cf_alloc((size_t)(n * k), sizeof(*x), NULL);

    assert_non_null(x);
    assert_int_equal(cf_view_floats(x, v, 0, n * k, NULL), CF_OK);
    if (type == CF_W_Q4 && k % 32 == 0)
        put_q4(f, name, x, n, k);
    else if (type > CF_W_BF16)
        put_int8(f, name, x, n, k);
    else
        assert_int_equal(cf_floats_store(put(f, name, dtype[type], 2, v->dim),
                                         dtype[type], x, n * k, NULL),
                         CF_OK);
    cf_free(x);
}

void util_retype(const char *to, const char *from, enum cf_wtype type)
{
    struct file f = {.header = json_object()};
    struct cf_ckpt *ckpt;
    uint64_t len;
    char *text;
    FILE *out;

    assert_int_equal(cf_ckpt_open(&ckpt, from, NULL), CF_OK);
    f.room = 2 * cf_ckpt_bytes(ckpt) + 65536; /* f32 from bf16, and scales */
    f.data = malloc(f.room);
    assert_non_null(f.data);
    for (int i = 0; i < cf_ckpt_count(ckpt); i++) {
        const struct cf_view *v = cf_ckpt_view(ckpt, i);
        const char *name = cf_ckpt_name(ckpt, i);

        if (is_matrix(name, v))
            put_matrix(&f, name, v, type);
        else
            memcpy(put(&f, name, v->dtype, v->ndim, v->dim), v->data,
                   (size_t)cf_view_count(v) * cf_dtype_size(v->dtype));
    }
    text = json_dumps(f.header, JSON_COMPACT);
    len = strlen(text);
    out = fopen(to, "wb");
    assert_non_null(out);
    fwrite(&len, 8, 1, out); /* our machines are little-endian */
    fwrite(text, 1, len, out);
    fwrite(f.data, 1, f.used, out);
    assert_int_equal(fclose(out), 0);
    free(text);
    free(f.data);
    json_decref(f.header);
    cf_ckpt_close(ckpt);
}
