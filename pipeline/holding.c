#include "pipeline/holding.h"

#include <stdio.h>
#include <string.h>

#include "models/vae.h"
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
                            enum cf_part part, enum cf_hold hold, struct cf_error *err)
{
    size_t of_type[CF_NDTYPE] = {0};
    struct cf_ckpt *ckpt;

    CF_TRY(cf_ckpt_open(&ckpt, m->path[part], err));
    for (int i = 0; i < cf_ckpt_count(ckpt); i++) {
        const struct cf_view *v = cf_ckpt_view(ckpt, i);
        size_t n = (size_t)cf_view_count(v), bytes = n * cf_dtype_size(v->dtype);

        h->file_bytes += (int64_t)bytes;
        if (is_table(part, cf_ckpt_name(ckpt, i)))
            continue;
        if (part == CF_PART_VAE && strncmp(cf_ckpt_name(ckpt, i), "encoder.", 8) == 0) {
            h->image.mapped += bytes;
            continue;
        }
        of_type[v->dtype] += bytes;
        if (v->ndim >= 2 && (hold == CF_HOLD_MAP || quantized(v)))
            held->mapped += bytes;
        else
            held->own += n * sizeof(float);
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
    struct cf_vae_needs needs;
    struct cf_vae_shape shape;
    json_t *section;

    memset(h, 0, sizeof *h);
    CF_TRY(cf_json_obj(m->json, "vae", &section, "model.json", err));
    CF_TRY(cf_vae_parse(&shape, section, err));
    needs = cf_vae_needs(&shape, level);
    CF_TRY(count(h, &h->transformer, &transformer, m, CF_PART_TRANSFORMER, hold, err));
    CF_TRY(count(h, &h->vae, &vae, m, CF_PART_VAE, CF_HOLD_PACK, err));
    CF_TRY(count(h, &h->text, &text, m, CF_PART_TEXT, hold, err));
    h->vae.own = needs.decoder;
    h->plain = cf_vae_needs(&shape, CF_CPU_C).decoder;
    h->image.own = h->image.mapped > 0 ? needs.encoder : 0;
    snprintf(h->weights, sizeof h->weights, "transformer %s %s, text encoder %s %s",
             type_name(transformer), held_name(hold, transformer), type_name(text),
             held_name(hold, text));
    return CF_OK;
}
