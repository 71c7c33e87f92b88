#include "tests/golden_textenc.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "textenc/pretok.h"
#include "textenc/spm.h"
#include "textenc/tokenizer.h"
#include "textenc/unicode.h"

/* One tokenizer and the records it is held against. */
struct job {
    const struct cf_tok *tok;
    const struct cf_spm *spm; /* NULL: byte-level BPE */
    struct golden_count count;
};

bool golden_same_ids(const json_t *want, const int32_t *ids, size_t n)
{
    if (!json_is_array(want) || json_array_size(want) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(want, i)) != ids[i])
            return false;
    return true;
}

static bool same_text(const json_t *want, const char *s, size_t len)
{
    return json_is_string(want) && json_string_length(want) == len &&
           memcmp(json_string_value(want), s, len) == 0;
}

static int32_t *ids_of(const json_t *list, size_t *n)
{
    int32_t *ids = calloc(json_array_size(list) + 1, sizeof(*ids));

    *n = json_array_size(list);
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

static size_t unhex(const char *hex, char *raw)
{
    size_t n = 0;
    unsigned b;

    for (; sscanf(hex, "%2x", &b) == 1 && hex[0] && hex[1]; hex += 2)
        raw[n++] = (char)b;
    return n;
}

/* ids, or one of the lists that a record calls alt_SOMETHING. */
static bool expected_ids(const json_t *record, const int32_t *ids, size_t n)
{
    const char *key;
    json_t *v;

    if (golden_same_ids(json_object_get(record, "ids"), ids, n))
        return true;
    json_object_foreach((json_t *)record, key, v)
    {
        if (golden_starts(key, "alt_") && golden_same_ids(v, ids, n))
            return true;
    }
    return false;
}

static void check_encode(struct job *j, size_t at, const json_t *record, const char *s,
                         size_t len)
{
    struct cf_error err = {0};
    enum cf_status st;
    int32_t *ids = NULL;
    size_t n = 0, cap = 64 * len + 64; /* one ligature may become 18 letters */

    if (j->spm) { /* raw bytes go in as they are */
        ids = calloc(cap, sizeof(*ids));
        st = cf_spm_encode(j->spm, s, len, false, false, ids, cap, &n, &err);
    } else
        st = cf_tok_encode(j->tok, s, len, CF_TOK_SPECIAL, &ids, &n, &err);
    if (st != CF_OK)
        golden_wrong(&j->count, "record %zu: %s", at, err.msg);
    else if (!expected_ids(record, ids, n))
        golden_wrong(&j->count, "record %zu: other ids (%zu of them)", at, n);
    if (j->spm)
        free(ids);
    else
        cf_free(ids);
}

/* decode(ids) is want; where lenient, the normalized want will do. */
static void check_decode(struct job *j, size_t at, const json_t *list, const json_t *want,
                         bool skip_special, bool lenient)
{
    struct cf_error err = {0};
    char *text = NULL, *nfc = NULL;
    size_t n, len = 0, nfc_len = 0;
    int32_t *ids = ids_of(list, &n);
    bool good;

    if (cf_tok_decode(j->tok, ids, n, skip_special, &text, &len, &err) != CF_OK) {
        golden_wrong(&j->count, "record %zu: decode: %s", at, err.msg);
        free(ids);
        return;
    }
    good = same_text(want, text, len);
    if (!good && lenient &&
        cf_unicode_nfc(json_string_value(want), json_string_length(want), &nfc, &nfc_len,
                       &err) == CF_OK)
        good = nfc_len == len && memcmp(nfc, text, len) == 0;
    if (!good)
        golden_wrong(&j->count, "record %zu: decodes to another text", at);
    cf_free(nfc);
    cf_free(text);
    free(ids);
}

static void check_pieces(struct job *j, size_t at, const json_t *record)
{
    const json_t *ids = json_object_get(record, "ids");
    const json_t *pieces = json_object_get(record, "pieces");
    size_t len;

    if (!pieces || json_array_size(pieces) != json_array_size(ids))
        return;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
        const json_t *want = json_array_get(pieces, i);
        const char *own = cf_spm_piece(j->spm, id, &len);

        if (cf_spm_is_unknown(j->spm, id)) /* the record holds what was unknown */
            continue;
        if (!own || !same_text(want, own, len) || cf_spm_id(j->spm, own, len) != id)
            golden_wrong(&j->count, "record %zu: piece of id %d", at, (int)id);
    }
}

