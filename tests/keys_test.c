#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "models/detect.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"
#include "tests/golden.h"
#include "tests/models_util.h"
#include "tests/weights_util.h"
#include "textenc/encoder.h"
#include "textenc/known.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"
#include "weights/checkpoint.h"

static struct cf_dnn *dnn;
static char *dir;

static int setup(void **state)
{
    struct cf_error err = {0};

    (void)state;
    dir = util_mkdir();
    return cf_dnn_open(&dnn, CF_CPU_AUTO, 1, &err) == CF_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cf_dnn_close(dnn);
    util_rmdir(dir);
    return 0;
}

static void ok(enum cf_status status, const struct cf_error *err)
{
    if (status != CF_OK)
        fail_msg("%s", err->msg);
}

/* ---- a file of nearly nothing, made from a list ---- */

struct making {
    json_t *header;
    int64_t end;         /* of the data so far */
    const char *leave;   /* leave this key out */
    int optional, plain; /* write optional keys; write the plain spelling */
};

static enum cf_status declare(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct making *m = ctx;
    json_t *shape = json_array();
    int64_t n = 4;
    char buf[CF_KEY_NAME];
    const char *name = m->plain ? cf_vae_plain(buf, key->name) : key->name;

    (void)err;
    for (int d = 0; d < key->ndim; d++) {
        json_array_append_new(shape, json_integer(key->dim[d]));
        n *= key->dim[d];
    }
    if ((key->optional && !m->optional) || (m->leave && strcmp(name, m->leave) == 0)) {
        json_decref(shape);
        return CF_OK;
    }
    assert_null(json_object_get(m->header, name)); /* no key comes twice */
    json_object_set_new(m->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape,
                                  "data_offsets", (json_int_t)m->end,
                                  (json_int_t)(m->end + n)));
    m->end += n;
    return CF_OK;
}

static struct making begin(void)
{
    return (struct making){.header = json_object()};
}

/* A file whose every float is 2^-119 (bytes 0x04): finite, and no NaN of a norm. */
static const char *finish(struct making *m, const char *name)
{
    static char path[4][UTIL_PATH];
    static int at;
    char *text = json_dumps(m->header, 0), *to = path[at++ % 4];
    uint64_t n = strlen(text);
    FILE *f;

    snprintf(to, UTIL_PATH, "%s", util_path(dir, name));
    f = fopen(to, "wb");
    assert_non_null(f);
    fwrite(&n, 8, 1, f);
    fwrite(text, 1, n, f);
    for (int64_t i = 0; i < m->end; i++)
        fputc(4, f);
    assert_int_equal(fclose(f), 0);
    free(text);
    json_decref(m->header);
    return to;
}

/* ---- the same set as in the recorded files ---- */

struct against {
    const struct cf_ckpt *ckpt;
    int found;
};

static enum cf_status is_there(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct against *a = ctx;
    const struct cf_view *v = cf_ckpt_find(a->ckpt, key->name);

    if (!v && !key->optional)
        return cf_fail(err, CF_ENOENT, "%s", key->name);
    if (v && !cf_key_fits(key, v))
        return cf_fail(err, CF_ESHAPE, "%s", key->name);
    a->found += v != NULL;
    return CF_OK;
}

static struct cf_ckpt *open_ckpt(const char *path)
{
    struct cf_error err = {0};
    struct cf_ckpt *ckpt;

    ok(cf_ckpt_open(&ckpt, path, &err), &err);
    return ckpt;
}

static void detected_lists_are_the_recorded_transformers(void **state)
{
    static const char *const name[] = {"inf-tiny-2b.safetensors",
                                       "inf-tiny-8b.safetensors"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct cf_error err = {0};
        char path[UTIL_PATH];
        struct cf_inf_shape s;

        util_golden(path, name[i]);
        struct against a = {.ckpt = open_ckpt(path)};
        struct cf_shapes in = cf_shapes_of_ckpt(a.ckpt);

        ok(cf_inf_detect(&s, &in, &err), &err);
        ok(cf_inf_keys(&s, is_there, &a, &err), &err);
        assert_int_equal(a.found, cf_ckpt_count(a.ckpt));
        cf_ckpt_close((struct cf_ckpt *)a.ckpt);
    }
}

