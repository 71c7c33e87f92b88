/* base_test.c - errors, memory, text, random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/team.h"
#include "base/tensor.h"
#include "base/utf8.h"

static void the_first_error_wins_and_context_goes_in_front(void **state)
{
    struct cf_error err = {0};

    (void)state;
    assert_int_equal(cf_fail(&err, CF_ESHAPE, "a: %d", 1), CF_ESHAPE);
    assert_int_equal(cf_fail(&err, CF_EIO, "b"), CF_ESHAPE);
    assert_int_equal(cf_wrap(&err, "job %d", 7), CF_ESHAPE);
    assert_string_equal(err.msg, "job 7: a: 1");
}

static void control_bytes_never_reach_a_message(void **state)
{
    struct cf_error err = {0};

    (void)state;
    cf_fail(&err, CF_EFORMAT, "name \x1b[31m\n");
    assert_string_equal(err.msg, "name ?[31m?");
    err = (struct cf_error){0};
    cf_fail(&err, CF_EFORMAT,
            "\xc2\x9b"
            "2J \xc3\x9b \xc2\xa0");
    assert_string_equal(err.msg, "??2J \xc3\x9b \xc2\xa0");
}

static void errno_becomes_the_status_the_queue_acts_on(void **state)
{
    struct cf_error a = {0}, b = {0};

    (void)state;
    assert_int_equal(cf_fail_errno(&a, EDQUOT, "x"), CF_ENOSPC);
    assert_int_equal(cf_fail_errno(&b, EROFS, "x"), CF_EPERM);
    assert_true(cf_status_environment(CF_ENOSPC));
    assert_false(cf_status_retryable(CF_ESHAPE));
    assert_int_equal(cf_status_exit(CF_ECANCEL), 75);
}

static void sizes_that_wrap_are_refused(void **state)
{
    struct cf_error err = {0};
    size_t cap = 0;
    void *p = NULL;

    (void)state;
    assert_null(cf_alloc(SIZE_MAX / 2, 3, &err));
    assert_int_equal(err.status, CF_ENOMEM);
    assert_int_equal(cf_grow(&p, &cap, 100, 8, NULL), CF_OK);
    assert_true(cap >= 100);
    cf_free(p);
}

static void an_arena_counts_what_a_run_needs(void **state)
{
    struct cf_arena plan, run;
    struct cf_error err = {0};
    char *p;

    (void)state;
    cf_arena_measure(&plan);
    cf_arena_get(&plan, &p, 100, 4, &err);
    assert_null(p);
    assert_int_equal(plan.high, 448);
    assert_int_equal(cf_arena_open(&run, plan.high, &err), CF_OK);
    assert_int_equal(cf_arena_get(&run, &p, 100, 4, &err), CF_OK);
    assert_int_equal((uintptr_t)p % CF_ALIGN, 0);
    assert_int_equal(cf_arena_get(&run, &p, 1, 1, &err), CF_ENOMEM);
    cf_arena_close(&run);
}

static void ill_formed_text_is_found_and_repaired_by_maximal_parts(void **state)
{
    struct cf_error err = {0};
    size_t at = 0, len;
    char *out;

    (void)state;
    assert_true(cf_utf8_valid("a\xc3\xa9\xf0\x9f\x98\x80", 7, &at));
    assert_false(cf_utf8_valid("ab\xed\xa0\x80", 5, &at));
    assert_int_equal(at, 2);
    assert_int_equal(cf_utf8_repair("a\xf0\x9f\x98z\xc0\xaf", 7, &out, &len, &err),
                     CF_OK);
    assert_string_equal(out, "a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
    cf_free(out);
    out = cf_utf8_printable("a\x1b[2J\xe2\x80\xae", 8, 100, &err);
    assert_string_equal(out, "a\\u{1b}[2J\\u{202e}");
    cf_free(out);
}

static void random_numbers_follow_the_published_philox_vectors(void **state)
{
    uint32_t many[11];

    (void)state;
    /* Random123 known answer: philox4x32 10, zero key and counter. */
    assert_int_equal(cf_rng_u32(0, CF_RNG_BITS, 0, 0, 0), 0x6627e8d5);
    assert_int_equal(cf_rng_u32(0, CF_RNG_BITS, 0, 0, 1), 0xe169c58d);
    assert_int_equal(cf_rng_u32(0, CF_RNG_BITS, 0, 0, 2), 0xbc57ac4c);
    assert_int_equal(cf_rng_u32(0, CF_RNG_BITS, 0, 0, 3), 0x9b00dbd8);
    cf_rng_fill(many, 11, 9, CF_RNG_WEIGHT, 3, 4, 40);
    for (uint32_t i = 0; i < 11; i++)
        assert_int_equal(many[i], cf_rng_u32(9, CF_RNG_WEIGHT, 3, 4, 40 + i));
    for (uint32_t i = 0; i < 1000; i++) {
        float u = cf_rng_uniform(7, CF_RNG_TEST, 1, 2, i);

        assert_true(u >= 0.0f && u < 1.0f);
    }
}

