#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/detect.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"
#include "textenc/known.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"

static void ok(enum cf_status status, const struct cf_error *err)
{
    if (status != CF_OK)
        fail_msg("%s", err->msg);
}

static void fails(enum cf_status found, enum cf_status want, const struct cf_error *err,
                  const char *part)
{
    if (found != want || !strstr(err->msg, part))
        fail_msg("%s: \"%s\", expected %s: %s", cf_status_name(found), err->msg,
                 cf_status_name(want), part);
}

/* ---- names and shapes without a file ---- */

enum { ROOM = 2000 };

struct listing {
    char name[ROOM][CF_KEY_NAME];
    struct cf_view view[ROOM];
    int n;
    const char *under; /* put before each name of a list */
    bool plain;        /* Flux-style names */
};

static struct listing *list; /* of the running test */

static void add(const char *name, int ndim, const int64_t *dim)
{
    assert_true(list->n < ROOM);
    snprintf(list->name[list->n], CF_KEY_NAME, "%s", name);
    list->view[list->n] = (struct cf_view){.dtype = CF_BF16, .ndim = ndim};
    memcpy(list->view[list->n].dim, dim, (size_t)ndim * sizeof *dim);
    list->n++;
}

static void add_name(const char *name)
{
    add(name, 1, (int64_t[]){1});
}

static enum cf_status add_key(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    char name[2 * CF_KEY_NAME], plain[CF_KEY_NAME];

    (void)ctx;
    (void)err;
    snprintf(name, sizeof name, "%s%s", list->under ? list->under : "",
             list->plain ? cf_vae_plain(plain, key->name) : key->name);
    add(name, key->ndim, key->dim);
    return CF_OK;
}

static int count_of(const void *from)
{
    return ((const struct listing *)from)->n;
}

static const char *name_of(const void *from, int i)
{
    return ((const struct listing *)from)->name[i];
}

static const struct cf_view *view_of(const void *from, int i)
{
    return &((const struct listing *)from)->view[i];
}

static int index_of(const void *from, const char *name)
{
    const struct listing *l = from;

    for (int i = 0; i < l->n; i++)
        if (strcmp(l->name[i], name) == 0)
            return i;
    return -1;
}

static struct cf_shapes shapes(const char *prefix)
{
    return (struct cf_shapes){"a.pth", list,     count_of, name_of,
                              view_of, index_of, prefix};
}

static int setup(void **state)
{
    (void)state;
    list = calloc(1, sizeof *list);
    return list ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(list);
    return 0;
}

static void forget(void)
{
    memset(list, 0, sizeof *list);
}

/* Place of a name that is there. */
static int at(const char *name)
{
    int i = index_of(list, name);

    assert_true(i >= 0);
    return i;
}

static const struct cf_geometry *geometry(const char *name)
{
    const struct cf_geometry *g;
    struct cf_error err = {0};

    ok(cf_geometry_find(&g, name, &err), &err);
    return g;
}

/* The listing of a known transformer. */
static void list_inf(const char *name, const char *under)
{
    struct cf_error err = {0};

    list->under = under;
    ok(cf_inf_keys(&geometry(name)->shape, add_key, NULL, &err), &err);
}

static void list_vae(const struct cf_vae_shape *v, bool encoder)
{
    struct cf_error err = {0};

    ok(cf_vae_keys(v, encoder, add_key, NULL, &err), &err);
}

/* ---- counts ---- */

static enum cf_status sum(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    int64_t n = 1;

    (void)err;
    for (int d = 0; d < key->ndim; d++)
        n *= key->dim[d];
    *(int64_t *)ctx += key->optional ? 0 : n;
    return CF_OK;
}

