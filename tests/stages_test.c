/* The parts that the stages of a worker are made of: belts, the ledger, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "pipeline/belt.h"
#include "pipeline/engine.h"
#include "pipeline/ledger.h"
#include "pipeline/texts.h"

/* ---- belts ---- */

enum { ITEMS = 1000 };

static void *put_all(void *arg)
{
    static int item[ITEMS];

    for (int i = 0; i < ITEMS; i++) {
        item[i] = i;
        if (!cf_belt_put(arg, &item[i]))
            return NULL;
    }
    cf_belt_end(arg);
    return NULL;
}

static void a_belt_keeps_the_order_and_tells_its_end(void **state)
{
    struct cf_belt *belt;
    pthread_t thread;
    bool end = false;
    int *item, n = 0;

    (void)state;
    assert_int_equal(cf_belt_open(&belt, 3, NULL), CF_OK);
    assert_int_equal(pthread_create(&thread, NULL, put_all, belt), 0);
    while ((item = cf_belt_take(belt, -1, &end)))
        assert_int_equal(*item, n++);
    assert_int_equal(n, ITEMS);
    assert_true(end);
    pthread_join(thread, NULL);
    cf_belt_free(belt);
}

static void an_ended_belt_takes_nothing_and_gives_what_it_has(void **state)
{
    struct cf_belt *belt;
    bool end;
    int a;

    (void)state;
    assert_int_equal(cf_belt_open(&belt, 1, NULL), CF_OK);
    assert_true(cf_belt_wait_empty(belt, 0));
    assert_null(cf_belt_take(belt, 1, &end));
    assert_false(end);
    assert_true(cf_belt_put(belt, &a));
    assert_false(cf_belt_wait_empty(belt, 1));
    cf_belt_end(belt);
    assert_false(cf_belt_put(belt, &a));
    assert_ptr_equal(cf_belt_take(belt, -1, &end), &a);
    assert_null(cf_belt_take(belt, -1, &end));
    assert_true(end);
    cf_belt_free(belt);
}

/* ---- ledger ---- */

static void the_ledger_knows_who_is_alone_and_keeps_the_first_error(void **state)
{
    const struct cf_error first = {CF_ENOSPC, "first"}, second = {CF_EIO, "second"};
    struct cf_error err = {0};
    struct cf_retry retry;
    struct cf_ledger l;

    (void)state;
    cf_retry_default(&retry);
    cf_ledger_open(&l, NULL, &retry, 5);
    cf_ledger_claimed(&l, 3);
    assert_false(cf_ledger_wait(&l, 2, 1));
    assert_true(cf_ledger_wait(&l, 3, 1));
    cf_ledger_ended(&l, 2, &(struct cf_tally){.done = 2});
    assert_true(cf_ledger_wait(&l, 1, 0));
    assert_int_equal(cf_ledger_tally(&l).done, 2);
    assert_int_equal(cf_ledger_tally(&l).claimed, 3);
    assert_int_equal(cf_ledger_status(&l, &err), CF_OK);
    cf_ledger_fatal(&l, &first);
    cf_ledger_fatal(&l, &second);
    assert_int_equal(cf_ledger_status(&l, &err), CF_ENOSPC);
    assert_string_equal(err.msg, "first");
    cf_ledger_close(&l);
}

/* ---- texts ---- */

struct fixture {
    struct cf_dnn *dnn;
    struct cf_model *model;
    struct cf_textenc *plain; /* without any memory */
    char dir[64];
};

static int open_fixture(void **state)
{
    const char *src = getenv("CFGEN_SRCDIR");
    struct fixture *f = cf_calloc(1, sizeof *f, NULL);
    char path[1024];

    snprintf(path, sizeof path, "%s/models/" CF_DEFAULT_MODEL, src ? src : "..");
    snprintf(f->dir, sizeof f->dir, "/tmp/cfgen-texts.XXXXXX");
    *state = f;
    return !mkdtemp(f->dir) || cf_dnn_open(&f->dnn, CF_CPU_AUTO, 1, NULL) != CF_OK ||
           cf_model_open(&f->model, path, CF_MODEL_TRUST, NULL) != CF_OK ||
           cf_textenc_open(&f->plain, f->dnn, json_object_get(f->model->json, "text"),
                           f->model->path[CF_PART_TEXT], f->model->path[CF_PART_VOCAB],
                           CF_HOLD_PACK, NULL) != CF_OK;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    char name[128];
    int left;

    for (int i = 0; i < 4; i++) {
        static const char *const tail[] = {"sqlite", "sqlite-wal", "sqlite-shm", "lock"};

        snprintf(name, sizeof name, "%s/embed.%s", f->dir, tail[i]);
        unlink(name);
    }
    left = rmdir(f->dir);
    cf_textenc_close(f->plain);
    cf_model_close(f->model);
    cf_dnn_close(f->dnn);
    cf_free(f);
    return left;
}

