/* mapped_test.c - linear layers over weights of every type, read where they lie. */
#include "tests/dnn_tools.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dnn/layer.h"

/* Weights whose last byte is the last of a page, behind which nothing may be read: so
 * they start at any address, as in a file. */
struct mapping {
    struct cf_weight w;
    char *at[2];
    size_t size[2]; /* of matrix and scales */
};

static void *map_pages(size_t bytes, char **at, size_t *size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    *size = (bytes + page - 1) / page * page + page;
    *at = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(*at != MAP_FAILED);
    assert_int_equal(mprotect(*at + *size - page, page, PROT_NONE), 0);
    return *at + *size - page - bytes;
}

/* Random weights n x k of about 1 in size; group 0 but for 4 bits. */
static void make(struct mapping *map, enum cf_wtype type, int64_t n, int64_t k, int group)
{
    static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
    size_t bytes = (size_t)n * cf_weight_row_bytes(type, k);
    size_t scales = cf_weight_bytes(type, n, k, group) - bytes;
    unsigned char *w = map_pages(bytes, &map->at[0], &map->size[0]);
    char *scale = map_pages(scales, &map->at[1], &map->size[1]);

    map->w = (struct cf_weight){type, n, k, group, w, scales ? scale : NULL};
    for (size_t i = 0; type >= CF_W_I8 && i < bytes; i++)
        w[i] = (unsigned char)(128 + 128 * uniform());
    for (int64_t i = 0; type < CF_W_I8 && i < n * k; i++) {
        float f = uniform();

        assert_ok(cf_floats_store(w + (size_t)i * cf_dtype_size(dtype[type]), dtype[type],
                                  &f, 1, why));
    }
    for (size_t i = 0; type == CF_W_I8 && i < scales; i += sizeof(float)) {
        float f = uniform() / 64;

        memcpy(scale + i, &f, sizeof f);
    }
    for (size_t i = 0; type == CF_W_Q4 && i < scales; i += 2) {
        float f = uniform() / 4;

        assert_ok(cf_floats_store(scale + i, CF_F16, &f, 1, why));
    }
}

static void drop(struct mapping *map)
{
    for (int i = 0; i < 2; i++)
        munmap(map->at[i], map->size[i]);
}

static struct cf_linear *open_map(struct cf_dnn *dnn, const struct mapping *map,
                                  const float *bias)
{
    struct cf_linear *lin = NULL;

    assert_ok(cf_linear_open(&lin, dnn, &map->w, bias, CF_HOLD_MAP, why));
    return lin;
}

/* Sizes for all types: k a multiple of 64 where 4 bits are to come. */
static const struct {
    int k, n;
} shapes[] = {{1, 1},    {17, 1},    {3, 17},    {63, 33},   {129, 48},
              {32, 5},   {64, 64},   {128, 31},  {192, 100}, {768, 77},
              {64, 300}, {2048, 96}, {8192, 20}, {512, 150}};

enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Does the shape exist in this type? Groups of 64 and 32 take turns. */
static int group_of(enum cf_wtype type, int s)
{
    if (type != CF_W_Q4)
        return 0;
    return shapes[s].k % 64 == 0 && s % 2 ? 64 : 32;
}

static int exists(enum cf_wtype type, int s)
{
    return type != CF_W_Q4 || shapes[s].k % group_of(type, s) == 0;
}

/* Within 1e-6 of the sum of the products' sizes. */
static void every_type_is_its_definition_in_double(void **state)
{
    enum { M = 5 };

    (void)state;
    for (enum cf_wtype type = CF_W_F32; type < CF_NWTYPE; type++) {
        for (int s = 0; s < SHAPES; s++) {
            int k = shapes[s].k, n = shapes[s].n;
            float *b = randoms((size_t)n), *x = randoms((size_t)(M * k));
            float *y = floats((size_t)(M * n)), *row = floats((size_t)k);
            struct cf_linear *lin;
            struct mapping map;

            if (exists(type, s)) {
                make(&map, type, n, k, group_of(type, s));
                lin = open_map(team[0], &map, s % 2 ? b : NULL);
                assert_int_equal(cf_linear_in(lin), k);
                assert_int_equal(cf_linear_out(lin), n);
                assert_ok(cf_linear_run(lin, y, x, M, why));
                for (int j = 0; j < n; j++) {
                    cf_weight_row(row, &map.w, j);
                    for (int i = 0; i < M; i++) {
                        double sum = s % 2 ? b[j] : 0, size = fabs(sum);

                        for (int l = 0; l < k; l++) {
                            sum += (double)x[i * k + l] * row[l];
                            size += fabs((double)x[i * k + l] * row[l]);
                        }
                        assert_near(y[i * n + j], sum, 1e-6 * size);
                    }
                }
                cf_linear_close(lin);
                drop(&map);
            }
            cf_free(b);
            cf_free(x);
            cf_free(y);
            cf_free(row);
        }
    }
}

/* All rows to 70, then steps that hit no round number alone. */
static int next_rows(int m, int rows)
{
    if (m == rows)
        return rows + 1;
    m = m < 70 ? m + 1 : m * 7 / 5 + 1;
    return m > rows ? rows : m;
}