/* Counted on the original modules, all with 32 bits a token but the 8b. */
static void transformers_have_the_parameters_of_the_original(void **state)
{
    static const struct {
        const char *name;
        int64_t n;
    } known[] = {
        {"infinity-125m", 125185696},    {"infinity-361m", 361633792},
        {"infinity-940m", 940944832},    {"infinity-2.2b", 2256694912},
        {"infinity-2b", 2204564032},     {"infinity-8b", 8375791824},
        {"infinity-8b-512", 8375791824},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct cf_inf_shape s = geometry(known[i].name)->shape;
        struct cf_error err = {0};
        int64_t n = 0;

        if (!s.patchify)
            s.dv = s.bits = 32;
        ok(cf_inf_keys(&s, sum, &n, &err), &err);
        assert_int_equal(n, known[i].n);
        assert_ptr_equal(cf_geometry_at((int)i), geometry(known[i].name));
    }
    assert_null(cf_geometry_at((int)(sizeof known / sizeof known[0])));
}

static void tokenizers_have_the_parameters_of_the_original(void **state)
{
    static const struct {
        int bits;
        int64_t decoder, encoder;
        const char *name;
    } known[] = {{16, 65018627, 44951952, "infinity_vae_d16"},
                 {24, 65055491, 44988824, "infinity_vae_d24"},
                 {32, 65092355, 45025696, "infinity_vae_d32_reg"},
                 {64, 65239811, 45173184, "infinity_vae_d64"},
                 {14, 48484611, 33139598, "infinity_vae_d56_f8_14_patchify"}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct cf_vae_shape v =
            geometry(known[i].bits == 14 ? "infinity-8b" : "infinity-2b")->vae;
        int64_t decoder = 0, both = 0;
        struct cf_error err = {0};

        v.bits = known[i].bits;
        ok(cf_vae_keys(&v, false, sum, &decoder, &err), &err);
        ok(cf_vae_keys(&v, true, sum, &both, &err), &err);
        assert_int_equal(decoder, known[i].decoder);
        assert_int_equal(both - decoder, known[i].encoder);
        assert_string_equal(cf_geometry_vae_name(&v), known[i].name);
    }
}

/* In millions; without the head of the one that is not tied. */
static void encoders_have_the_parameters_of_the_original(void **state)
{
    static const struct {
        const char *name;
        int64_t millions;
    } known[] = {{"flan-t5-xl", 1224}, {"qwen2-0.5b", 494},      {"qwen2-1.5b", 1544},
                 {"qwen2.5-3b", 3086}, {"qwen2-7b", 7616 - 545}, {"qwen3-0.6b", 596},
                 {"qwen3-4b", 4022}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct cf_known_encoder *k;
        struct cf_error err = {0};
        int64_t n = 0;

        ok(cf_known_encoder_find(&k, known[i].name, &err), &err);
        ok(k->config.family == CF_FAMILY_T5
               ? cf_t5_keys(&k->config.t5, sum, &n, &err)
               : cf_qwen2_keys(&k->config.qwen2, "model.", sum, &n, &err),
           &err);
        assert_int_equal((n + 500000) / 1000000, known[i].millions);
        assert_ptr_equal(cf_known_encoder_match(&k->config), k);
    }
}

static void unknown_names_are_answered_with_the_known_ones(void **state)
{
    const struct cf_known_encoder *k;
    const struct cf_geometry *g;
    struct cf_error a = {0}, b = {0};

    (void)state;
    fails(cf_geometry_find(&g, "infinity-20b", &a), CF_EUSAGE, &a,
          "infinity-125m, infinity-361m");
    fails(cf_known_encoder_find(&k, "t5", &b), CF_EUSAGE, &b, "flan-t5-xl, qwen2-0.5b");
}

/* ---- detection ---- */

static void every_geometry_is_told_from_its_shapes(void **state)
{
    const struct cf_geometry *g;

    (void)state;
    for (int i = 0; (g = cf_geometry_at(i)) != NULL; i++) {
        struct cf_error err = {0};
        struct cf_inf_shape s;
        struct cf_shapes in = shapes("");

        forget();
        list_inf(g->name, NULL);
        ok(cf_inf_detect(&s, &in, &err), &err);
        assert_int_equal(s.dv, g->shape.dv);
        ok(cf_pair_vae(&s, &g->vae, &err), &err);
        assert_memory_equal(&s, &g->shape, sizeof s);
        /* 8b-512 is of the same shape as 8b, which comes first. */
        assert_int_equal(strncmp(cf_geometry_match(&s)->name, g->name, 11), 0);
    }
}

