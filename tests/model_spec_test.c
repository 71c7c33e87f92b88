/* model_spec_test.c - manifests that this program writes, and what they let be checked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/weights_util.h"
#include "weights/model_spec.h"

static char *dir;
static json_t *section;

enum { LONG = 300 * 1000 }; /* bytes of "t": more than a block, less than is sampled */

static void write_long(int changed)
{
    unsigned char *p = malloc(LONG);

    for (int i = 0; i < LONG; i++)
        p[i] = (unsigned char)(i * 7 + i / 256);
    if (changed >= 0)
        p[changed] ^= 1;
    util_write(util_path(dir, "t"), p, LONG);
    free(p);
}

static int setup(void **state)
{
    (void)state;
    dir = util_mkdir();
    section = json_object();
    assert_int_equal(mkdir(util_path(dir, "te"), 0700), 0);
    write_long(-1);
    util_write_text(util_path(dir, "v"), "vae");
    util_write_text(util_path(dir, "te/a"), "a");
    util_write_text(util_path(dir, "te/b"), "b");
    util_write_text(util_path(dir, "k"), "vocabulary");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(section);
    util_rmdir(dir);
    return 0;
}

static void ok(enum cf_status status, const struct cf_error *err)
{
    if (status != CF_OK)
        fail_msg("%s", err->msg);
}

/* The whole model; cf_model_spec_close. */
static struct cf_model_spec whole(void)
{
    struct cf_model_spec m = {.name = "tiny",
                              .generator = "infinity",
                              .infinity = section,
                              .vae = section,
                              .sizes = section,
                              .text = section,
                              .sampling = section};
    struct cf_error err = {0};

    ok(cf_model_spec_file(&m.part[CF_PART_TRANSFORMER], dir, "t", &err), &err);
    ok(cf_model_spec_file(&m.part[CF_PART_VAE], dir, "v", &err), &err);
    m.part[CF_PART_TEXT].dir = "te";
    ok(cf_model_spec_file(&m.part[CF_PART_TEXT], dir, "te/a", &err), &err);
    ok(cf_model_spec_file(&m.part[CF_PART_TEXT], dir, "te/b", &err), &err);
    ok(cf_model_spec_file(&m.part[CF_PART_VOCAB], dir, "k", &err), &err);
    return m;
}

/* The whole model with "bytes" and "sample" of "t", as of a large file. */
static struct cf_model_spec sampled(void)
{
    struct cf_model_spec m = whole();
    struct cf_error err = {0};

    m.part[CF_PART_TRANSFORMER].file[0].bytes = LONG;
    ok(cf_model_sample(util_path(dir, "t"), m.part[CF_PART_TRANSFORMER].file[0].sample,
                       &err),
       &err);
    return m;
}

static void put(struct cf_model_spec *m)
{
    struct cf_error err = {0};

    ok(cf_model_spec_write(m, dir, &err), &err);
    cf_model_spec_close(m);
}

static enum cf_status open_as(enum cf_model_check check, struct cf_error *err)
{
    struct cf_model *m;
    enum cf_status status = cf_model_open(&m, dir, check, err);

    cf_model_close(m);
    return status;
}

static void what_is_written_is_read(void **state)
{
    struct cf_model_spec m = whole();
    struct cf_error err = {0};
    struct cf_model *model;

    (void)state;
    m.map = true;
    m.source = json_pack("{s:s}", "transformer", "infinity_2b_reg.pth");
    json_t *source = m.source;
    put(&m);
    ok(cf_model_open(&model, dir, CF_MODEL_FULL, &err), &err);
    assert_string_equal(model->name, "tiny");
    assert_true(model->map);
    assert_true(json_equal(json_object_get(model->json, "source"), source));
    assert_null(json_object_get(
        json_object_get(json_object_get(model->json, "parts"), "vae"), "sample"));
    cf_model_close(model);
    json_decref(source);
}

