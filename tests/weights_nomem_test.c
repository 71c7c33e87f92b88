/* weights_nomem_test.c - memory that runs out at any place is an error, not a leak.
 *
 * Our own allocations and those of Jansson count together; the nth
 * fails, for n = 1, 2, ... until everything succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/nomem_json.h"
#include "tests/weights_util.h"
#include "weights/bind.h"
#include "weights/model_spec.h"
#include "weights/model.h"
#include "weights/safetensors.h"
#include "weights/source.h"
#include "weights/st_write.h"

static void each_fails(enum cf_status (*job)(struct cf_error *err))
{
    nomem_each(job, 1, no_json_is_left);
}

static enum cf_status open_file(struct cf_error *err)
{
    struct cf_st *st;

    cf_st_open(&st, util_src("tests/golden/infinity/rope.safetensors"), err);
    cf_st_close(st);
    return err->status;
}

static enum cf_status open_shards(struct cf_error *err)
{
    struct cf_view v;
    struct cf_ckpt *c;
    struct cf_bind *b;
    int64_t d = 48;

    if (cf_ckpt_open(&c, util_src("tests/golden/textenc/qwen2-tiny-sharded"), err) !=
        CF_OK)
        return err->status;
    b = cf_bind_begin(c, err);
    cf_bind_want(b, &v, CF_BIND_REQUIRED, 1, &d, "model.norm.weight");
    cf_bind_end(b, false, err);
    cf_ckpt_close(c);
    return err->status;
}

static enum cf_status find_and_open_model(struct cf_error *err)
{
    struct cf_model *m = NULL;
    char *dir;

    if (cf_model_find(&dir, NULL, util_src("models"), err) == CF_OK)
        cf_model_open(&m, dir, CF_MODEL_TRUST, err);
    cf_free(dir);
    cf_model_close(m);
    return err->status;
}

static enum cf_status make_manifest(struct cf_error *err)
{
    const char *src = util_src("models/" CF_DEFAULT_MODEL);
    json_t *section = json_object();
    struct cf_model_spec m = {.name = "n",
                              .generator = "infinity",
                              .infinity = section,
                              .vae = section,
                              .sizes = section,
                              .text = section,
                              .sampling = section};
    char hex[CF_DIGEST_HEX], *dir = util_mkdir();

    for (int p = 0; p < CF_NPART; p++)
        cf_model_spec_file(&m.part[p], src, "labels.txt", err);
    if (err->status == CF_OK)
        cf_model_spec_write(&m, dir, err);
    if (err->status == CF_OK)
        cf_model_sample(util_src("models/" CF_DEFAULT_MODEL "/vae.safetensors"), hex,
                        err);
    cf_model_spec_close(&m);
    json_decref(section);
    util_rmdir(dir);
    return err->status;
}

static enum cf_status open_pth(struct cf_error *err)
{
    float v[48];
    struct cf_source *s;

    if (cf_source_open(&s, util_src("tests/golden/pth/good/strided.pth"), err) == CF_OK)
        cf_source_read(s, cf_source_index(s, "transposed"), v, err);
    cf_source_close(s);
    return err->status;
}

static enum cf_status open_source_index(struct cf_error *err)
{
    struct cf_source *s;

    cf_source_open(&s, util_src("tests/golden/textenc/qwen2-tiny-sharded"), err);
    cf_source_close(s);
    return err->status;
}

static char *out_dir;

static enum cf_status write_st(struct cf_error *err)
{
    struct cf_st_writer *w;
    int64_t d[] = {3};

    if (cf_st_writer_open(&w, util_path(out_dir, "w"), err) != CF_OK)
        return err->status;
    if (cf_st_declare(w, "b", CF_U8, 1, d, err) != CF_OK ||
        cf_st_declare(w, "a", CF_F32, 0, NULL, err) != CF_OK ||
        cf_st_begin(w, NULL, err) != CF_OK ||
        cf_st_put(w, "a", "0123", 4, err) != CF_OK ||
        cf_st_put(w, "b", "012", 3, err) != CF_OK) {
        cf_st_abandon(w);
        return err->status;
    }
    return cf_st_finish(w, err);
}

static void no_part_is_left(void)
{
    no_json_is_left();
    assert_int_not_equal(access(util_path(out_dir, "w.part"), F_OK), 0);
}

static void a_file_opens_or_says_that_memory_is_out(void **state)
{
    (void)state;
    each_fails(open_file);
}

static void shards_open_or_say_that_memory_is_out(void **state)
{
    (void)state;
    each_fails(open_shards);
}

static void a_model_opens_or_says_that_memory_is_out(void **state)
{
    (void)state;
    each_fails(find_and_open_model);
}

static void a_manifest_is_written_or_says_that_memory_is_out(void **state)
{
    (void)state;
    each_fails(make_manifest);
}

static void a_pytorch_file_opens_or_says_that_memory_is_out(void **state)
{
    (void)state;
    each_fails(open_pth);
    each_fails(open_source_index);
}

static void a_file_is_written_or_nothing_is_left_of_it(void **state)
{
    (void)state;
    out_dir = util_mkdir();
    nomem_each(write_st, 1, no_part_is_left);
    util_rmdir(out_dir);
}

#if !defined __SANITIZE_ADDRESS__ /* whose shadow needs all address space */
/* 0 when the file opens, or memory is out, with that much more address space than now. */
static int open_within(const char *path, size_t more)
{
    struct cf_error err = {0};
    struct rlimit limit;
    long pages = 0;
    struct cf_st *st;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f || fscanf(f, "%ld", &pages) != 1)
        return 2;
    fclose(f);
    limit.rlim_cur = limit.rlim_max =
        (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)more;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 2;
    cf_st_open(&st, path, &err);
    cf_st_close(st);
    return err.status != CF_OK && err.status != CF_ENOMEM;
}

/* A string of megabytes, in a child that may have only so much address space. */
static void a_long_string_in_little_memory_is_an_error(void **state)
{
    enum { LEN = 6 * 1000 * 1000 };
    char *tmp, *h, path[1024];
    unsigned char *blob;
    size_t n;

    (void)state;
    tmp = util_mkdir();
    h = malloc(LEN);
    assert_non_null(h);
    snprintf(path, sizeof path, "%s/long", tmp);
    memset(h, 'x', LEN);
    memcpy(h, "{\"__metadata__\":{\"a\":\"", 22);
    memcpy(h + LEN - 3, "\"}}", 3);
    blob = util_blob(h, LEN, 0, &n);
    util_write(path, blob, n);
    free(blob);
    free(h);
    for (int mb = 4; mb <= 56; mb += 4) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0)
            _exit(open_within(path, (size_t)mb * 1000 * 1000));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("with %d MB: status %x", mb, status);
    }
    util_rmdir(tmp);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_opens_or_says_that_memory_is_out),
        cmocka_unit_test(shards_open_or_say_that_memory_is_out),
        cmocka_unit_test(a_model_opens_or_says_that_memory_is_out),
        cmocka_unit_test(a_manifest_is_written_or_says_that_memory_is_out),
        cmocka_unit_test(a_pytorch_file_opens_or_says_that_memory_is_out),
        cmocka_unit_test(a_file_is_written_or_nothing_is_left_of_it),
#if !defined __SANITIZE_ADDRESS__
        cmocka_unit_test(a_long_string_in_little_memory_is_an_error),
#endif
    };

    nomem_json_count();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