static void a_row_has_the_same_bits_for_any_number_of_rows_and_threads(void **state)
{
    enum { ROWS = 300 }; /* two tiles high */
    static const int some[] = {1, 3, 8, 10, 12, 13};

    (void)state;
    for (enum cf_wtype type = CF_W_F32; type < CF_NWTYPE; type++) {
        for (size_t c = 0; c < sizeof some / sizeof *some; c++) {
            int s = some[c], k = shapes[s].k, n = shapes[s].n;
            float *b = randoms((size_t)n), *x = randoms((size_t)(ROWS * k));
            float *one = floats((size_t)(ROWS * n)), *y = floats((size_t)(ROWS * n));
            struct mapping map;

            for (int t = 0; t < TEAMS && exists(type, s); t++) {
                struct cf_linear *lin;

                if (t == 0)
                    make(&map, type, n, k, group_of(type, s));
                lin = open_map(team[t], &map, b);
                for (int r = 0; t == 0 && r < ROWS; r++)
                    assert_ok(cf_linear_run(lin, one + r * n, x + r * k, 1, why));
                for (int m = 1; m <= ROWS; m = next_rows(m, ROWS)) {
                    memset(y, 0xff, (size_t)(m * n) * sizeof *y);
                    assert_ok(cf_linear_run(lin, y, x, m, why));
                    if (memcmp(y, one, (size_t)(m * n) * sizeof *y))
                        fail_msg("%s, K %d, N %d, %d threads: %d rows differ from one",
                                 cf_wtype_name(type), k, n, t + 1, m);
                }
                cf_linear_close(lin);
                if (t == TEAMS - 1)
                    drop(&map);
            }
            cf_free(b);
            cf_free(x);
            cf_free(one);
            cf_free(y);
        }
    }
}

/* An output depends on its own row of weights: alone it has the bits it has among others.
 */
static void an_output_has_the_same_bits_in_any_company(void **state)
{
    enum { K = 256, N = 75, M = 9 };
    float *x = randoms(M * K), *y = floats(M * N), *z = floats(M * N), *b = randoms(N);

    (void)state;
    for (enum cf_wtype type = CF_W_F32; type < CF_NWTYPE; type++) {
        struct mapping map;
        struct cf_linear *all;

        make(&map, type, N, K, type == CF_W_Q4 ? 64 : 0);
        all = open_map(team[1], &map, b);
        assert_ok(cf_linear_run(all, y, x, M, why));
        for (int at = 0, count = 1; at + count <= N; at += count, count += 3) {
            struct mapping part = {.w = cf_weight_rows(&map.w, at, count)};
            struct cf_linear *lin = open_map(team[0], &part, b + at);

            assert_ok(cf_linear_run(lin, z, x, M, why));
            for (int i = 0; i < M; i++)
                assert_same_floats(z + i * count, y + i * N + at, count);
            cf_linear_close(lin);
        }
        cf_linear_close(all);
        drop(&map);
    }
    cf_free(x);
    cf_free(y);
    cf_free(z);
    cf_free(b);
}

static void starts_off_the_grid_change_no_bit(void **state)
{
    enum { K = 96, N = 80, M = 37 };
    float *x = randoms(M * K), *y = floats(M * N), *x1 = floats(M * K + 1);
    float *z = floats(M * N + 1);

    (void)state;
    memcpy(x1 + 1, x, M * K * sizeof *x);
    for (enum cf_wtype type = CF_W_F32; type < CF_NWTYPE; type++) {
        struct mapping map, moved = {0};
        char *w, *scale;

        make(&map, type, N, K, type == CF_W_Q4 ? 32 : 0);
        w = cf_alloc(N * cf_weight_row_bytes(type, K) + 3, 1, NULL);
        scale = cf_alloc(map.size[1] + 1, 1, NULL);
        assert_true(w && scale);
        moved.w = map.w;
        moved.w.w = memcpy(w + 3, map.w.w, N * cf_weight_row_bytes(type, K));
        if (map.w.scale)
            moved.w.scale = memcpy(scale + 1, map.w.scale,
                                   cf_weight_bytes(type, N, K, map.w.group) -
                                       N * cf_weight_row_bytes(type, K));
        for (int t = 0; t < TEAMS; t++) {
            struct cf_linear *lin = open_map(team[t], &map, NULL);
            struct cf_linear *off = open_map(team[t], &moved, NULL);

            assert_ok(cf_linear_run(lin, y, x, M, why));
            assert_ok(cf_linear_run(off, z + 1, x1 + 1, M, why));
            assert_same_floats(y, z + 1, M * N);
            cf_linear_close(lin);
            cf_linear_close(off);
        }
        cf_free(w);
        cf_free(scale);
        drop(&map);
    }
    cf_free(x);
    cf_free(y);
    cf_free(x1);
    cf_free(z);
}

