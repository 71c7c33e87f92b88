/* needs_test.c - memory told before anything is loaded, for models of the true size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/geometry.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "pipeline/inspect.h"
#include "pipeline/needs.h"
#include "weights/model.h"

static void ok(enum cf_status status, const struct cf_error *err)
{
    if (status != CF_OK)
        fail_msg("%s", err->msg);
}

static const struct cf_geometry *geometry(const char *name)
{
    const struct cf_geometry *g;
    struct cf_error err = {0};

    ok(cf_geometry_find(&g, name, &err), &err);
    return g;
}

static size_t weights(const struct cf_inf_shape *s, enum cf_wtype type)
{
    struct cf_error err = {0};
    size_t n;

    ok(cf_needs_inf(&n, s, type, &err), &err);
    return n;
}

/* Elements and rows of all matrices in the bulk, by hand. */
static void by_hand(const struct cf_inf_shape *s, size_t *n, size_t *rows, size_t *edge)
{
    size_t c = (size_t)s->c, f = (size_t)s->mlp, t = (size_t)s->text, d = (size_t)s->dv;
    size_t depth = (size_t)s->depth;

    *n = depth * (8 * c * c + 2 * c * f) + 2 * c * t + c * c + c * t + c * c + 6 * c * c;
    *rows = depth * (9 * c + f) + 2 * c + c + c + c + 6 * c;
    *edge = c * d + 2 * c * c + 2 * d * c;
}

static void weights_take_what_their_type_says(void **state)
{
    static const char *const name[] = {"infinity-125m", "infinity-2b", "infinity-8b"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct cf_inf_shape *s = &geometry(name[i])->shape;
        size_t n, rows, edge, small, f32 = weights(s, CF_W_F32);

        by_hand(s, &n, &rows, &edge);
        small = f32 - 4 * (n + edge);
        assert_true(small < f32 / 50);
        assert_int_equal(weights(s, CF_W_BF16), 2 * (n + edge) + small);
        assert_int_equal(weights(s, CF_W_F16), 2 * (n + edge) + small);
        assert_int_equal(weights(s, CF_W_I8), n + 4 * rows + 2 * edge + small);
        /* Groups of 32 divide every row of these. */
        assert_int_equal(weights(s, CF_W_Q4), n / 2 + n / 32 * 2 + 2 * edge + small);
    }
    assert_int_equal(weights(&geometry("infinity-2b")->shape, CF_W_F32),
                     4 * (size_t)2204564032);
}

static json_t *sections(const struct cf_geometry *g)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "infinity", cf_inf_section(&g->shape), "vae",
        cf_vae_section(&g->vae), "sizes", cf_sizes_section(g->allowed, g->trained),
        "sampling",
        cf_sampling_section(g->cfg, g->tau, g->top_k, g->top_p, g->insert, NULL));
}

/* Tokens that stay in the cache: all but the last scale of every block, and the last
 * scale of one (models/infinity.h); two rows with guidance, keys and values. */
static void keys_and_values_in_bf16_take_half(void **state)
{
    const struct cf_geometry *g = geometry("infinity-2b");
    struct cf_needs_size size[CF_NEEDS_SIZES];
    json_t *json = sections(g);
    struct cf_error err = {0};
    size_t kept = 6425, last = 64 * 64, text = 64, found = 0;
    int n;

    (void)state;
    ok(cf_needs_sizes(size, &n, json, 64, &err), &err);
    for (int i = 0; i < n; i++) {
        assert_true(size[i].bf16 <= size[i].f32);
        if (size[i].width == 1024 && size[i].height == 1024)
            found = size[i].f32 - size[i].bf16;
    }
    assert_in_range(found, (32 * (kept + text) + last) * 2 * 2048 * 2 * 2 * 99 / 100,
                    (32 * (kept + text) + last) * 2 * 2048 * 2 * 2 * 101 / 100);
    json_decref(json);
}

static void every_class_has_its_square_and_its_costliest_ratio(void **state)
{
    struct cf_needs_size size[CF_NEEDS_SIZES];
    json_t *json = sections(geometry("infinity-2b"));
    struct cf_error err = {0};
    int n, squares = 0;

    (void)state;
    ok(cf_needs_sizes(size, &n, json, 64, &err), &err);
    for (int i = 0; i < n; i++) {
        if (size[i].width == size[i].height) {
            squares++;
        } else {
            assert_string_equal(size[i].class, size[i - 1].class);
            assert_true(size[i].f32 > size[i - 1].f32);
        }
    }
    assert_int_equal(squares, CF_CLASSES);
    json_decref(json);
}

/* ---- a file of the true size, all holes ---- */

struct header {
    json_t *json;
    json_int_t end;
};