static void hashes_match_the_standard(void **state)
{
    char hex[CF_DIGEST_HEX];

    (void)state;
    assert_int_equal(cf_digest_mem("abc", 3, hex, NULL), CF_OK);
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void half_floats_widen_exactly(void **state)
{
    static const uint16_t f16[] = {0x3c00, 0x0001, 0x8001, 0x7bff, 0xfc00};
    struct cf_view v = {.data = f16, .dtype = CF_F16, .ndim = 1, .dim = {5}};
    struct cf_error err = {0};
    float f[5];

    (void)state;
    assert_int_equal(cf_view_floats(f, &v, 0, 5, &err), CF_OK);
    assert_true(f[0] == 1.0f && f[1] == 0x1p-24f && f[2] == -0x1p-24f &&
                f[3] == 65504.0f);
    assert_true(f[4] < -1e30f);
    assert_int_equal(cf_view_floats(f, &v, 3, 3, &err), CF_ERANGE);
}

static void a_logged_message_may_hold_quotes(void **state)
{
    struct cf_error err = {0};
    char line[1000] = "";
    struct cf_log log;
    json_t *json;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    cf_log_init(&log);
    log.fd = fd[1];
    log.json = true;
    cf_log(&log, CF_LOG_ERROR, "e",
           "a=1 error=\"model \"x\": not \"here\"\" path=\"b c\"");
    assert_true(read(fd[0], line, sizeof line - 1) > 0);
    close(fd[0]);
    close(fd[1]);
    json = cf_json_parse(line, strlen(line), 100, "x", &err);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "error")),
                        "model \"x\": not \"here\"");
    assert_string_equal(json_string_value(json_object_get(json, "path")), "b c");
    json_decref(json);
}

static void json_refuses_duplicates_and_depth(void **state)
{
    struct cf_error a = {0}, b = {0}, c = {0};
    char deep[8192];

    (void)state;
    assert_null(cf_json_parse("{\"a\":1,\"a\":2}", 13, 100, "x", &a));
    assert_int_equal(a.status, CF_EFORMAT);
    memset(deep, '[', sizeof deep);
    assert_null(cf_json_parse(deep, sizeof deep, 1 << 20, "x", &b));
    assert_int_equal(b.status, CF_EFORMAT);
    assert_null(cf_json_parse(deep, sizeof deep, 100, "x", &c));
    assert_non_null(strstr(c.msg, "more than 100"));
}

