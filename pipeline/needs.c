#include "pipeline/needs.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/gen.h"
#include "models/infinity_keys.h"
#include "models/vae_keys.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"

struct sum {
    size_t bytes;
    enum cf_wtype type;
    const struct cf_shapes *in; /* of a file; NULL: of a type */
    bool map, embed;            /* embed: count tables */
};

static size_t floats(const struct cf_key *key)
{
    size_t n = sizeof(float);

    if (key->ndim == 4 && key->dim[0] > 1) /* a convolution */
        return n * cf_conv_needs(CF_CPU_AUTO, key->dim[0], key->dim[1], key->dim[2],
                                 key->dim[3]);

    for (int d = 0; d < key->ndim; d++)
        n *= (size_t)key->dim[d];
    return n;
}

static size_t matrix(enum cf_wtype type, int64_t n, int64_t k)
{
    if (type == CF_W_Q4 && k % CF_GROUP_DEFAULT != 0)
        type = CF_W_I8;
    return cf_weight_bytes(type, n, k, type == CF_W_Q4 ? CF_GROUP_DEFAULT : 0);
}

/* As the file has it, with its scales. */
static size_t in_file(const struct sum *s, const struct cf_key *key)
{
    const struct cf_view *v = cf_shapes_find(s->in, key->name), *scale;
    char name[CF_KEY_NAME + 8];
    size_t bytes;

    if (!v || (key->kind != CF_KEY_MATRIX && key->kind != CF_KEY_EDGE))
        return v ? (size_t)cf_view_count(v) * sizeof(float) : 0;
    snprintf(name, sizeof name, "%s_scale", key->name);
    scale = cf_shapes_find(s->in, name);
    if (!s->map && !scale)
        return floats(key);
    bytes = (size_t)cf_view_count(v) * cf_dtype_size(v->dtype);
    return bytes +
           (scale ? (size_t)cf_view_count(scale) * cf_dtype_size(scale->dtype) : 0);
}

static enum cf_status add(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    enum cf_wtype edge;
    struct sum *s = ctx;

    (void)err;
    if (key->optional || (key->kind == CF_KEY_TABLE && !s->embed))
        return CF_OK;
    edge = s->type == CF_W_F32 ? CF_W_F32 : CF_W_BF16;
    if (s->in)
        s->bytes += in_file(s, key);
    else if (key->kind == CF_KEY_MATRIX)
        s->bytes += matrix(s->type, key->dim[0], key->dim[1]);
    else if (key->kind == CF_KEY_EDGE)
        s->bytes += matrix(edge, key->dim[0], key->dim[1]);
    else
        s->bytes += floats(key);
    return CF_OK;
}

static enum cf_status walk_encoder(const struct cf_encoder_config *c, const char *prefix,
                                   struct sum *s, struct cf_error *err)
{
    return c->family == CF_FAMILY_T5 ? cf_t5_keys(&c->t5, add, s, err)
                                     : cf_qwen2_keys(&c->qwen2, prefix, add, s, err);
}

enum cf_status cf_needs_inf(size_t *bytes, const struct cf_inf_shape *shape,
                            enum cf_wtype type, struct cf_error *err)
{
    struct sum s = {.type = type, .embed = true};

    CF_TRY(cf_inf_keys(shape, add, &s, err));
    *bytes = s.bytes;
    return CF_OK;
}

enum cf_status cf_needs_vae(size_t *bytes, const struct cf_vae_shape *shape,
                            struct cf_error *err)
{
    struct sum s = {.type = CF_W_F32};

    CF_TRY(cf_vae_keys(shape, false, add, &s, err));
    *bytes = s.bytes;
    return CF_OK;
}

enum cf_status cf_needs_encoder(size_t *bytes, const struct cf_encoder_config *c,
                                enum cf_wtype type, struct cf_error *err)
{
    struct sum s = {.type = type};

    CF_TRY(walk_encoder(c, "", &s, err));
    *bytes = s.bytes;
    return CF_OK;
}

enum cf_status cf_needs_inf_file(size_t *bytes, const struct cf_inf_shape *shape,
                                 const struct cf_shapes *in, bool map,
                                 struct cf_error *err)
{
    struct sum s = {.in = in, .map = map, .embed = true};