static void check_hex(struct job *j, size_t at, const json_t *record)
{
    const char *hex = json_string_value(json_object_get(record, "hex"));
    char *raw = calloc(strlen(hex) + 1, 1), *text = NULL;
    struct cf_error err = {0};
    size_t n = unhex(hex, raw), len;

    if (j->spm)
        check_encode(j, at, record, raw, n);
    else if (cf_utf8_repair(raw, n, &text, &len, &err) != CF_OK ||
             !same_text(json_object_get(record, "text"), text, len))
        golden_wrong(&j->count, "record %zu: repaired otherwise", at);
    else
        check_encode(j, at, record, text, len);
    cf_free(text);
    free(raw);
}

static void check_record(struct job *j, size_t at, const json_t *record)
{
    const json_t *text = json_object_get(record, "text");
    const json_t *ids = json_object_get(record, "ids");
    const json_t *dec = json_object_get(record, "dec");
    const json_t *skip = json_object_get(record, "text_skip_special");

    j->count.total++;
    if (json_object_get(record, "hex")) {
        check_hex(j, at, record);
    } else if (skip) {
        check_decode(j, at, ids, text, false, false);
        check_decode(j, at, ids, skip, true, false);
    } else if (text && ids) {
        check_encode(j, at, record, json_string_value(text), json_string_length(text));
        /* SentencePiece's own normalizer changes texts that are recorded without dec. */
        if (dec || !j->spm || json_object_get(record, "pieces"))
            check_decode(j, at, ids, dec ? dec : text, false, !dec && !j->spm);
        if (j->spm)
            check_pieces(j, at, record);
    } else
        golden_wrong(&j->count, "record %zu: neither hex, text nor ids", at);
}

static void check_lines(struct golden_dir *d, const char *name, const char *tokenizer,
                        const struct cf_tok *tok, const struct cf_spm *spm)
{
    struct job j = {tok, spm, {0}};
    char path[GOLDEN_PATH];
    json_t *lines, *record;
    size_t i;

    golden_path(path, d, name);
    lines = golden_lines(path);
    if (!lines)
        golden_wrong(&j.count, "unreadable");
    json_array_foreach(lines, i, record)
    {
        check_record(&j, i, record);
    }
    golden_tell_count(d, name, tokenizer, &j.count);
    json_decref(lines);
}

/* ---- the pattern alone ---- */

static bool same_cuts(const json_t *want, const char *s, size_t len)
{
    size_t k = 0, size;

    for (size_t i = 0; i < len; i += size, k++) {
        size = cf_pretok_next(s + i, len - i);
        if (!same_text(json_array_get(want, k), s + i, size))
            return false;
    }
    return k == json_array_size(want);
}

static void check_pretok(struct golden_dir *d, const char *name, const json_t *lines)
{
    struct golden_count count = {0};
    struct cf_error err = {0};
    json_t *record;
    size_t i, len;
    char *nfc;

    json_array_foreach((json_t *)lines, i, record)
    {
        const json_t *text = json_object_get(record, "text");

        count.total++;
        if (cf_unicode_nfc(json_string_value(text), json_string_length(text), &nfc, &len,
                           &err) != CF_OK) {
            golden_wrong(&count, "record %zu: %s", i, err.msg);
            continue;
        }
        if (!same_cuts(json_object_get(record, "nfc_pieces"), nfc, len))
            golden_wrong(&count, "record %zu: cut elsewhere", i);
        cf_free(nfc);
    }
    golden_tell_count(d, name, NULL, &count);
}

/* A .jsonl without a tokenizer beside it: the pattern's cuts, or nothing we can run. */
static void check_alone(struct golden_dir *d, const char *name)
{
    char path[GOLDEN_PATH];
    json_t *lines;

    golden_path(path, d, name);
    lines = golden_lines(path);
    if (json_object_get(json_array_get(lines, 0), "nfc_pieces"))
        check_pretok(d, name, lines);
    else
        golden_not_covered(d, name, "its tokenizer is not here");
    json_decref(lines);
}

/* ---- special ids, scores and variants of a SentencePiece model ---- */

static void expect_id(struct golden_count *c, const json_t *flags, const char *key,
                      int32_t id)
{
    const json_t *v = json_object_get(flags, key);

    if (v && json_integer_value(v) != id)
        golden_wrong(c, "%s is %d", key, (int)id);
}

static void check_variants(struct golden_count *c, const struct cf_spm *spm,
                           const char *text, const json_t *variants)
{
    static const struct {
        const char *key;
        bool bos, eos;
    } how[] = {{"plain", false, false},
               {"add_bos", true, false},
               {"add_eos", false, true},
               {"add_bos_eos", true, true}};
    int32_t ids[4096];
    size_t n;

    for (int i = 0; i < 4; i++) {
        const json_t *want = json_object_get(variants, how[i].key);
        struct cf_error err = {0};
        enum cf_status st = cf_spm_encode(spm, text, strlen(text), how[i].bos, how[i].eos,
                                          ids, 4096, &n, &err);

        if (!want)
            continue;
        c->total++;
        if (json_is_null(want) ? st != CF_EUNSUP
                               : st != CF_OK || !golden_same_ids(want, ids, n))
            golden_wrong(c, "%s of \"%.60s\"", how[i].key, text);
    }
}