static enum cf_status declare(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    struct header *h = ctx;
    json_t *shape = json_array();
    json_int_t n = 2;

    (void)err;
    for (int d = 0; d < key->ndim; d++) {
        json_array_append_new(shape, json_integer(key->dim[d]));
        n *= key->dim[d];
    }
    json_object_set_new(h->json, key->name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "BF16", "shape", shape,
                                  "data_offsets", h->end, h->end + n));
    h->end += n;
    return CF_OK;
}

static void make_file(const char *path, const struct cf_inf_shape *s)
{
    struct header h = {.json = json_object()};
    struct cf_error err = {0};
    uint64_t n;
    char *text;
    FILE *f;

    ok(cf_inf_keys(s, declare, &h, &err), &err);
    text = json_dumps(h.json, 0);
    json_decref(h.json);
    n = strlen(text);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&n, 8, 1, f), 1);
    assert_int_equal(fwrite(text, 1, n, f), n);
    free(text);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, (off_t)(8 + n) + (off_t)h.end), 0);
}

static json_t *at(const json_t *obj, const char *a, const char *b)
{
    return json_object_get(json_object_get(obj, a), b);
}

static void a_released_transformer_is_known_by_name(void **state)
{
    char path[] = "needs_test.XXXXXX";
    int fd = mkstemp(path);
    struct cf_error err = {0};
    json_t *facts, *sizes;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    make_file(path, &geometry("infinity-8b")->shape);
    ok(cf_inspect(&facts, path, &err), &err);
    unlink(path);
    assert_string_equal(json_string_value(at(facts, "transformer", "geometry")),
                        "infinity-8b");
    assert_true(json_integer_value(at(facts, "transformer", "parameters")) == 8375791824);
    assert_string_equal(json_string_value(at(facts, "pairs_with", "vae")),
                        "infinity_vae_d56_f8_14_patchify");
    assert_string_equal(json_string_value(at(facts, "pairs_with", "text_encoders")),
                        "flan-t5-xl, qwen2.5-3b");
    sizes = at(facts, "memory", "sizes");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(sizes, 0), "class")), "0.06M");
    assert_true(json_integer_value(json_object_get(
                    json_object_get(json_array_get(sizes, 0), "total"), "int8")) <
                11000000000);
    json_decref(facts);
}

/* What is told beforehand is what the generator holds once it is open. */
static void told_is_what_loading_takes(void **state)
{
    const char *src = getenv("CFGEN_SRCDIR") ? getenv("CFGEN_SRCDIR") : "..";
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    struct cf_error err = {0};
    struct cf_dnn *dnn;
    struct cf_model *m;
    char dir[1024];

    (void)state;
    snprintf(dir, sizeof dir, "%s/models/" CF_DEFAULT_MODEL, src);
    ok(cf_dnn_open(&dnn, CF_CPU_AUTO, 1, &err), &err);
    ok(cf_model_open(&m, dir, CF_MODEL_TRUST, &err), &err);
    for (int map = 0; map < 2; map++) {
        struct cf_gen_files files = {.json = m->json,
                                     .transformer = m->path[CF_PART_TRANSFORMER],
                                     .vae = m->path[CF_PART_VAE],
                                     .hold = map ? CF_HOLD_MAP : CF_HOLD_PACK};
        struct cf_ckpt *ckpt;
        struct cf_inf_shape s;
        struct cf_held held;
        struct cf_shapes in;
        struct cf_gen *gen;
        struct cf_vae_shape v;
        size_t told, decoder;

        ok(ops->open(&gen, &files, dnn, &err), &err);
        held = ops->held(gen);
        ok(cf_ckpt_open(&ckpt, files.transformer, &err), &err);
        in = cf_shapes_of_ckpt(ckpt);
        ok(cf_inf_parse(&s, json_object_get(m->json, "infinity"), &err), &err);
        ok(cf_needs_inf_file(&told, &s, &in, map, &err), &err);
        ok(cf_vae_parse(&v, json_object_get(m->json, "vae"), &err), &err);
        ok(cf_needs_vae(&decoder, &v, &err), &err);
        told += decoder;
        /* Copies of biases inside layers are told, and not counted by who holds. */
        assert_in_range(held.mapped + held.own, told - told / 100, told);
        assert_int_equal(held.mapped > 0, map);
        cf_ckpt_close(ckpt);
        ops->close(gen);
    }
    cf_model_close(m);
    cf_dnn_close(dnn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_take_what_their_type_says),
        cmocka_unit_test(keys_and_values_in_bf16_take_half),
        cmocka_unit_test(every_class_has_its_square_and_its_costliest_ratio),
        cmocka_unit_test(a_released_transformer_is_known_by_name),
        cmocka_unit_test(told_is_what_loading_takes),
    };

    return cmocka_run_group_tests_name("needs", tests, NULL, NULL);
}