static void every_tokenizer_is_told_from_its_shapes_in_either_spelling(void **state)
{
    const struct cf_geometry *g;

    (void)state;
    for (int i = 0; (g = cf_geometry_at(i)) != NULL; i++)
        for (int form = 0; form < 4; form++) {
            struct cf_error err = {0};
            struct cf_shapes in = shapes("");
            struct cf_vae_shape v;
            bool encoder;

            forget();
            list->plain = form & 1;
            list_vae(&g->vae, form & 2);
            add_name("quantizer.lfq.mask");
            ok(cf_vae_detect(&v, &encoder, &in, &err), &err);
            assert_memory_equal(&v, &g->vae, sizeof v);
            assert_int_equal(encoder, (form & 2) != 0);
        }
}

static void what_is_no_transformer_is_named(void **state)
{
    static const struct {
        const char *tensor, *what;
    } other[] = {
        {"blocks.0.attn.qkv.weight", "nothing that this program knows"},
        {"cls_token", "a vision transformer (DINO, ViT)"},
        {"model.diffloss.net.input_proj.weight", "a FAR model"},
        {"model.embed_tokens.weight", "a language model"},
        {"decoder.conv_in.conv.weight", "a convolutional tokenizer (VAE)"},
        {"blocks.0.lora_A.weight", "an adapter (LoRA)"},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
         "a T5 text encoder"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct cf_error a = {0};
        struct cf_shapes in = shapes("");
        struct cf_inf_shape s;

        forget();
        add_name(other[i].tensor);
        fails(cf_inf_detect(&s, &in, &a), CF_EFORMAT, &a, other[i].what);
        assert_non_null(strstr(a.msg, "a.pth: no Infinity transformer"));
    }
}

static void a_transformer_is_no_tokenizer(void **state)
{
    struct cf_error err = {0};
    struct cf_shapes in = shapes("");
    struct cf_vae_shape v;
    bool encoder;

    (void)state;
    forget();
    list_inf("infinity-125m", NULL);
    fails(cf_vae_detect(&v, &encoder, &in, &err), CF_EFORMAT, &err,
          "no tokenizer (no tensor decoder.conv_in.conv.weight); it seems to be an "
          "Infinity transformer");
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    struct cf_error err[5] = {0};
    struct cf_shapes in = shapes("");
    struct cf_inf_shape s;
    int i;

    (void)state;
    forget();
    list_inf("infinity-125m", NULL);
    i = at("block_chunks.3.module.2.ffn.fc2.weight");
    list->view[i].dim[1]++;
    fails(cf_inf_detect(&s, &in, &err[0]), CF_EMISMATCH, &err[0],
          "block_chunks.3.module.2.ffn.fc2.weight: shape [768, 3073], expected [768, "
          "3072]");
    list->view[i].dim[1]--;
    list->name[i][0] = 'B';
    fails(cf_inf_detect(&s, &in, &err[1]), CF_EMISMATCH, &err[1],
          "2 tensors do not fit: block_chunks.3.module.2.ffn.fc2.weight: missing; "
          "Block_chunks.3.module.2.ffn.fc2.weight: unknown");
    list->name[i][0] = 'b';
    i = at("block_chunks.3.module.2.sa.zero_k_bias");
    snprintf(list->name[i], CF_KEY_NAME, "lvl_1L"); /* a buffer in place of another */
    ok(cf_inf_detect(&s, &in, &err[2]), &err[2]);
    add_name("block_chunks.0.module.0.ffn.fcg.weight");
    fails(cf_inf_detect(&s, &in, &err[3]), CF_EUNSUP, &err[3], "SwiGLU");
    list->n--;
    list->view[at("block_chunks.0.module.0.sa.scale_mul_1H11")].dim[1] = 7;
    fails(cf_inf_detect(&s, &in, &err[4]), CF_EMISMATCH, &err[4],
          "impossible sizes: width 768, bits 16, heads 7");
}