static struct cf_texts *open_texts(struct fixture *f, struct cf_cache *cache)
{
    const struct cf_texts_options o = {
        .dnn = f->dnn,
        .model = f->model,
        .dim = cf_textenc_dim(f->plain),
        .cache = cache,
    };
    struct cf_error err = {0};
    struct cf_texts *t;

    if (cf_texts_open(&t, &o, &err) != CF_OK)
        fail_msg("%s", err.msg);
    return t;
}

/* What came out is what the encoder says, bit for bit. */
static void same_as_plain(struct fixture *f, const struct cf_prompt *p, int n,
                          struct cf_encoded **got)
{
    struct cf_error err = {0};

    for (int i = 0; i < n; i++) {
        const struct cf_text *t = cf_encoded_text(got[i]);
        struct cf_text want;

        assert_int_equal(cf_textenc_encode(f->plain, &p[i], 1, &want, &err), CF_OK);
        assert_int_equal(t->n, want.n);
        assert_int_equal(t->dim, want.dim);
        assert_int_equal(t->truncated, want.truncated);
        assert_memory_equal(t->ids, want.ids, (size_t)want.n * sizeof *want.ids);
        assert_memory_equal(t->features, want.features,
                            (size_t)want.n * (size_t)want.dim * sizeof(float));
        cf_text_free(&want);
    }
}

static void drop(struct cf_encoded **got, int n)
{
    for (int i = 0; i < n; i++)
        cf_encoded_drop(got[i]);
}

static const struct cf_prompt prompts[] = {
    {"red apple", 9}, {"octopus", 7}, {"red apple", 9}};
enum { N = 3 };

static void a_text_is_encoded_once_and_remembered_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    struct cf_texts *t = open_texts(f, NULL);
    struct cf_encoded *got[N], *again[N];
    struct cf_error err = {0};

    assert_int_equal(cf_texts_get(t, prompts, N, true, got, &err), CF_OK);
    for (int i = 0; i < N; i++)
        assert_null(got[i]);
    assert_int_equal(cf_texts_get(t, prompts, N, false, got, &err), CF_OK);
    assert_ptr_equal(got[0], got[2]);
    assert_int_equal(cf_texts_count(t).encoded, 2);
    assert_int_equal(cf_texts_get(t, prompts, N, true, again, &err), CF_OK);
    assert_int_equal(cf_texts_count(t).encoded, 2);
    assert_int_equal(cf_texts_count(t).memory, 3);
    cf_texts_close(t);
    same_as_plain(f, prompts, N, got); /* references outlive what gave them */
    same_as_plain(f, prompts, N, again);
    drop(got, N);
    drop(again, N);
}

static void a_text_from_disk_is_the_same_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    struct cf_encoded *got[N];
    struct cf_error err = {0};
    struct cf_cache *cache;

    for (int round = 0; round < 2; round++) {
        struct cf_texts *t;

        assert_int_equal(cf_cache_open(&cache, f->dir, 1 << 20, &err), CF_OK);
        t = open_texts(f, cache);
        assert_int_equal(cf_texts_get(t, prompts, N, round == 1, got, &err), CF_OK);
        assert_int_equal(cf_texts_count(t).encoded, round ? 0 : 2);
        same_as_plain(f, prompts, N, got);
        drop(got, N);
        cf_texts_close(t);
        cf_cache_close(cache);
    }
}

static void more_texts_than_are_kept_are_all_right(void **state)
{
    enum { MANY = 300 };
    struct fixture *f = *state;
    struct cf_texts *t = open_texts(f, NULL);
    struct cf_encoded *got[MANY];
    struct cf_prompt p[MANY];
    char text[MANY][16];
    struct cf_error err = {0};

    for (int i = 0; i < MANY; i++)
        p[i] = (struct cf_prompt){
            text[i], (size_t)snprintf(text[i], sizeof text[i], "apple %d", i)};
    assert_int_equal(cf_texts_get(t, p, MANY, false, got, &err), CF_OK);
    same_as_plain(f, p, MANY, got);
    drop(got, MANY);
    cf_texts_close(t);
}

static void a_text_that_cannot_be_encoded_leaves_nothing_behind(void **state)
{
    const struct cf_prompt bad[] = {{"octopus", 7}, {"\xff", 1}};
    struct fixture *f = *state;
    struct cf_texts *t = open_texts(f, NULL);
    struct cf_encoded *got[2];
    struct cf_error err = {0};

    assert_int_equal(cf_texts_get(t, bad, 2, false, got, &err), CF_EFORMAT);
    assert_null(got[0]);
    assert_null(got[1]);
    cf_texts_close(t);
}