static void check_scores(struct golden_count *c, const struct cf_spm *spm,
                         const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        double want = json_number_value(json_array_get(list, i));

        if (fabs((double)cf_spm_score(spm, (int32_t)i) - want) > 1e-6)
            golden_wrong(c, "score %zu", i);
    }
}

static void check_first(struct golden_count *c, const struct cf_spm *spm,
                        const json_t *flags)
{
    const json_t *pieces = json_object_get(flags, "first_pieces");
    const char *key;
    json_t *v;
    size_t i, len;

    json_array_foreach((json_t *)pieces, i, v)
    {
        const char *own = cf_spm_piece(spm, (int32_t)i, &len);

        if (!own || !same_text(v, own, len))
            golden_wrong(c, "piece %zu", i);
    }
    json_object_foreach((json_t *)flags, key, v)
    {
        if (golden_starts(key, "scores"))
            check_scores(c, spm, v);
    }
    json_array_foreach(json_object_get(flags, "is_control"), i, v)
    {
        if (!cf_spm_is_control(spm, (int32_t)json_integer_value(v)))
            golden_wrong(c, "control %zu", i);
    }
}

static void check_flags(struct golden_dir *d, const char *name, const char *model,
                        const struct cf_spm *spm, const json_t *flags)
{
    const json_t *bytes = json_object_get(flags, "is_byte_count");
    struct golden_count c = {0};
    int n_byte = 0;
    const char *key;
    json_t *v;

    c.total = 1;
    expect_id(&c, flags, "bos_id", cf_spm_bos(spm));
    expect_id(&c, flags, "eos_id", cf_spm_eos(spm));
    expect_id(&c, flags, "pad_id", cf_spm_pad(spm));
    expect_id(&c, flags, "unk_id", cf_spm_unk(spm));
    expect_id(&c, flags, "size", cf_spm_size(spm));
    check_first(&c, spm, flags);
    for (int32_t i = 0; i < cf_spm_size(spm); i++)
        n_byte += cf_spm_is_byte(spm, i);
    if (bytes && json_integer_value(bytes) != n_byte)
        golden_wrong(&c, "%d byte pieces", n_byte);
    json_object_foreach((json_t *)flags, key, v)
    {
        if (json_object_get(v, "plain"))
            check_variants(&c, spm, key, v);
    }
    golden_tell_count(d, name, model, &c);
}

/* ---- all of a directory ---- */

static bool is_lines(const char *name)
{
    return golden_ends(name, ".jsonl") && !golden_starts(name, "hf_t5");
}

static void with_spm(struct golden_dir *d, const char *model)
{
    char path[GOLDEN_PATH];
    struct cf_error err = {0};
    struct cf_spm *spm = NULL;
    struct cf_tok *tok = NULL;

    golden_path(path, d, model);
    if (cf_spm_open(&spm, path, &err) != CF_OK ||
        cf_tok_open(&tok, "sentencepiece", path, &err) != CF_OK)
        golden_tell(d, model, NULL, 1, 0, err.msg);
    for (size_t i = 0; i < d->n && tok; i++) {
        golden_path(path, d, d->name[i]);
        if (is_lines(d->name[i]))
            check_lines(d, d->name[i], model, tok, spm);
        else if (golden_starts(d->name[i], "hf_t5") && golden_ends(d->name[i], ".jsonl"))
            golden_t5_lines(d, d->name[i], tok);
        else if (golden_starts(d->name[i], "hf_t5") && golden_ends(d->name[i], ".json"))
            golden_t5_padded(d, d->name[i], tok);
        else if (golden_ends(d->name[i], ".flags.json")) {
            json_t *flags = golden_json(path);

            check_flags(d, d->name[i], model, spm, flags);
            json_decref(flags);
        }
    }
    cf_tok_close(tok);
    cf_spm_close(spm);
}

/* path: of a byte-level BPE, told as name. */
static void with_bpe(struct golden_dir *d, const char *path, const char *name)
{
    struct cf_error err = {0};
    struct cf_tok *tok;

    if (cf_tok_open(&tok, "bpe", path, &err) != CF_OK) {
        golden_tell(d, name, NULL, 1, 0, err.msg);
        return;
    }
    for (size_t i = 0; i < d->n; i++)
        if (is_lines(d->name[i]))
            check_lines(d, d->name[i], name, tok, NULL);
    cf_tok_close(tok);
}