/* 4-bit values: half as many bytes in a row, and scales beside them. */
static void quantized_matrices_fit(void **state)
{
    struct cf_error err = {0}, wrong = {0};
    struct cf_shapes in = shapes("");
    struct cf_inf_shape s;
    int i;

    (void)state;
    forget();
    list_inf("infinity-125m", NULL);
    i = at("block_chunks.3.module.2.ffn.fc2.weight");
    list->view[i].dtype = CF_U8;
    list->view[i].dim[1] /= 2;
    add("block_chunks.3.module.2.ffn.fc2.weight_scale", 2, (int64_t[]){768, 48});
    ok(cf_inf_detect(&s, &in, &err), &err);
    list->view[i].dtype = CF_I8;
    fails(cf_inf_detect(&s, &in, &wrong), CF_EMISMATCH, &wrong, "shape [768, 1536]");
}

static void a_tokenizer_of_another_build_is_refused(void **state)
{
    struct cf_error err[3] = {0};
    struct cf_shapes in = shapes("");
    struct cf_vae_shape v;
    bool encoder;

    (void)state;
    forget();
    list_vae(&geometry("infinity-2b")->vae, true);
    add_name("decoder.mid.attn_1.q.weight");
    fails(cf_vae_detect(&v, &encoder, &in, &err[0]), CF_EMISMATCH, &err[0],
          "decoder.mid.attn_1.q.weight: unknown");
    list->n--;
    list->view[at("decoder.up.2.block.0.conv1.conv.weight")].dim[0] = 200;
    fails(cf_vae_detect(&v, &encoder, &in, &err[1]), CF_EUNSUP, &err[1],
          "level 2 of the decoder has 200 channels");
    list->view[at("decoder.conv_in.conv.weight")].dim[1] = 1000;
    fails(cf_vae_detect(&v, &encoder, &in, &err[2]), CF_EUNSUP, &err[2],
          "a latent of 1000 channels");
}

/* ---- pairs ---- */

static void every_geometry_pairs_with_its_own_parts(void **state)
{
    const struct cf_geometry *g;

    (void)state;
    for (int i = 0; (g = cf_geometry_at(i)) != NULL; i++) {
        const struct cf_known_encoder *k;
        struct cf_inf_shape s = g->shape;
        struct cf_error err = {0};

        s.bits = s.dv;
        s.patchify = false;
        ok(cf_pair_vae(&s, &g->vae, &err), &err);
        assert_memory_equal(&s, &g->shape, sizeof s);
        ok(cf_known_encoder_find(&k, g->encoder, &err), &err);
        ok(cf_pair_text(&s, cf_encoder_config_hidden(&k->config), "", &err), &err);
        assert_string_equal(cf_geometry_vae_name(&g->vae),
                            strcmp(g->vae_name, "infinity_vae_d32") == 0
                                ? "infinity_vae_d32_reg"
                                : g->vae_name);
    }
}

static void wrong_pairs_are_refused_with_both_numbers(void **state)
{
    struct cf_inf_shape s = geometry("infinity-2b")->shape, eight, wide;
    struct cf_vae_shape v = geometry("infinity-125m")->vae;
    struct cf_error err[4] = {0};
    char fits[200];

    (void)state;
    fails(cf_pair_vae(&s, &v, &err[0]), CF_EMISMATCH, &err[0],
          "predicts 32 bits a token, the tokenizer (VAE) has 16 bits");
    assert_non_null(strstr(err[0].msg, "infinity_vae_d32_reg"));
    eight = geometry("infinity-8b")->shape;
    fails(cf_pair_vae(&eight, &v, &err[1]), CF_EMISMATCH, &err[1],
          "infinity_vae_d56_f8_14_patchify");
    /* 64 is four times 16, but four positions of 16 pixels are not a token. */
    wide = s;
    wide.dv = 64;
    fails(cf_pair_vae(&wide, &v, &err[2]), CF_EMISMATCH, &err[2], "infinity_vae_d64");
    fails(cf_pair_text(&s, 1536, cf_known_encoder_of_width(fits, sizeof fits, 2048),
                       &err[3]),
          CF_EMISMATCH, &err[3], "2048 wide, the encoder's are 1536 wide");
    assert_non_null(strstr(err[3].msg, "flan-t5-xl, qwen2.5-3b"));
}

