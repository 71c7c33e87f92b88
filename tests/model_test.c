/* model_test.c - the manifest that pairs the parts of a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/weights_util.h"
#include "weights/model.h"

/* SHA-256 of "abc", the contents of every part here. */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ONE(file) "{\"file\":\"" file "\",\"sha256\":\"" ABC "\"}"
#define HEAD                                                                             \
    "\"format\":\"cfgen-model\",\"version\":1,\"name\":\"n\",\"generator\":"             \
    "\"infinity\","
#define TEXT "{\"dir\":\"te\",\"files\":[" ONE("te/a") "," ONE("te/b") "]}"
#define PARTS(t, v, e, k)                                                                \
    "\"parts\":{\"transformer\":" t ",\"vae\":" v ",\"text_encoder\":" e                 \
    ",\"tokenizer\":" k "}"
#define GOOD_PARTS PARTS(ONE("t"), ONE("v"), TEXT, ONE("k"))
#define TAIL ",\"infinity\":{},\"vae\":{},\"sizes\":{},\"text\":{},\"sampling\":{}"

static char *dir;

static int make_model(void **state)
{
    (void)state;
    dir = util_mkdir();
    assert_int_equal(mkdir(util_path(dir, "te"), 0700), 0);
    util_write_text(util_path(dir, "t"), "abc");
    util_write_text(util_path(dir, "v"), "abc");
    util_write_text(util_path(dir, "k"), "abc");
    util_write_text(util_path(dir, "te/a"), "abc");
    util_write_text(util_path(dir, "te/b"), "abc");
    util_write_text(util_path(dir, "te/.hidden"), "abc");
    return 0;
}

static int drop_model(void **state)
{
    (void)state;
    util_rmdir(dir);
    return 0;
}

static void refused(const char *json, enum cf_model_check check, enum cf_status status,
                    const char *part)
{
    struct cf_error err = {0};
    struct cf_model *m;

    util_write_text(util_path(dir, "model.json"), json);
    if (cf_model_open(&m, dir, check, &err) != status)
        fail_msg("%s: \"%s\", expected %s", json, err.msg, cf_status_name(status));
    assert_null(m);
    if (!strstr(err.msg, part) || !strstr(err.msg, dir))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.msg, part, dir);
}

/* The manifest with one part written in this way. */
static void refused_part(const char *part_json, enum cf_status status, const char *part)
{
    char json[6000];

    snprintf(json, sizeof json, "{" HEAD PARTS("%s", ONE("v"), TEXT, ONE("k")) TAIL "}",
             part_json);
    refused(json, CF_MODEL_TRUST, status, part);
}