static void a_model_packs_unless_it_says_otherwise(void **state)
{
    struct cf_model_spec m = whole();
    struct cf_error err = {0};
    struct cf_model *model;

    (void)state;
    put(&m);
    ok(cf_model_open(&model, dir, CF_MODEL_TRUST, &err), &err);
    assert_false(model->map);
    assert_null(json_object_get(model->json, "hold"));
    cf_model_close(model);
}

static void equal_models_have_equal_manifests(void **state)
{
    struct cf_model_spec a = sampled(), b = sampled();
    unsigned char *one, *two;
    size_t n, k;

    (void)state;
    put(&a);
    one = util_read(util_path(dir, "model.json"), &n);
    put(&b);
    two = util_read(util_path(dir, "model.json"), &k);
    assert_int_equal(n, k);
    assert_memory_equal(one, two, n);
    assert_int_equal(one[n - 1], '\n');
    free(one);
    free(two);
}

/* Numbers come back as people wrote them. */
static void decimals_stay_what_they_were(void **state)
{
    struct cf_model_spec m = whole();
    unsigned char *text;
    size_t n;

    (void)state;
    m.sampling = json_pack("{s:f, s:f}", "tau", 0.3, "norm_eps", 1e-6);
    json_t *sampling = m.sampling;
    put(&m);
    text = util_read(util_path(dir, "model.json"), &n);
    text = realloc(text, n + 1);
    text[n] = '\0';
    assert_non_null(strstr((char *)text, "\"tau\": 0.3,"));
    assert_non_null(strstr((char *)text, "\"norm_eps\": 1e-"));
    free(text);
    json_decref(sampling);
}

static void nothing_is_left_beside_a_manifest(void **state)
{
    struct cf_model_spec m = whole();
    struct cf_error err = {0};
    struct dirent *e;
    DIR *d;

    (void)state;
    assert_int_equal(cf_model_spec_write(&m, util_path(dir, "no"), &err), CF_ENOENT);
    put(&m);
    d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        if (strncmp(e->d_name, ".model", 6) == 0)
            fail_msg("%s is left", e->d_name);
    closedir(d);
}

static void a_part_without_files_is_our_own_fault(void **state)
{
    struct cf_model_spec m = whole();
    struct cf_error err = {0};

    (void)state;
    cf_free(m.part[CF_PART_VAE].file[0].file);
    m.part[CF_PART_VAE].n = 0;
    assert_int_equal(cf_model_spec_write(&m, dir, &err), CF_EBUG);
    cf_model_spec_close(&m);
}

static void only_files_above_64_mib_are_sampled(void **state)
{
    struct cf_model_spec_part part = {0};
    struct cf_error err = {0};
    char hex[CF_DIGEST_HEX];

    (void)state;
    util_write_text(util_path(dir, "big"), "");
    assert_int_equal(truncate(util_path(dir, "big"), CF_MODEL_SAMPLED), 0);
    ok(cf_model_spec_hashed(&part, dir, "big", "h", &err), &err);
    assert_int_equal(truncate(util_path(dir, "big"), CF_MODEL_SAMPLED + 1), 0);
    ok(cf_model_spec_hashed(&part, dir, "big", "h", &err), &err);
    assert_int_equal(part.file[0].bytes, -1);
    assert_string_equal(part.file[0].sample, "");
    assert_int_equal(part.file[1].bytes, CF_MODEL_SAMPLED + 1);
    ok(cf_model_sample(util_path(dir, "big"), hex, &err), &err);
    assert_string_equal(part.file[1].sample, hex);
    for (int i = 0; i < 2; i++)
        cf_free(part.file[i].file);
    cf_free(part.file);
    assert_int_equal(remove(util_path(dir, "big")), 0);
}