/* ---- sections of model.json ---- */

static void sections_read_back_to_the_same(void **state)
{
    const struct cf_geometry *g;

    (void)state;
    for (int i = 0; (g = cf_geometry_at(i)) != NULL; i++) {
        json_t *inf = cf_inf_section(&g->shape), *vae = cf_vae_section(&g->vae),
               *sizes = cf_sizes_section(g->allowed, g->trained),
               *sampling = cf_sampling_section(g->cfg, g->tau, g->top_k, g->top_p,
                                               g->insert, "bf16");
        struct cf_inf_defaults d;
        struct cf_error err = {0};
        struct cf_inf_shape s;
        struct cf_vae_shape v;
        struct cf_sizes z;

        ok(cf_inf_parse(&s, inf, &err), &err);
        assert_memory_equal(&s, &g->shape, sizeof s);
        ok(cf_vae_parse(&v, vae, &err), &err);
        assert_memory_equal(&v, &g->vae, sizeof v);
        ok(cf_sizes_parse(&z, sizes, &err), &err);
        assert_memory_equal(z.allowed, g->allowed, sizeof z.allowed);
        assert_memory_equal(z.trained, g->trained, sizeof z.trained);
        ok(cf_inf_defaults_parse(&d, sampling, &s, &err), &err);
        assert_true(d.cfg[0] == (float)g->cfg && d.tau[0] == (float)g->tau);
        assert_int_equal(d.top_k, 900);
        json_decref(inf);
        json_decref(vae);
        json_decref(sizes);
        json_decref(sampling);
    }
}

static void encoder_configs_read_back_to_the_same(void **state)
{
    const struct cf_known_encoder *k;

    (void)state;
    for (int i = 0; (k = cf_known_encoder_at(i)) != NULL; i++) {
        json_t *json = cf_encoder_config_json(&k->config);
        struct cf_qwen2_config qwen2;
        struct cf_error err = {0};
        struct cf_t5_config t5;

        if (k->config.family == CF_FAMILY_T5) {
            ok(cf_t5_config_read(&t5, json, k->name, &err), &err);
            assert_memory_equal(&t5, &k->config.t5, sizeof t5);
        } else {
            ok(cf_qwen2_config_read(&qwen2, json, k->name, &err), &err);
            assert_memory_equal(&qwen2, &k->config.qwen2, sizeof qwen2);
        }
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transformers_have_the_parameters_of_the_original),
        cmocka_unit_test(tokenizers_have_the_parameters_of_the_original),
        cmocka_unit_test(encoders_have_the_parameters_of_the_original),
        cmocka_unit_test(unknown_names_are_answered_with_the_known_ones),
        cmocka_unit_test(every_geometry_is_told_from_its_shapes),
        cmocka_unit_test(every_tokenizer_is_told_from_its_shapes_in_either_spelling),
        cmocka_unit_test(what_is_no_transformer_is_named),
        cmocka_unit_test(a_transformer_is_no_tokenizer),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(quantized_matrices_fit),
        cmocka_unit_test(a_tokenizer_of_another_build_is_refused),
        cmocka_unit_test(every_geometry_pairs_with_its_own_parts),
        cmocka_unit_test(wrong_pairs_are_refused_with_both_numbers),
        cmocka_unit_test(sections_read_back_to_the_same),
        cmocka_unit_test(encoder_configs_read_back_to_the_same),
    };

    return cmocka_run_group_tests_name("detect", tests, setup, teardown);
}