static void detected_lists_are_the_recorded_tokenizers(void **state)
{
    static const char *const name[] = {"vae-p16-d16.safetensors",
                                       "vae-p8-d14.safetensors"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct cf_error err = {0};
        char path[UTIL_PATH];
        struct cf_vae_shape s;
        bool encoder;

        util_golden(path, name[i]);
        struct against a = {.ckpt = open_ckpt(path)};
        struct cf_shapes in = cf_shapes_of_ckpt(a.ckpt);

        ok(cf_vae_detect(&s, &encoder, &in, &err), &err);
        assert_int_equal(encoder,
                         cf_ckpt_find(a.ckpt, "encoder.conv_in.conv.weight") != NULL);
        assert_int_equal(s.patch, i == 0 ? 16 : 8);
        assert_int_equal(s.bits, i == 0 ? 16 : 14);
        ok(cf_vae_keys(&s, encoder, is_there, &a, &err), &err);
        assert_int_equal(a.found, cf_ckpt_count(a.ckpt));
        cf_ckpt_close((struct cf_ckpt *)a.ckpt);
    }
}

static int walk_encoder(const struct cf_encoder_config *c, const char *prefix,
                        cf_key_fn *fn, void *ctx, struct cf_error *err)
{
    return c->family == CF_FAMILY_T5 ? cf_t5_keys(&c->t5, fn, ctx, err)
                                     : cf_qwen2_keys(&c->qwen2, prefix, fn, ctx, err);
}