static void an_encoder_that_rested_encodes_the_same_bit_for_bit(void **state)
{
    struct fixture *f = *state;
    struct cf_texts *t = open_texts(f, NULL);
    struct cf_encoded *got[N];
    struct cf_error err = {0};

    for (int round = 0; round < 2; round++) { /* from the encoder, then from memory */
        cf_texts_rest(t);
        assert_int_equal(cf_texts_get(t, prompts, N, round == 1, got, &err), CF_OK);
        assert_int_equal(cf_texts_count(t).encoded, 2);
        same_as_plain(f, prompts, N, got);
        drop(got, N);
    }
    cf_texts_close(t);
}

static void near(size_t told, size_t is)
{
    assert_in_range(told, is - is / 50, is + is / 50);
}

static void what_weights_will_take_is_known_before_they_are_loaded(void **state)
{
    struct fixture *f = *state;
    const struct cf_gen_ops *ops = cf_gen_find("infinity");
    const struct cf_gen_files files = {
        .json = f->model->json,
        .transformer = f->model->path[CF_PART_TRANSFORMER],
        .vae = f->model->path[CF_PART_VAE],
    };
    struct cf_error err = {0};
    struct cf_holding h;
    struct cf_gen *gen;
    struct cf_held held;

    assert_int_equal(cf_holding_read(&h, f->model, CF_CPU_AUTO, &err), CF_OK);
    assert_string_equal(h.weights, "transformer bf16 packed, text encoder bf16 packed");
    held = cf_textenc_held(f->plain);
    near(h.text.own, held.own);
    assert_int_equal(h.text.mapped, 0);
    assert_int_equal(ops->open(&gen, &files, f->dnn, &err), CF_OK);
    held = ops->held(gen);
    near(h.transformer.own + h.vae.own, held.own);
    ops->close(gen);
}

static void a_model_at_rest_paints_the_same_when_it_wakes(void **state)
{
    struct fixture *f = *state;
    struct cf_gen_params params;
    struct cf_engine *e;
    struct cf_error err = {0};
    struct cf_text text = {0};
    struct cf_result first, again;
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, NULL);
    struct cf_request req = {.prompt = "fox", .prompt_len = 3, .cond = &text};

    cf_gen_params_default(&params);
    assert_int_equal(
        cf_textenc_encode(f->plain, &(struct cf_prompt){"fox", 3}, 1, &text, &err),
        CF_OK);
    assert_int_equal(cf_engine_open(&e, f->dnn, f->model->dir, NULL, &err), CF_OK);
    cf_engine_rest(e); /* before there is anything */
    assert_int_equal(cf_engine_run(e, &params, &req, 1, NULL, plan, &first, NULL, &err),
                     CF_OK);
    cf_engine_rest(e);
    assert_int_equal(cf_engine_wake(e, &err), CF_OK);
    assert_int_equal(cf_engine_run(e, &params, &req, 1, NULL, plan, &again, NULL, &err),
                     CF_OK);
    assert_string_equal(first.pixel_sha256, again.pixel_sha256);
    cf_result_free(&first);
    cf_result_free(&again);
    cf_engine_close(e);
    cf_text_free(&text);
    cf_free(plan);
}

static void an_encoder_of_another_width_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct cf_texts_options o = {
        .dnn = f->dnn, .model = f->model, .dim = cf_textenc_dim(f->plain) + 1};
    struct cf_error err = {0};
    struct cf_texts *t;

    assert_int_equal(cf_texts_open(&t, &o, &err), CF_EMISMATCH);
    assert_non_null(strstr(err.msg, "features a token"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_belt_keeps_the_order_and_tells_its_end),
        cmocka_unit_test(an_ended_belt_takes_nothing_and_gives_what_it_has),
        cmocka_unit_test(the_ledger_knows_who_is_alone_and_keeps_the_first_error),
        cmocka_unit_test(a_text_is_encoded_once_and_remembered_bit_for_bit),
        cmocka_unit_test(a_text_from_disk_is_the_same_bit_for_bit),
        cmocka_unit_test(more_texts_than_are_kept_are_all_right),
        cmocka_unit_test(a_text_that_cannot_be_encoded_leaves_nothing_behind),
        cmocka_unit_test(an_encoder_that_rested_encodes_the_same_bit_for_bit),
        cmocka_unit_test(what_weights_will_take_is_known_before_they_are_loaded),
        cmocka_unit_test(a_model_at_rest_paints_the_same_when_it_wakes),
        cmocka_unit_test(an_encoder_of_another_width_is_refused),
    };

    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