static void the_shipped_model_is_whole(void **state)
{
    struct cf_error err = {0};
    struct cf_model *m;
    const char *src = util_src("models/" CF_DEFAULT_MODEL);
    char *real = realpath(src, NULL), hex[CF_DIGEST_HEX];

    (void)state;
    if (cf_model_open(&m, src, CF_MODEL_FULL, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(m->name, CF_DEFAULT_MODEL);
    assert_string_equal(m->generator, "infinity");
    assert_string_equal(m->dir, real);
    assert_string_equal(m->path[CF_PART_TEXT], util_path(real, "text_encoder"));
    assert_string_equal(m->path[CF_PART_VOCAB], util_path(real, "spm.model"));
    assert_int_equal(cf_digest_file(util_path(real, "model.json"), hex, &err), CF_OK);
    assert_string_equal(m->hash, hex);
    assert_int_equal(cf_digest_file(m->path[CF_PART_VAE], hex, &err), CF_OK);
    assert_string_equal(m->sha256[CF_PART_VAE], hex);
    assert_true(json_is_object(json_object_get(m->json, "infinity")));
    cf_model_close(m);
    free(real);
}

static void the_hash_of_a_directory_covers_names_and_order(void **state)
{
    static const char lines[] = ABC "  te/a\n" ABC "  te/b\n";
    struct cf_error err = {0};
    char hex[CF_DIGEST_HEX];
    struct cf_model *m;

    (void)state;
    util_write_text(util_path(dir, "model.json"), "{" HEAD GOOD_PARTS TAIL "}");
    if (cf_model_open(&m, dir, CF_MODEL_FULL, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_digest_mem(lines, strlen(lines), hex, &err), CF_OK);
    assert_string_equal(m->sha256[CF_PART_TEXT], hex);
    cf_model_close(m);
}

static void a_changed_part_is_named_with_both_hashes(void **state)
{
    (void)state;
    util_write_text(util_path(dir, "v"), "abd");
    refused("{" HEAD GOOD_PARTS TAIL "}", CF_MODEL_FULL, CF_EMISMATCH,
            "v: sha256 is a52d159f262b");
    refused("{" HEAD GOOD_PARTS TAIL "}", CF_MODEL_FULL, CF_EMISMATCH,
            "model.json expects " ABC);
    util_write_text(util_path(dir, "v"), "abc");
    util_write_text(util_path(dir, "te/b"), "");
    refused("{" HEAD GOOD_PARTS TAIL "}", CF_MODEL_FULL, CF_EMISMATCH, "te/b: sha256 is");
    util_write_text(util_path(dir, "te/b"), "abc");
}

static void a_missing_or_unlisted_file_is_found_without_hashing(void **state)
{
    (void)state;
    unlink(util_path(dir, "k"));
    refused("{" HEAD GOOD_PARTS TAIL "}", CF_MODEL_TRUST, CF_ENOENT, "k: No such file");
    util_write_text(util_path(dir, "k"), "abc");
    util_write_text(util_path(dir, "te/model.safetensors"), "abc");
    refused("{" HEAD GOOD_PARTS TAIL "}", CF_MODEL_TRUST, CF_EMISMATCH,
            "te/model.safetensors: is not listed");
    unlink(util_path(dir, "te/model.safetensors"));
}

static void a_part_cannot_lie_outside_the_model(void **state)
{
    static const char *const bad[] = {
        "../t", "/etc/passwd", "te/../../x", "te//a", "./t", "te/..", "", "t/", ".."};
    char json[400];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(json, sizeof json, "{\"file\":\"%s\",\"sha256\":\"" ABC "\"}", bad[i]);
        refused_part(json, CF_EFORMAT, "expected a path inside the model");
        snprintf(json, sizeof json, "{\"dir\":\"%s\",\"files\":[]}", bad[i]);
        refused_part(json, CF_EFORMAT, "expected a path inside the model");
    }
    refused_part("{\"file\":\"t\\u0000x\",\"sha256\":\"" ABC "\"}", CF_EFORMAT, "NUL");
    refused_part("{\"dir\":\"te\",\"files\":[" ONE("t") "]}", CF_EFORMAT,
                 "file \"t\" does not lie in \"te\"");
    refused_part("{\"dir\":\"te\",\"files\":[" ONE("te/a") "," ONE("te/a") "]}",
                 CF_EFORMAT, "comes twice");
}

static void a_part_of_another_form_is_refused(void **state)
{
    (void)state;
    refused_part("1", CF_EFORMAT, "transformer: found an integer, expected an object");
    refused_part("{}", CF_EFORMAT, "file: found nothing");
    refused_part("{\"file\":\"t\"}", CF_EFORMAT, "sha256: found nothing");
    refused_part("{\"file\":\"t\",\"sha256\":\"ab\"}", CF_EFORMAT,
                 "sha256 is \"ab\", expected 64 lower-case hex digits");
    refused_part("{\"file\":\"te\",\"sha256\":\"" ABC "\"}", CF_EFORMAT,
                 "te: not a regular file");
    refused_part("{\"dir\":\"t\",\"files\":[" ONE("t/a") "]}", CF_EFORMAT,
                 "t: not a directory");
    refused_part("{\"dir\":\"te\",\"files\":[]}", CF_EFORMAT, "0 files");
    refused_part("{\"dir\":\"te\",\"files\":[1]}", CF_EFORMAT, "expected an object");
    refused_part("{\"dir\":\"te\",\"files\":[" ONE("te/a") "],\"x\":1}", CF_EFORMAT,
                 "transformer: unknown key \"x\"");
    refused_part("{\"file\":\"t\",\"sha256\":\"" ABC "\",\"url\":\"\"}", CF_EFORMAT,
                 "transformer: unknown key \"url\"");
}

static void keys_that_this_version_does_not_know_are_named(void **state)
{
    (void)state;
    refused("{" HEAD GOOD_PARTS TAIL ",\"smapling\":{}}", CF_MODEL_TRUST, CF_EFORMAT,
            "unknown key \"smapling\"");
    refused("{" HEAD "\"parts\":{\"vea\":{}}" TAIL "}", CF_MODEL_TRUST, CF_EFORMAT,
            "parts: unknown key \"vea\"");
    refused("{" HEAD "\"parts\":{}" TAIL "}", CF_MODEL_TRUST, CF_EFORMAT,
            "transformer: found nothing");
    refused("{" HEAD GOOD_PARTS "}", CF_MODEL_TRUST, CF_EFORMAT,
            "infinity: found nothing");
    refused("{" HEAD GOOD_PARTS
            ",\"infinity\":{},\"vae\":{},\"sizes\":[],\"text\":{},\"sampling\":{}}",
            CF_MODEL_TRUST, CF_EFORMAT, "sizes: found an array, expected an object");
}

static void another_format_version_or_generator_is_told_apart(void **state)
{
    (void)state;
    refused("", CF_MODEL_TRUST, CF_EFORMAT, "model.json: line 1");
    refused("[]", CF_MODEL_TRUST, CF_EFORMAT, "model.json: not an object");
    refused("{\"format\":\"gguf\"}", CF_MODEL_TRUST, CF_EFORMAT, "format is \"gguf\"");
    refused("{\"format\":\"cfgen-model\",\"version\":2,\"new\":1}", CF_MODEL_TRUST,
            CF_EUNSUP, "version is 2, this program reads 1");
    refused("{\"format\":\"cfgen-model\",\"version\":1,\"name\":\"\","
            "\"generator\":\"infinity\"}",
            CF_MODEL_TRUST, CF_EFORMAT, "name has 0 bytes");
    refused(
        "{\"format\":\"cfgen-model\",\"version\":1,\"name\":\"n\",\"generator\":\"far\"}",
        CF_MODEL_TRUST, CF_EUNSUP, "generator is \"far\"");
}

static void a_manifest_without_end_is_not_read_to_the_end(void **state)
{
    struct cf_error big = {0}, deep = {0};
    struct cf_model *m;
    char *p = malloc(2000000);

    (void)state;
    memset(p, ' ', 2000000);
    util_write(util_path(dir, "model.json"), p, 2000000);
    assert_int_equal(cf_model_open(&m, dir, CF_MODEL_TRUST, &big), CF_EFORMAT);
    assert_non_null(strstr(big.msg, "more than 1000000 bytes"));
    memset(p, '[', 50000);
    util_write(util_path(dir, "model.json"), p, 50000);
    assert_int_equal(cf_model_open(&m, dir, CF_MODEL_TRUST, &deep), CF_EFORMAT);
    free(p);
}

static void a_directory_without_a_manifest_is_no_model(void **state)
{
    struct cf_error a = {0}, b = {0};
    char *empty = util_mkdir();
    struct cf_model *m;

    (void)state;
    assert_int_equal(cf_model_open(&m, empty, CF_MODEL_TRUST, &a), CF_ENOENT);
    assert_non_null(strstr(a.msg, "model.json"));
    assert_int_equal(cf_model_open(&m, util_path(empty, "no"), CF_MODEL_TRUST, &b),
                     CF_ENOENT);
    util_rmdir(empty);
}

static void found(const char *name, const char *search, const char *want)
{
    struct cf_error err = {0};
    char *got;

    if (cf_model_find(&got, name, search, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(got, want);
    cf_free(got);
}

static void a_model_is_found_by_path_then_in_the_search_path(void **state)
{
    struct cf_error a = {0}, b = {0}, c = {0}, d = {0};
    char *one = util_mkdir(), *two = util_mkdir(), search[2100], want[1100], *got;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(util_path(i ? one : two, "m"), 0700), 0);
        util_write_text(util_path(i ? one : two, "m/model.json"), "{}");
    }
    assert_int_equal(mkdir(util_path(two, CF_DEFAULT_MODEL), 0700), 0);
    util_write_text(util_path(two, CF_DEFAULT_MODEL "/model.json"), "{}");
    snprintf(search, sizeof search, "::%s:%s:", one, two);
    snprintf(want, sizeof want, "%s/m", one);
    found("m", search, want);
    found(want, NULL, want);
    snprintf(want, sizeof want, "%s/" CF_DEFAULT_MODEL, two);
    found(NULL, search, want);

    assert_int_equal(cf_model_find(&got, "none", search, &a), CF_ENOENT);
    assert_null(got);
    assert_non_null(strstr(a.msg, "\"none\""));
    assert_non_null(strstr(a.msg, two));
    assert_non_null(strstr(a.msg, CF_DATADIR "/models"));
    /* A name never leaves the search path. */
    snprintf(want, sizeof want, "%s/te", one);
    assert_int_equal(mkdir(want, 0700), 0);
    util_write_text(util_path(one, "model.json"), "{}");
    assert_int_equal(cf_model_find(&got, "..", want, &b), CF_ENOENT);
    assert_int_equal(cf_model_find(&got, "te/../", one, &c), CF_ENOENT);
    assert_int_equal(cf_model_find(&got, "", one, &d), CF_ENOENT);
    util_rmdir(one);
    util_rmdir(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_model_is_whole),
        cmocka_unit_test(the_hash_of_a_directory_covers_names_and_order),
        cmocka_unit_test(a_changed_part_is_named_with_both_hashes),
        cmocka_unit_test(a_missing_or_unlisted_file_is_found_without_hashing),
        cmocka_unit_test(a_part_cannot_lie_outside_the_model),
        cmocka_unit_test(a_part_of_another_form_is_refused),
        cmocka_unit_test(keys_that_this_version_does_not_know_are_named),
        cmocka_unit_test(another_format_version_or_generator_is_told_apart),
        cmocka_unit_test(a_manifest_without_end_is_not_read_to_the_end),
        cmocka_unit_test(a_directory_without_a_manifest_is_no_model),
        cmocka_unit_test(a_model_is_found_by_path_then_in_the_search_path),
    };

    return cmocka_run_group_tests(tests, make_model, drop_model);
}