/* The tokenizer that stands in for one which is too large to lie beside its recordings:
 * CFGEN_QWEN3_TOKENIZER for what is called qwen3. NULL: none. */
static const char *stand_in(const char *name)
{
    const char *path = strstr(name, "qwen3") ? getenv("CFGEN_QWEN3_TOKENIZER") : NULL;

    return path && *path ? path : NULL;
}

/* A directory of recordings without a tokenizer. */
static void without_tokenizer(struct golden_dir *d)
{
    const char *slash = strrchr(d->path, '/');
    const char *path = stand_in(slash ? slash : d->path);

    if (path)
        with_bpe(d, path, "CFGEN_QWEN3_TOKENIZER");
    for (size_t i = 0; i < d->n && !path; i++)
        if (is_lines(d->name[i]))
            check_alone(d, d->name[i]);
}

static bool is_bpe(const struct golden_dir *d, const char *name)
{
    if (strcmp(name, "vocab.json") == 0)
        return golden_has(d, "merges.txt") && golden_has(d, "tokenizer_config.json");
    return golden_starts(name, "tokenizer") && golden_ends(name, ".json") &&
           !golden_starts(name, "tokenizer_config");
}

void golden_tokenizers(struct golden_dir *d)
{
    bool any = false, any_spm = false;

    for (size_t i = 0; i < d->n; i++) {
        bool spm = golden_ends(d->name[i], ".model"), bpe = is_bpe(d, d->name[i]);

        any |= spm || bpe;
        any_spm |= spm;
        if (spm)
            with_spm(d, d->name[i]);
        else if (bpe) {
            char path[GOLDEN_PATH];

            golden_path(path, d, d->name[i]);
            with_bpe(d, path, d->name[i]);
        }
    }
    if (!any)
        without_tokenizer(d);
    for (size_t i = 0; i < d->n && !any_spm; i++)
        if (golden_starts(d->name[i], "hf_t5"))
            golden_not_covered(d, d->name[i], "its tokenizer is not here");
}

/* ---- chats: ids_NAME goes with the tokenizer in the directory beside it whose name
 * holds NAME ---- */

static struct cf_tok *tok_named(const struct golden_dir *d, const char *word)
{
    static const char *const file[] = {"", "/tokenizer.json", "/vocab.json"};
    struct cf_tok *tok = NULL;
    DIR *dir = opendir(d->path);
    struct dirent *e;

    while (dir && !tok && (e = readdir(dir))) {
        if (e->d_name[0] == '.' || !strstr(e->d_name, word))
            continue;
        for (int i = 0; i < 3 && !tok; i++) {
            char path[GOLDEN_PATH + 300];
            struct cf_error err = {0};

            snprintf(path, sizeof(path), "%s/%s%s", d->path, e->d_name, file[i]);
            (void)cf_tok_open(&tok, "bpe", path, &err);
        }
    }
    if (dir)
        closedir(dir);
    if (!tok && stand_in(word)) {
        struct cf_error err = {0};

        (void)cf_tok_open(&tok, "bpe", stand_in(word), &err);
    }
    return tok;
}

static void chats_with(struct golden_dir *d, const char *name, const json_t *cases,
                       const char *key)
{
    const char *word = key + strlen("ids_");
    struct cf_tok *tok = tok_named(d, word);
    struct golden_count c = {0};
    json_t *one;
    size_t i, n;

    if (!tok) {
        char why[128];

        snprintf(why, sizeof(why), "%.40s: its tokenizer is not here", key);
        golden_not_covered(d, name, why);
        return;
    }
    json_array_foreach((json_t *)cases, i, one)
    {
        const json_t *text = json_object_get(one, "text"),
                     *want = json_object_get(one, key);
        struct cf_error err = {0};
        int32_t *ids = NULL;

        if (!want || !text)
            continue;
        c.total++;
        if (cf_tok_encode(tok, json_string_value(text), json_string_length(text),
                          CF_TOK_SPECIAL, &ids, &n, &err) != CF_OK ||
            !golden_same_ids(want, ids, n))
            golden_wrong(&c, "case %zu", i);
        cf_free(ids);
    }
    golden_tell_count(d, name, key, &c);
    cf_tok_close(tok);
}

void golden_chats(struct golden_dir *d, const char *name, const json_t *cases)
{
    const char *key;
    json_t *v;

    json_object_foreach(json_array_get(cases, 0), key, v)
    {
        if (golden_starts(key, "ids_") && json_is_array(v))
            chats_with(d, name, cases, key);
    }
}
