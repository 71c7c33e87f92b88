#include "models/sections.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A float as the shortest decimal that gives it back: 1e-06, not 9.99999997475e-07. */
static double decimal(float f)
{
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            break;
    }
    return strtod(text, NULL);
}

json_t *cf_inf_section(const struct cf_inf_shape *s)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:f}",
                     "embed_dim", s->c, "depth", s->depth, "num_heads", s->heads,
                     "mlp_hidden", s->mlp, "bits", s->bits, "text_width", s->text,
                     "text_maxlen", s->text_max, "pool_heads", s->pool_heads,
                     "block_chunks", s->chunks, "spatial_patchify", (int)s->patchify,
                     "level_embed_first_block_only", (int)s->level_first_only, "norm_eps",
                     decimal(s->eps));
}

json_t *cf_vae_section(const struct cf_vae_shape *s)
{
    json_t *mult = json_array();

    for (int l = 0; l < s->levels; l++)
        json_array_append_new(mult, json_integer(s->ch_mult[l]));
    return json_pack("{s:i, s:o, s:i, s:i, s:i}", "base_channels", s->base, "ch_mult",
                     mult, "num_res_blocks", s->num_res, "bits", s->bits, "patch",
                     s->patch);
}

static json_t *classes(const int on[CF_CLASSES])
{
    json_t *list = json_array();

    for (int k = 0; k < CF_CLASSES; k++)
        if (on[k])
            json_array_append_new(list, json_string(cf_class_name(k)));
    return list;
}

json_t *cf_sizes_section(const int allowed[CF_CLASSES], const int trained[CF_CLASSES])
{
    return json_pack("{s:s, s:o, s:o}", "templates", "released", "classes",
                     classes(allowed), "trained", classes(trained));
}

json_t *cf_sampling_section(double cfg, double tau, int top_k, double top_p, int insert,
                            const char *kv_type)
{
    json_t *obj =
        json_pack("{s:f, s:f, s:i, s:f, s:[i]}", "cfg", cfg, "tau", tau, "top_k", top_k,
                  "top_p", top_p, "cfg_insertion_layer", insert);

    if (obj && kv_type &&
        json_object_set_new(obj, "kv_type", json_string(kv_type)) != 0) {
        json_decref(obj);
        return NULL;
    }
    return obj;
}
