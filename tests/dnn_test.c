/* dnn_test.c - opening a machine, levels, and what a call leaves as it was. */
#include "tests/dnn_tools.h"

#include <omp.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "dnn/layer.h"
#include "dnn/ops.h"

static void levels_have_names_and_other_words_are_refused(void **state)
{
    enum cf_cpu level;
    struct cf_error err = {0};

    (void)state;
    assert_ok(cf_cpu_parse(&level, NULL, why));
    assert_int_equal(level, CF_CPU_AUTO);
    assert_ok(cf_cpu_parse(&level, "", why));
    assert_int_equal(level, CF_CPU_AUTO);
    for (enum cf_cpu i = CF_CPU_C; i <= CF_CPU_AVX512; i++) {
        assert_ok(cf_cpu_parse(&level, cf_cpu_name(i), why));
        assert_int_equal(level, i);
    }
    assert_int_equal(cf_cpu_parse(&level, "avx", &err), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "\"avx\""));
}

static void a_machine_says_what_it_is(void **state)
{
    enum cf_cpu level;

    (void)state;
    assert_ok(cf_cpu_parse(&level, getenv("CFGEN_CPU"), why));
    for (int i = 0; i < TEAMS; i++) {
        assert_int_equal(cf_dnn_threads(team[i]), i + 1);
        assert_int_equal(cf_dnn_level(team[i]),
                         level == CF_CPU_AUTO ? cf_cpu_best() : level);
    }
    assert_true(strspn(cf_dnn_version(), "0123456789.") == strlen(cf_dnn_version()));
}

static void a_level_beyond_the_processor_names_what_is_missing(void **state)
{
    struct cf_dnn *dnn;
    struct cf_error err = {0};

    (void)state;
    if (cf_cpu_best() == CF_CPU_AVX512)
        skip();
    assert_int_equal(cf_dnn_open(&dnn, CF_CPU_AVX512, 1, &err), CF_ECPU);
    assert_null(dnn);
    assert_non_null(strstr(err.msg, "lacks"));
}

/* oneDNN keeps the level it was first held to. */
static void a_second_level_in_one_process_is_refused(void **state)
{
    enum cf_cpu other = cf_dnn_level(team[0]) == CF_CPU_C ? cf_cpu_best() : CF_CPU_C;
    struct cf_dnn *dnn;
    struct cf_error err = {0};

    (void)state;
    if (other == CF_CPU_C && cf_dnn_level(team[0]) == CF_CPU_C)
        skip();
    assert_int_equal(cf_dnn_open(&dnn, other, 1, &err), CF_ECONFIG);
    assert_null(dnn);
}

static void a_team_of_nobody_is_refused(void **state)
{
    struct cf_dnn *dnn;
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_dnn_open(&dnn, CF_CPU_AUTO, 0, &err), CF_EUSAGE);
    assert_null(dnn);
    cf_dnn_close(NULL);
}

static struct cf_linear *small_layer(struct cf_dnn *dnn)
{
    static const int64_t dim[] = {16, 16};
    float *w = randoms(256);
    struct cf_view v = cf_view_f32(w, 2, dim);
    struct cf_linear *lin = NULL;
    struct cf_weight weight;

    assert_ok(cf_weight_of(&weight, &v, why));
    assert_ok(cf_linear_open(&lin, dnn, &weight, NULL, CF_HOLD_PACK, why));
    cf_free(w);
    return lin;
}

static void a_call_leaves_threads_and_rounding_as_they_were(void **state)
{
    struct cf_linear *lin = small_layer(team[2]);
    float x[16 * 16] = {0};

    (void)state;
    omp_set_num_threads(5);
#ifdef __SSE__
    _mm_setcsr(0x1f80);
#endif
    assert_ok(cf_linear_run(lin, x, (float[256]){1}, 16, why));
    cf_silu(team[2], x, x, 256);
    assert_int_equal(omp_get_max_threads(), 5);
#ifdef __SSE__
    assert_int_equal(_mm_getcsr() & 0x8040, 0);
#endif
    cf_linear_close(lin);
}

#ifdef __SSE__
static void no_thread_of_the_pool_flushes_when_a_call_is_over(void **state)
{
    struct cf_linear *lin = small_layer(team[2]);
    float x[16 * 16] = {0}, *y = floats(1 << 16);
    int flushing = 0;

    (void)state;
    _mm_setcsr(0x1f80);
    /* Threads that are started inside a call are children of a leader that flushes. */
    assert_ok(cf_linear_run(lin, x, (float[256]){1}, 16, why));
    cf_silu(team[2], y, y, 1 << 16);
    cf_dnn_begin(team[2]);
    assert_ok(cf_linear_run(lin, x, (float[256]){1}, 16, why));
    cf_silu(team[2], y, y, 1 << 16);
    assert_int_equal(_mm_getcsr() & 0x8040, 0);
    cf_dnn_end(team[2]);
#pragma omp parallel num_threads(3) reduction(+ : flushing)
    flushing += (_mm_getcsr() & 0x8040) != 0;
    assert_int_equal(flushing, 0);
    cf_linear_close(lin);
    cf_free(y);
}
#endif

/* Products that underflow are 0 in every thread. */
static void the_whole_team_flushes_subnormals(void **state)
{
    enum { N = 1 << 16 };
    float *x = floats(N), *y = floats(N);

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = 1e-30f;
    for (int t = 0; t < TEAMS; t++) {
        memset(y, 0xff, N * sizeof *y);
        cf_mix(team[t], y, x, 1e-10f, x, 1e-10f, N);
        for (int i = 0; i < N; i++)
            assert_true(y[i] == 0);
    }
    cf_free(x);
    cf_free(y);
}

static void time_is_charged_to_what_was_called(void **state)
{
    struct cf_dnn_times before = cf_dnn_times(team[0]), after;
    struct cf_linear *lin = small_layer(team[0]);
    float *x = randoms(512 * 16), *y = floats(512 * 16);

    (void)state;
    assert_ok(cf_linear_run(lin, y, x, 512, why));
    after = cf_dnn_times(team[0]);
    assert_true(after.linear > before.linear);
    assert_true(after.attn == before.attn);
    cf_gelu_tanh(team[0], y, y, 512 * 16);
    assert_true(cf_dnn_times(team[0]).other > after.other);
    cf_linear_close(lin);
    cf_free(x);
    cf_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_names_and_other_words_are_refused),
        cmocka_unit_test(a_machine_says_what_it_is),
        cmocka_unit_test(a_level_beyond_the_processor_names_what_is_missing),
        cmocka_unit_test(a_second_level_in_one_process_is_refused),
        cmocka_unit_test(a_team_of_nobody_is_refused),
        cmocka_unit_test(a_call_leaves_threads_and_rounding_as_they_were),
#ifdef __SSE__
        cmocka_unit_test(no_thread_of_the_pool_flushes_when_a_call_is_over),
#endif
        cmocka_unit_test(the_whole_team_flushes_subnormals),
        cmocka_unit_test(time_is_charged_to_what_was_called),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
