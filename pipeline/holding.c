#include "pipeline/holding.h"

#include <stdio.h>
#include <string.h>

#include "weights/checkpoint.h"

enum cf_hold cf_holding_hold(const struct cf_model *m)
{
    return m->map ? CF_HOLD_MAP : CF_HOLD_PACK;
}

/* A matrix of 8 or 4 bits, read in place whatever the others are. */
static bool quantized(const struct cf_view *v)
{
    return v->dtype == CF_I8 || v->dtype == CF_U8;
}

static bool ends(const char *name, const char *tail)
{
    size_t n = strlen(name), m = strlen(tail);

    return n >= m && strcmp(name + n - m, tail) == 0;
}

/* Rows of a table are gathered from the file. */
static bool is_table(enum cf_part part, const char *name)
{
    return part == CF_PART_TEXT &&
           (ends(name, "embed_tokens.weight") || ends(name, "shared.weight"));
}

/* What a tensor takes as floats, packed. */
static size_t packed_bytes(const struct cf_view *v, enum cf_cpu level)
{
    size_t n = v->ndim == 4
                   ? cf_conv_needs(level, v->dim[0], v->dim[1], v->dim[2], v->dim[3])
                   : (size_t)cf_view_count(v);

    return n * sizeof(float);
}

/* A tensor of the image encoder. A residual block, the largest that is packed at once,
 * has three convolutions, of which none is larger than this one may be. */
static bool of_image(struct cf_held *image, const struct cf_view *v, size_t bytes,
                     enum cf_cpu level, enum cf_part part, const char *name)
{
    size_t own = 3 * packed_bytes(v, level);

    if (part != CF_PART_VAE || strncmp(name, "encoder.", 8) != 0)
        return false;
    image->mapped += bytes;
    if (own > image->own)
        image->own = own;
    return true;
}

static const char *type_name(enum cf_dtype type)
{
    switch (type) {
    case CF_I8:
        return cf_wtype_name(CF_W_I8);
    case CF_U8:
        return cf_wtype_name(CF_W_Q4);
    case CF_BF16:
        return cf_wtype_name(CF_W_BF16);
    case CF_F16:
        return cf_wtype_name(CF_W_F16);
    default:
        return cf_wtype_name(CF_W_F32);
    }
}

/* Counts the tensors of a part; *type is that of most of their bytes. */
static enum cf_status count(struct cf_holding *h, struct cf_held *held,
                            enum cf_dtype *type, const struct cf_model *m,
                            enum cf_part part, enum cf_hold hold, enum cf_cpu level,
                            struct cf_error *err)
{
    size_t of_type[CF_NDTYPE] = {0};
    struct cf_ckpt *ckpt;

    CF_TRY(cf_ckpt_open(&ckpt, m->path[part], err));
    for (int i = 0; i < cf_ckpt_count(ckpt); i++) {
        const struct cf_view *v = cf_ckpt_view(ckpt, i);
        size_t n = (size_t)cf_view_count(v), bytes = n * cf_dtype_size(v->dtype);

        h->file_bytes += (int64_t)bytes;
        if (is_table(part, cf_ckpt_name(ckpt, i)) ||
            of_image(&h->image, v, bytes, level, part, cf_ckpt_name(ckpt, i)))
            continue;
        of_type[v->dtype] += bytes;
        if (v->ndim >= 2 && (hold == CF_HOLD_MAP || quantized(v)))
            held->mapped += bytes;
        else
            held->own += packed_bytes(v, level);
    }
    cf_ckpt_close(ckpt);
    *type = CF_F32;
    for (int t = 0; t < CF_NDTYPE; t++)
        if (of_type[t] > of_type[*type])
            *type = (enum cf_dtype)t;
    return CF_OK;
}

static const char *held_name(enum cf_hold hold, enum cf_dtype type)
{
    return hold == CF_HOLD_MAP || type == CF_I8 || type == CF_U8 ? "mapped" : "packed";
}

enum cf_status cf_holding_read(struct cf_holding *h, const struct cf_model *m,
                               enum cf_cpu level, struct cf_error *err)
{
    const enum cf_hold hold = cf_holding_hold(m);
    enum cf_dtype transformer, text, vae;

    memset(h, 0, sizeof *h);
    CF_TRY(count(h, &h->transformer, &transformer, m, CF_PART_TRANSFORMER, hold, level,
                 err));
    CF_TRY(count(h, &h->vae, &vae, m, CF_PART_VAE, CF_HOLD_PACK, level, err));
    CF_TRY(count(h, &h->text, &text, m, CF_PART_TEXT, hold, level, err));
    snprintf(h->weights, sizeof h->weights, "transformer %s %s, text encoder %s %s",
             type_name(transformer), held_name(hold, transformer), type_name(text),
             held_name(hold, text));
    return CF_OK;
}
