/* statusfile_test.c - a monitor sees whole texts; a run never ends for want of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/statusfile.h"

static char dir[] = "/tmp/cfgen-status-XXXXXX";
static char path[sizeof dir + 16];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/s.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    (void)state;
    return rmdir(dir); /* fails where anything else was left */
}

static const struct cf_statusfile_facts facts = {
    .state = "running",
    .workers = 2,
    .done = 3,
    .failed = 1,
    .released = 5,
    .total = 10,
    .stage_ms = {[CF_STAGE_GENERATE] = 1500.25},
};

static void all_facts_are_there(void **state)
{
    struct cf_statusfile s;
    json_t *v;

    (void)state;
    cf_statusfile_start(&s, path, NULL);
    s.start -= 6000;
    assert_true(cf_statusfile_due(&s));
    cf_statusfile_put(&s, &facts);
    assert_false(cf_statusfile_due(&s));
    v = json_load_file(path, 0, NULL);
    assert_non_null(v);
    assert_string_equal(json_string_value(json_object_get(v, "state")), "running");
    assert_int_equal(json_integer_value(json_object_get(v, "pid")), getpid());
    assert_int_equal(json_integer_value(json_object_get(v, "workers")), 2);
    assert_int_equal(json_integer_value(json_object_get(v, "done")), 3);
    assert_int_equal(json_integer_value(json_object_get(v, "failed")), 1);
    assert_int_equal(json_integer_value(json_object_get(v, "released")), 5);
    assert_int_equal(json_integer_value(json_object_get(v, "total")), 10);
    assert_in_range(json_real_value(json_object_get(v, "images_per_minute")), 20, 30);
    assert_in_range(json_integer_value(json_object_get(v, "eta_s")), 11, 13);
    assert_true(json_is_object(json_object_get(v, "stage_ms")));
    assert_int_equal(strlen(json_string_value(json_object_get(v, "started"))), 20);
    assert_int_equal(strlen(json_string_value(json_object_get(v, "updated"))), 20);
    assert_true(json_is_null(json_object_get(v, "exit_status")));
    assert_non_null(json_string_value(json_object_get(v, "host")));
    json_decref(v);
}

static void the_end_tells_the_exit_status(void **state)
{
    struct cf_statusfile_facts f = facts;
    struct cf_statusfile s;
    json_t *v;

    (void)state;
    cf_statusfile_start(&s, path, NULL);
    f.state = "ended";
    f.exit_status = 75;
    cf_statusfile_put(&s, &f);
    v = json_load_file(path, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(v, "exit_status")), 75);
    json_decref(v);
}

static void a_reader_never_sees_half_a_text(void **state)
{
    struct cf_statusfile s;
    pid_t writer;

    (void)state;
    cf_statusfile_start(&s, path, NULL);
    cf_statusfile_put(&s, &facts);
    writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        for (int i = 0; i < 300; i++)
            cf_statusfile_put(&s, &facts);
        _exit(0);
    }
    do {
        json_t *v = json_load_file(path, 0, NULL);

        assert_non_null(v);
        json_decref(v);
    } while (waitpid(writer, NULL, WNOHANG) == 0);
}

static void trouble_is_told_once(void **state)
{
    struct cf_statusfile s;
    char line[1024] = "";
    struct cf_log log;
    int pipe_fd[2];
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    cf_log_init(&log);
    log.fd = pipe_fd[1];
    cf_statusfile_start(&s, "/nowhere/s.json", &log);
    for (int i = 0; i < 3; i++)
        cf_statusfile_put(&s, &facts);
    close(pipe_fd[1]);
    n = read(pipe_fd[0], line, sizeof line - 1);
    close(pipe_fd[0]);
    assert_true(n > 0);
    assert_non_null(strstr(line, "/nowhere/s.json"));
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static void without_a_name_nothing_is_written(void **state)
{
    struct cf_statusfile s;

    (void)state;
    cf_statusfile_start(&s, NULL, NULL);
    assert_false(cf_statusfile_due(&s));
    cf_statusfile_put(&s, &facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_facts_are_there),
        cmocka_unit_test(the_end_tells_the_exit_status),
        cmocka_unit_test(a_reader_never_sees_half_a_text),
        cmocka_unit_test(trouble_is_told_once),
        cmocka_unit_test(without_a_name_nothing_is_written),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
