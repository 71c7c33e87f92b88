#include "models/geometry.h"

#include <string.h>

#include "base/parse.h"

#define SHAPE(C, DEPTH, HEADS, MLP, CHUNKS, BITS, PATCHIFY)                              \
    {                                                                                    \
        .c = (C), .depth = (DEPTH), .heads = (HEADS), .hd = (C) / (HEADS), .mlp = (MLP), \
        .bits = (BITS), .dv = (PATCHIFY) ? 4 * (BITS) : (BITS), .text = 2048,            \
        .text_max = 512, .pool_heads = 16, .chunks = (CHUNKS), .patchify = (PATCHIFY),   \
        .level_first_only = true, .eps = 1e-6f                                           \
    }
#define VAE16(BITS)                                                                      \
    {                                                                                    \
        .base = 128, .ch_mult = {1, 2, 4, 4, 4}, .levels = 5, .num_res = 2,              \
        .bits = (BITS), .patch = 16                                                      \
    }
#define VAE8(BITS)                                                                       \
    {                                                                                    \
        .base = 128, .ch_mult = {1, 2, 4, 4}, .levels = 4, .num_res = 2, .bits = (BITS), \
        .patch = 8                                                                       \
    }
#define COMMON                                                                           \
    .encoder = "flan-t5-xl", .allowed = {1, 1, 1, 1}, .top_k = 900, .top_p = 0.97

/* Classes are 0.06M, 0.25M, 0.60M, 1M. */
static const struct cf_geometry table[] = {
    {.name = "infinity-125m",
     .shape = SHAPE(768, 12, 8, 3072, 4, 16, false),
     .vae = VAE16(16),
     .vae_name = "infinity_vae_d16",
     .trained = {1, 0, 0, 0},
     .cfg = 4,
     .tau = 0.5,
     COMMON},
    {.name = "infinity-361m",
     .shape = SHAPE(1152, 16, 12, 4608, 4, 32, false),
     .vae = VAE16(32),
     .vae_name = "infinity_vae_d32",
     .trained = {1, 0, 0, 0},
     .cfg = 4,
     .tau = 0.5,
     COMMON},
    {.name = "infinity-940m",
     .shape = SHAPE(1536, 24, 16, 6144, 4, 32, false),
     .vae = VAE16(32),
     .vae_name = "infinity_vae_d32",
     .trained = {1, 0, 0, 0},
     .cfg = 4,
     .tau = 0.5,
     COMMON},
    {.name = "infinity-2.2b",
     .shape = SHAPE(2080, 32, 20, 8192, 4, 32, false),
     .vae = VAE16(32),
     .vae_name = "infinity_vae_d32",
     .trained = {1, 0, 0, 0},
     .cfg = 4,
     .tau = 0.5,
     COMMON},
    {.name = "infinity-2b",
     .shape = SHAPE(2048, 32, 16, 8192, 8, 32, false),
     .vae = VAE16(32),
     .vae_name = "infinity_vae_d32_reg",
     .trained = {0, 0, 0, 1},
     .cfg = 4,
     .tau = 0.5,
     COMMON},
    {.name = "infinity-8b",
     .shape = SHAPE(3584, 40, 28, 14336, 8, 14, true),
     .vae = VAE8(14),
     .vae_name = "infinity_vae_d56_f8_14_patchify",
     .trained = {0, 0, 0, 1},
     .cfg = 3,
     .tau = 1,
     COMMON},
    {.name = "infinity-8b-512",
     .shape = SHAPE(3584, 40, 28, 14336, 8, 14, true),
     .vae = VAE8(14),
     .vae_name = "infinity_vae_d56_f8_14_patchify",
     .trained = {0, 1, 0, 0},
     .cfg = 3,
     .tau = 1,
     COMMON},
};
enum { COUNT = sizeof table / sizeof table[0] };

const struct cf_geometry *cf_geometry_at(int i)
{
    return i >= 0 && i < COUNT ? &table[i] : NULL;
}

enum cf_status cf_geometry_find(const struct cf_geometry **g, const char *name,
                                struct cf_error *err)
{
    const char *names[COUNT + 1] = {NULL};
    int found;

    for (int i = 0; i < COUNT; i++)
        names[i] = table[i].name;
    *g = NULL;
    CF_TRY(cf_parse_word(name, names, &found, "geometry", err));
    *g = &table[found];
    return CF_OK;
}

const struct cf_geometry *cf_geometry_match(const struct cf_inf_shape *s)
{
    for (int i = 0; i < COUNT; i++) {
        const struct cf_inf_shape *t = &table[i].shape;

        if (t->c == s->c && t->depth == s->depth && t->heads == s->heads &&
            t->mlp == s->mlp)
            return &table[i];
    }
    return NULL;
}

const char *cf_geometry_vae_name(const struct cf_vae_shape *v)
{
    static const struct {
        const char *name;
        struct cf_vae_shape shape;
    } vae[] = {
        {"infinity_vae_d16", VAE16(16)},
        {"infinity_vae_d24", VAE16(24)},
        {"infinity_vae_d32_reg", VAE16(32)},
        {"infinity_vae_d64", VAE16(64)},
        {"infinity_vae_d56_f8_14_patchify", VAE8(14)},
    };

    for (size_t i = 0; i < sizeof vae / sizeof vae[0]; i++) {
        const struct cf_vae_shape *t = &vae[i].shape;

        if (t->base == v->base && t->levels == v->levels && t->num_res == v->num_res &&
            t->bits == v->bits && t->patch == v->patch &&
            memcmp(t->ch_mult, v->ch_mult, sizeof(int) * (size_t)t->levels) == 0)
            return vae[i].name;
    }
    return NULL;
}