/* Reads path, of at most max bytes; NULL where it must read, else what is wrong. */
static char *read_file(const char *path, size_t max, const char *wrong)
{
    struct cf_error err = {0};
    size_t size = 0;
    char *text = cf_file_read(path, max, &size, &err);

    if (!wrong) {
        assert_int_equal(err.status, CF_OK);
        assert_int_equal(strlen(text), size);
    } else {
        assert_null(text);
        assert_non_null(strstr(err.msg, wrong));
    }
    return text;
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    char dir[] = "/tmp/cfgen-file-XXXXXX", path[64];
    FILE *f;
    char *text;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
    read_file(path, 9, "No such file");
    read_file(dir, 9, "not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    read_file(path, 9, "not a regular file"); /* and does not wait for a writer */
    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    cf_free(read_file(path, 0, NULL));
    assert_true(fputs("nine byte", f) >= 0);
    assert_int_equal(fclose(f), 0);
    text = read_file(path, 9, NULL);
    assert_string_equal(text, "nine byte");
    cf_free(text);
    read_file(path, 8, "9 bytes, expected no more than 8 bytes");
    unlink(path);
    rmdir(dir);
    /* The kernel tells no length for these: better an error than half a text. */
    read_file("/proc/self/status", 1 << 20, "goes on behind its 0 bytes");
}

static void moments_are_written_in_utc_or_not_at_all(void **state)
{
    char buf[CF_CLOCK_UTC];

    (void)state;
    assert_string_equal(cf_clock_utc(buf, 951782400), "2000-02-29T00:00:00Z");
    assert_string_equal(cf_clock_utc(buf, -1), "1969-12-31T23:59:59Z");
    assert_null(cf_clock_utc(buf, INT64_MAX));
}

static void a_team_is_what_was_asked_for(void **state)
{
    struct cf_error err = {0};
    struct cf_team team;

    (void)state;
    assert_int_equal(cf_team_count(&team, 3, &err), CF_OK);
    assert_int_equal(team.threads, 3);
    assert_int_equal(cf_team_count(&team, 0, &err), CF_OK);
    assert_true(team.threads >= 1);
    assert_int_equal(cf_team_count(&team, -1, &err), CF_EUSAGE);
}

static void a_log_file_is_appended_to_and_errors_are_told_twice(void **state)
{
    char path[] = "/tmp/cfgen-log-XXXXXX", text[2048] = "", copy[1024] = "";
    struct cf_error err = {0};
    struct cf_log log;
    int fd = mkstemp(path), errors[2];
    json_t *v;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "before\n", 7), 7);
    assert_int_equal(pipe(errors), 0);
    cf_log_init(&log);
    assert_int_equal(cf_log_open(&log, path, &err), CF_OK);
    assert_int_equal(log.errors_fd, 2);
    log.errors_fd = errors[1];
    cf_log_worker(&log, 7);
    cf_log(&log, CF_LOG_INFO, "good", "job=%d", 3);
    log.json = true;
    cf_log(&log, CF_LOG_ERROR, "bad", "job=3 attempt=2 ms={\"webp\":1.5} code=EIO");
    close(errors[1]);
    close(log.fd);
    assert_true(read(errors[0], copy, sizeof copy - 1) > 0);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_ptr_equal(strstr(text, "before\n"), text);
    assert_non_null(strstr(text, " info good job=3 worker=7\n"));
    assert_null(strstr(copy, "good"));
    assert_non_null(strstr(text, copy));
    v = json_loads(copy, 0, NULL);
    assert_non_null(v);
    assert_int_equal(json_integer_value(json_object_get(v, "worker")), 7);
    assert_non_null(json_string_value(json_object_get(v, "host")));
    assert_int_equal(json_integer_value(json_object_get(v, "attempt")), 2);
    assert_string_equal(json_string_value(json_object_get(v, "code")), "EIO");
    assert_true(json_is_real(json_object_get(json_object_get(v, "ms"), "webp")));
    json_decref(v);
    close(errors[0]);
    close(fd);
    unlink(path);
    assert_int_equal(cf_log_open(&log, "/nowhere/at/all", &err), CF_ECREAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_file_is_appended_to_and_errors_are_told_twice),
        cmocka_unit_test(the_first_error_wins_and_context_goes_in_front),
        cmocka_unit_test(control_bytes_never_reach_a_message),
        cmocka_unit_test(errno_becomes_the_status_the_queue_acts_on),
        cmocka_unit_test(sizes_that_wrap_are_refused),
        cmocka_unit_test(an_arena_counts_what_a_run_needs),
        cmocka_unit_test(ill_formed_text_is_found_and_repaired_by_maximal_parts),
        cmocka_unit_test(random_numbers_follow_the_published_philox_vectors),
        cmocka_unit_test(hashes_match_the_standard),
        cmocka_unit_test(half_floats_widen_exactly),
        cmocka_unit_test(a_logged_message_may_hold_quotes),
        cmocka_unit_test(json_refuses_duplicates_and_depth),
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(moments_are_written_in_utc_or_not_at_all),
        cmocka_unit_test(a_team_is_what_was_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