    CF_TRY(cf_inf_keys(shape, add, &s, err));
    *bytes = s.bytes;
    return CF_OK;
}

enum cf_status cf_needs_encoder_file(size_t *bytes, const struct cf_encoder_config *c,
                                     const char *prefix, const struct cf_shapes *in,
                                     bool map, struct cf_error *err)
{
    struct sum s = {.in = in, .map = map};

    CF_TRY(walk_encoder(c, prefix, &s, err));
    *bytes = s.bytes;
    return CF_OK;
}

enum cf_status cf_needs_count(void *total, const struct cf_key *key, struct cf_error *err)
{
    int64_t n = 1;

    (void)err;
    for (int d = 0; d < key->ndim; d++)
        n *= key->dim[d];
    if (!key->optional)
        *(int64_t *)total += n;
    return CF_OK;
}

/* ---- work ---- */

struct work {
    const struct cf_gen_ops *ops;
    struct cf_gen *gen;
    struct cf_plan *plan;
    int text;
};

/* A plan for that size (0: the model's own) with either type of keys and values. */
static enum cf_status plan_size(const struct work *k, struct cf_needs_size *size,
                                struct cf_error *err)
{
    static const int type[2] = {CF_F32, CF_BF16};

    for (int i = 0; i < 2; i++) {
        struct cf_gen_params p;

        cf_gen_params_default(&p);
        p.width = size->width;
        p.height = size->height;
        p.kv_type = type[i];
        CF_TRY(k->ops->plan(k->gen, &p, 1, k->text, k->plan, err));
        *(i ? &size->bf16 : &size->f32) = k->plan->arena_bytes;
    }
    size->width = k->plan->width;
    size->height = k->plan->height;
    size->ratio = (double)size->height / size->width;
    return CF_OK;
}

/* Square and costliest template of a class. */
static enum cf_status plan_class(const struct work *k, struct cf_needs_size *size, int *n,
                                 int class, struct cf_error *err)
{
    struct cf_needs_size *square = &size[*n], *most = square + 1, one;

    for (int i = 0; i < CF_TEMPLATES; i++) {
        const struct cf_scale *last = &cf_templates[i].scale[cf_class_scales(class) - 1];

        one = (struct cf_needs_size){.class = cf_class_name(class),
                                     .width = CF_TOKEN_PIXELS * last->w,
                                     .height = CF_TOKEN_PIXELS * last->h};
        CF_TRY(plan_size(k, &one, err));
        if (i == 0)
            *square = *most = one;
        if (one.f32 > most->f32)
            *most = one;
    }
    *n += most->f32 > square->f32 ? 2 : 1;
    return CF_OK;
}

static enum cf_status plan_all(const struct work *k, struct cf_needs_size *size, int *n,
                               const json_t *sections, struct cf_error *err)
{
    struct cf_sizes sizes;

    *n = 0;
    CF_TRY(cf_sizes_parse(&sizes, json_object_get(sections, "sizes"), err));
    memset(size, 0, CF_NEEDS_SIZES * sizeof *size);
    if (!sizes.released) {
        *n = 1;
        return plan_size(k, size, err);
    }
    for (int c = 0; c < CF_CLASSES; c++)
        if (sizes.allowed[c])
            CF_TRY(plan_class(k, size, n, c, err));
    return CF_OK;
}

enum cf_status cf_needs_sizes(struct cf_needs_size size[CF_NEEDS_SIZES], int *n,
                              const json_t *sections, int text, struct cf_error *err)
{
    struct cf_gen_files files = {.json = sections, .hold = CF_HOLD_MAP};
    struct work k = {.ops = cf_gen_find("infinity"), .text = text};
    enum cf_status status = CF_ENOMEM;
    struct cf_dnn *dnn = NULL;

    k.plan = cf_alloc(1, sizeof *k.plan, err);
    if (k.plan)
        status = cf_dnn_open(&dnn, CF_CPU_AUTO, 1, err);
    if (status == CF_OK)
        status = k.ops->open(&k.gen, &files, dnn, err);
    if (status == CF_OK)
        status = plan_all(&k, size, n, sections, err);
    k.ops->close(k.gen);
    cf_dnn_close(dnn);
    cf_free(k.plan);
    return status;
}