/* The definition, byte by byte. */
static void a_sample_is_the_hash_of_size_and_blocks(void **state)
{
    struct cf_error err = {0};
    char want[CF_DIGEST_HEX], found[CF_DIGEST_HEX];
    struct cf_digest *d = cf_digest_open(&err);
    unsigned char size[8], *p;
    size_t n;

    (void)state;
    p = util_read(util_path(dir, "t"), &n);
    assert_int_equal(n, LONG);
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)LONG >> 8 * i);
    ok(cf_digest_add(d, size, 8, &err), &err);
    for (int i = 0; i < 256; i++)
        ok(cf_digest_add(d, p + (size_t)i * (LONG - 65536) / 255, 65536, &err), &err);
    ok(cf_digest_close(d, want, &err), &err);
    free(p);
    ok(cf_model_sample(util_path(dir, "t"), found, &err), &err);
    assert_string_equal(found, want);
    assert_int_equal(cf_model_sample(util_path(dir, "v"), found, &err), CF_ERANGE);
}

static void a_quick_look_compares_size_and_sample_and_hashes_the_rest(void **state)
{
    struct cf_error size = {0}, sample = {0}, other = {0};
    struct cf_model_spec m = sampled();
    struct cf_error err = {0};

    (void)state;
    /* The hash of "t" is a lie that only the full check can tell. */
    memset(m.part[CF_PART_TRANSFORMER].file[0].sha256, 'a', CF_DIGEST_HEX - 1);
    put(&m);
    ok(open_as(CF_MODEL_QUICK, &err), &err);
    assert_int_equal(open_as(CF_MODEL_FULL, &other), CF_EMISMATCH);
    assert_non_null(strstr(other.msg, "t: sha256 is "));

    write_long(LONG - 1);
    assert_int_equal(open_as(CF_MODEL_QUICK, &sample), CF_EMISMATCH);
    assert_non_null(strstr(sample.msg, "t: sample is "));
    ok(open_as(CF_MODEL_TRUST, &err), &err);

    assert_int_equal(truncate(util_path(dir, "t"), LONG - 1), 0);
    assert_int_equal(open_as(CF_MODEL_TRUST, &size), CF_EMISMATCH);
    assert_non_null(strstr(size.msg, "t: 299999 bytes, model.json expects 300000"));
    write_long(-1);

    util_write_text(util_path(dir, "v"), "vaf");
    other = (struct cf_error){0};
    assert_int_equal(open_as(CF_MODEL_QUICK, &other), CF_EMISMATCH);
    assert_non_null(strstr(other.msg, "v: sha256 is "));
    util_write_text(util_path(dir, "v"), "vae");
}

/* The manifest with one part of its JSON changed. */
static void refused(const char *old, const char *new, const char *part)
{
    struct cf_model_spec m = sampled();
    struct cf_error err = {0};
    char *text, *at, changed[8000];
    size_t n;

    m.map = true;
    put(&m);
    text = (char *)util_read(util_path(dir, "model.json"), &n);
    text = realloc(text, n + 1);
    text[n] = '\0';
    at = strstr(text, old);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, new,
             at + strlen(old));
    util_write_text(util_path(dir, "model.json"), changed);
    if (open_as(CF_MODEL_TRUST, &err) != CF_EFORMAT || !strstr(err.msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
    free(text);
}

static void wrong_words_in_the_new_keys_are_refused(void **state)
{
    (void)state;
    refused("\"map\"", "\"mmap\"", "hold");
    refused("\"bytes\": 300000", "\"bytes\": -1", "bytes");
    refused("\"sample\": \"", "\"sample\": \"g", "sample is \"g");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_model_packs_unless_it_says_otherwise),
        cmocka_unit_test(equal_models_have_equal_manifests),
        cmocka_unit_test(decimals_stay_what_they_were),
        cmocka_unit_test(nothing_is_left_beside_a_manifest),
        cmocka_unit_test(a_part_without_files_is_our_own_fault),
        cmocka_unit_test(only_files_above_64_mib_are_sampled),
        cmocka_unit_test(a_sample_is_the_hash_of_size_and_blocks),
        cmocka_unit_test(a_quick_look_compares_size_and_sample_and_hashes_the_rest),
        cmocka_unit_test(wrong_words_in_the_new_keys_are_refused),
    };

    return cmocka_run_group_tests_name("model_spec", tests, setup, teardown);
}