static void quantized_weights_are_read_in_place_however_they_are_to_be_held(void **state)
{
    enum { K = 64, N = 40, M = 3 };
    float *x = randoms(M * K), y[2][M * N];

    (void)state;
    for (enum cf_wtype type = CF_W_I8; type <= CF_W_Q4; type++) {
        struct cf_linear *lin[2];
        struct mapping map;

        make(&map, type, N, K, type == CF_W_Q4 ? 64 : 0);
        for (int i = 0; i < 2; i++) {
            assert_ok(cf_linear_open(&lin[i], team[0], &map.w, NULL,
                                     i ? CF_HOLD_MAP : CF_HOLD_PACK, why));
            memset(map.at[0], 0, map.size[0] - (size_t)sysconf(_SC_PAGESIZE));
        }
        for (int i = 0; i < 2; i++) {
            assert_ok(cf_linear_run(lin[i], y[i], x, M, why));
            cf_linear_close(lin[i]);
        }
        assert_same_floats(y[0], y[1], M * N);
        drop(&map);
    }
    cf_free(x);
}

static void a_value_that_is_no_number_spoils_its_own_row_alone(void **state)
{
    enum { K = 130, N = 70, M = 20, BAD = 41 };
    float *x = randoms(M * K), *y = floats(M * N), nan = NAN;

    (void)state;
    for (enum cf_wtype type = CF_W_F32; type <= CF_W_BF16; type++) {
        static const enum cf_dtype dtype[] = {CF_F32, CF_F16, CF_BF16};
        size_t size = cf_dtype_size(dtype[type]);
        struct mapping map;
        struct cf_linear *lin;

        make(&map, type, N, K, 0);
        assert_ok(cf_floats_store((char *)map.at[0] + map.size[0] -
                                      (size_t)sysconf(_SC_PAGESIZE) -
                                      ((N - BAD) * K - 129) * size,
                                  dtype[type], &nan, 1, why));
        lin = open_map(team[1], &map, NULL);
        assert_ok(cf_linear_run(lin, y, x, M, why));
        for (int i = 0; i < M * N; i++)
            assert_int_equal(isnan(y[i]) != 0, i % N == BAD);
        cf_linear_close(lin);
        drop(&map);
    }
    cf_free(x);
    cf_free(y);
}

static void wrong_sizes_and_missing_scales_are_refused_with_a_reason(void **state)
{
    static const struct {
        enum cf_wtype type;
        int64_t n, k;
        int group, scale;
        const char *says;
    } bad[] = {{CF_W_BF16, 0, 4, 0, 0, "[0, 4]"},
               {CF_W_BF16, 4, -1, 0, 0, "[4, -1]"},
               {CF_W_F32, INT64_MAX, 4, 0, 0, "[9223372036854775807, 4]"},
               {CF_W_F16, 4, INT32_MAX, 0, 0, "[4, 2147483647]"},
               {CF_W_I8, 4, 4, 0, 0, "int8 weights without a scale"},
               {CF_W_Q4, 4, 64, 64, 0, "4bit weights without a scale"},
               {CF_W_Q4, 4, 64, 0, 1, "groups of 0"},
               {CF_W_Q4, 4, 48, 16, 1, "groups of 16"},
               {CF_W_Q4, 4, 96, 64, 1, "96 columns"},
               {CF_W_Q4, 4, 33, 32, 1, "33 columns"}};
    static const char bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cf_weight w = {bad[i].type,  bad[i].n, bad[i].k,
                              bad[i].group, bytes,    bad[i].scale ? bytes : NULL};
        struct cf_linear *lin;
        struct cf_error err = {0};

        assert_int_equal(cf_linear_open(&lin, team[0], &w, NULL, CF_HOLD_MAP, &err),
                         CF_ESHAPE);
        assert_null(lin);
        if (!strstr(err.msg, bad[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i].says);
    }
}

static void its_time_counts_as_linear(void **state)
{
    enum { K = 256, N = 256, M = 64 };
    float *x = randoms(M * K), *y = floats(M * N);
    struct cf_dnn_times was = cf_dnn_times(team[0]), is;
    struct cf_linear *lin;
    struct mapping map;

    (void)state;
    make(&map, CF_W_BF16, N, K, 0);
    lin = open_map(team[0], &map, NULL);
    assert_ok(cf_linear_run(lin, y, x, M, why));
    is = cf_dnn_times(team[0]);
    assert_true(is.linear > was.linear);
    assert_true(is.attn == was.attn && is.conv == was.conv && is.other == was.other);
    cf_linear_close(lin);
    drop(&map);
    cf_free(x);
    cf_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_its_definition_in_double),
        cmocka_unit_test(a_row_has_the_same_bits_for_any_number_of_rows_and_threads),
        cmocka_unit_test(an_output_has_the_same_bits_in_any_company),
        cmocka_unit_test(starts_off_the_grid_change_no_bit),
        cmocka_unit_test(quantized_weights_are_read_in_place_however_they_are_to_be_held),
        cmocka_unit_test(a_value_that_is_no_number_spoils_its_own_row_alone),
        cmocka_unit_test(wrong_sizes_and_missing_scales_are_refused_with_a_reason),
        cmocka_unit_test(its_time_counts_as_linear),
    };

    return cmocka_run_group_tests(tests, open_teams, close_teams);
}