static void lists_are_the_recorded_encoders(void **state)
{
    static const struct {
        const char *name;
        int more; /* tensors of the file that no encoder reads: lm_head */
    } file[] = {{"t5-tiny", 0},
                {"qwen2-tiny-tied", 0},
                {"qwen2-tiny-sharded", 1},
                {"qwen3-tiny", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        struct cf_error err = {0};
        struct cf_encoder_config c;
        char path[UTIL_PATH], prefix[CF_KEY_NAME] = "";

        snprintf(path, sizeof path, "%s", util_src("tests/golden/textenc"));
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", file[i].name);
        struct against a = {.ckpt = open_ckpt(path)};

        ok(cf_encoder_config_load(&c, path, &err), &err);
        struct cf_shapes in = cf_shapes_of_ckpt(a.ckpt);
        if (c.family == CF_FAMILY_QWEN2)
            ok(cf_qwen2_prefix(prefix, &in, &err), &err);
        ok(walk_encoder(&c, prefix, is_there, &a, &err), &err);
        assert_int_equal(a.found + file[i].more, cf_ckpt_count(a.ckpt));
        cf_ckpt_close((struct cf_ckpt *)a.ckpt);
    }
}

/* ---- the same set as what is bound ---- */

static const struct cf_inf_shape small = {.c = 16,
                                          .depth = 4,
                                          .heads = 2,
                                          .hd = 8,
                                          .mlp = 32,
                                          .bits = 8,
                                          .dv = 8,
                                          .text = 24,
                                          .text_max = 6,
                                          .pool_heads = 2,
                                          .chunks = 2,
                                          .level_first_only = true,
                                          .eps = 1e-6f};
static const struct cf_vae_shape small_vae = {
    .base = 24, .ch_mult = {1, 2, 1}, .levels = 3, .num_res = 1, .bits = 8, .patch = 4};

static enum cf_status open_model(const struct cf_inf_shape *s, const char *transformer,
                                 const char *vae, struct cf_error *err)
{
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    json_t *json = json_pack("{s:o, s:o, s:{s:[[i,i],[i,i]], s:[i,i]}, s:o}", "infinity",
                             cf_inf_section(s), "vae", cf_vae_section(&small_vae),
                             "sizes", "scales", 1, 1, 2, 2, "rope_grid", 2, 2, "sampling",
                             cf_sampling_section(3, 1, 0, 0, 0, NULL));
    struct cf_gen_files files = {.json = json, .transformer = transformer, .vae = vae};
    struct cf_gen *gen = NULL;
    enum cf_status status = ops->open(&gen, &files, dnn, err);

    ops->close(gen);
    json_decref(json);
    return status;
}

static const char *make_inf(const struct cf_inf_shape *s, const char *name, int optional,
                            const char *leave)
{
    struct making m = begin();
    struct cf_error err = {0};

    m.optional = optional;
    m.leave = leave;
    ok(cf_inf_keys(s, declare, &m, &err), &err);
    return finish(&m, name);
}

static const char *make_vae(const char *name, bool encoder, int plain, const char *leave)
{
    struct making m = begin();
    struct cf_error err = {0};

    m.plain = plain;
    m.leave = leave;
    ok(cf_vae_keys(&small_vae, encoder, declare, &m, &err), &err);
    return finish(&m, name);
}

/* Opening is strict: neither a tensor too few nor one too many. */
static void a_file_made_from_the_lists_opens(void **state)
{
    const char *vae = make_vae("v.safetensors", true, 0, NULL), *t;
    struct cf_inf_shape one = small;
    struct cf_error err = {0};

    (void)state;
    t = make_inf(&small, "t.safetensors", 1, NULL);
    ok(open_model(&small, t, vae, &err), &err);
    t = make_inf(&small, "t.safetensors", 0, NULL);
    ok(open_model(&small, t, vae, &err), &err);
    one.chunks = 1;
    t = make_inf(&one, "t.safetensors", 0, NULL);
    ok(open_model(&one, t, vae, &err), &err);
    vae = make_vae("v.safetensors", false, 1, NULL);
    ok(open_model(&one, t, vae, &err), &err);
}

struct names {
    char name[2000][CF_KEY_NAME];
    int n;
};

static enum cf_status remember(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct names *l = ctx;

    (void)err;
    if (!key->optional)
        snprintf(l->name[l->n++], CF_KEY_NAME, "%s", key->name);
    return CF_OK;
}

static void a_file_without_any_one_key_does_not_open(void **state)
{
    struct names *l = calloc(1, sizeof *l);
    char whole_vae[UTIL_PATH], whole[UTIL_PATH];
    struct cf_error err = {0};

    (void)state;
    assert_non_null(l);
    snprintf(whole_vae, sizeof whole_vae, "%s", make_vae("v.safetensors", true, 0, NULL));
    snprintf(whole, sizeof whole, "%s", make_inf(&small, "t.safetensors", 0, NULL));
    ok(cf_inf_keys(&small, remember, l, &err), &err);
    for (int i = 0; i < l->n; i++) {
        struct cf_error e = {0};

        const char *t = make_inf(&small, "less.safetensors", 0, l->name[i]);

        assert_int_equal(open_model(&small, t, whole_vae, &e), CF_EMISMATCH);
        if (!strstr(e.msg, l->name[i]))
            fail_msg("%s: %s", l->name[i], e.msg);
    }
    l->n = 0;
    ok(cf_vae_keys(&small_vae, true, remember, l, &err), &err);
    for (int i = 0; i < l->n; i++) {
        struct cf_error e = {0};

        const char *vae = make_vae("less.safetensors", true, 0, l->name[i]);

        assert_int_equal(open_model(&small, whole, vae, &e), CF_EMISMATCH);
    }
    free(l);
}

static void an_encoder_made_from_its_list_opens(void **state)
{
    static const char *const name[] = {"t5-tiny", "qwen2-tiny-tied", "qwen3-tiny"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct making m = begin();
        struct cf_error err = {0};
        struct cf_encoder_config c, back;
        struct cf_encoder *enc;
        char path[UTIL_PATH];

        snprintf(path, sizeof path, "%s", util_src("tests/golden/textenc"));
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", name[i]);
        ok(cf_encoder_config_load(&c, path, &err), &err);
        ok(walk_encoder(&c, "model.", declare, &m, &err), &err);
        finish(&m, "model.safetensors");
        json_t *json = cf_encoder_config_json(&c);
        assert_int_equal(json_dump_file(json, util_path(dir, "config.json"), 0), 0);
        json_decref(json);
        ok(cf_encoder_config_load(&back, dir, &err), &err);
        assert_memory_equal(&back, &c, sizeof c);
        ok(cf_encoder_open(&enc, dnn, dir, 0, CF_HOLD_PACK, &err), &err);
        cf_encoder_close(enc);
        remove(util_path(dir, "model.safetensors"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detected_lists_are_the_recorded_transformers),
        cmocka_unit_test(detected_lists_are_the_recorded_tokenizers),
        cmocka_unit_test(lists_are_the_recorded_encoders),
        cmocka_unit_test(a_file_made_from_the_lists_opens),
        cmocka_unit_test(a_file_without_any_one_key_does_not_open),
        cmocka_unit_test(an_encoder_made_from_its_list_opens),
    };

    return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
