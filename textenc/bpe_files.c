#include "textenc/bpe_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "textenc/pretok.h"
#include "textenc/unicode.h"

enum {
    MAX_VALUES = 8 << 20, /* of tokenizer.json; Qwen's has 0.5 M */
    MAX_CONFIG_BYTES = 4 << 20,
    MAX_CONFIG_VALUES = 1 << 18,
    MAX_TOKEN = 1 << 16 /* bytes of one token */
};

/* ---- the byte alphabet ---- */

struct alphabet {
    int16_t byte[0x144]; /* by code point; -1: not in the alphabet */
};

static void make_alphabet(struct alphabet *a)
{
    int next = 0x100;

    memset(a->byte, -1, sizeof(a->byte));
    for (int b = 0; b < 256; b++) {
        bool self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

        a->byte[self ? b : next] = (int16_t)b;
        next += !self;
    }
}

/* Bytes that a token in the alphabet stands for, into buf[len]; -1 where it strays. */
static int64_t unmap(const struct alphabet *a, const char *s, size_t len, char *buf)
{
    int64_t n = 0;
    int32_t cp;

    for (size_t i = 0; i < len;) {
        i += cf_unicode_next(s + i, len - i, &cp);
        if (cp >= 0x144 || a->byte[cp] < 0)
            return -1;
        buf[n++] = (char)a->byte[cp];
    }
    return n;
}

/* ---- vocabulary and merges ---- */

static enum cf_status read_vocab(struct cf_bpe_files *f, const struct alphabet *a,
                                 json_t *vocab, const char *where, struct cf_error *err)
{
    char buf[MAX_TOKEN];
    const char *key;
    json_t *v;

    json_object_foreach(vocab, key, v)
    {
        size_t len = strlen(key);
        int64_t n = len <= MAX_TOKEN ? unmap(a, key, len, buf) : -1;

        if (n < 0)
            return cf_fail(err, CF_EFORMAT,
                           "%s: vocab: \"%.64s\" is not a byte-level token", where, key);
        if (!json_is_integer(v))
            return cf_fail(err, CF_EFORMAT, "%s: vocab: \"%.64s\" has no integer id",
                           where, key);
        if (cf_vocab_add(f->vocab, json_integer_value(v), buf, (size_t)n, err) != CF_OK)
            return cf_wrap(err, "%s: vocab: \"%.64s\"", where, key);
    }
    for (int b = 0; b < 256; b++) {
        char c = (char)b;

        if (cf_vocab_find(f->vocab, &c, 1) == CF_VOCAB_NO_ID)
            return cf_fail(err, CF_EFORMAT, "%s: vocab: no token for byte 0x%02x", where,
                           b);
    }
    return CF_OK;
}

static enum cf_status find_token(const struct cf_bpe_files *f, const struct alphabet *a,
                                 const char *s, size_t len, int32_t *id,
                                 struct cf_error *err)
{
    char buf[MAX_TOKEN];
    int64_t n = len <= MAX_TOKEN ? unmap(a, s, len, buf) : -1;

    *id = n < 0 ? CF_VOCAB_NO_ID : cf_vocab_find(f->vocab, buf, (size_t)n);
    if (*id == CF_VOCAB_NO_ID)
        return cf_fail(err, CF_EFORMAT, "\"%.64s\" is not in the vocabulary", s);
    return CF_OK;
}

/* "a b": exactly one blank, which the alphabet does not have. s is NUL-terminated. */
static enum cf_status merge_line(struct cf_bpe_files *f, const struct alphabet *a,
                                 const char *s, size_t len, struct cf_error *err)
{
    const char *gap = memchr(s, ' ', len);
    int32_t left, right;

    if (!gap || memchr(gap + 1, ' ', len - (size_t)(gap + 1 - s)))
        return cf_fail(err, CF_EFORMAT, "\"%.64s\": expected two tokens", s);
    CF_TRY(find_token(f, a, s, (size_t)(gap - s), &left, err));
    CF_TRY(find_token(f, a, gap + 1, len - (size_t)(gap + 1 - s), &right, err));
    return cf_vocab_merge(f->vocab, left, right, err);
}

static enum cf_status merge_pair(struct cf_bpe_files *f, const struct alphabet *a,
                                 const json_t *m, struct cf_error *err)
{
    const json_t *l = json_array_get(m, 0), *r = json_array_get(m, 1);
    int32_t left, right;

    if (json_is_string(m))
        return merge_line(f, a, json_string_value(m), json_string_length(m), err);
    if (json_array_size(m) != 2 || !json_is_string(l) || !json_is_string(r))
        return cf_fail(err, CF_EFORMAT, "expected [\"a\", \"b\"] or \"a b\"");
    CF_TRY(find_token(f, a, json_string_value(l), json_string_length(l), &left, err));
    CF_TRY(find_token(f, a, json_string_value(r), json_string_length(r), &right, err));
    return cf_vocab_merge(f->vocab, left, right, err);
}

/* ---- added tokens ---- */

static int by_id(const void *a, const void *b)
{
    const struct cf_added *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

int32_t cf_bpe_files_id(const struct cf_bpe_files *f, const char *s, size_t len)
{
    for (size_t i = 0; i < f->n_added; i++)
        if (f->added[i].len == len && memcmp(f->added[i].s, s, len) == 0)
            return f->added[i].id;
    return cf_vocab_find(f->vocab, s, len);
}

static enum cf_status add_token(struct cf_bpe_files *f, int64_t id, const json_t *t,
                                const char *where, struct cf_error *err)
{
    static const char *const unsupported[] = {"lstrip", "rstrip", "normalized",
                                              "single_word"};
    struct cf_added *a;
    const char *s, *own;
    size_t own_len;
    bool special, on;

    CF_TRY(cf_json_str(t, "content", &s, where, err));
    CF_TRY(cf_json_bool(t, "special", &special, where, err));
    for (int i = 0; i < 4; i++) {
        CF_TRY(cf_json_bool(t, unsupported[i], &on, where, err));
        if (on)
            return cf_fail(err, CF_EUNSUP, "%s: added token \"%.64s\": %s is set", where,
                           s, unsupported[i]);
    }
    if (id < 0 || id >= CF_VOCAB_MAX || !*s || strlen(s) > MAX_TOKEN)
        return cf_fail(err, CF_EFORMAT,
                       "%s: added token %lld \"%.64s\": bad id or length", where,
                       (long long)id, s);
    own = cf_vocab_bytes(f->vocab, (int32_t)id, &own_len);
    if (own && (own_len != strlen(s) || memcmp(own, s, own_len) != 0))
        return cf_fail(err, CF_EFORMAT,
                       "%s: added token \"%.64s\" has the id %lld of another", where, s,
                       (long long)id);
    if (f->n_added == CF_BPE_MAX_ADDED)
        return cf_fail(err, CF_EUNSUP, "%s: more than %d added tokens", where,
                       CF_BPE_MAX_ADDED);
    CF_TRY(cf_grow(&f->added, &f->cap_added, f->n_added + 1, sizeof(*f->added), err));
    a = &f->added[f->n_added];
    *a = (struct cf_added){cf_strdup(s, err), strlen(s), (int32_t)id, special};
    if (!a->s)
        return CF_ENOMEM;
    f->n_added++;
    return CF_OK;
}

static enum cf_status end_added(struct cf_bpe_files *f, const char *where,
                                struct cf_error *err)
{
    if (f->n_added)
        qsort(f->added, f->n_added, sizeof(*f->added), by_id);
    for (size_t i = 0; i < f->n_added; i++)
        for (size_t j = 0; j < i; j++)
            if (f->added[i].id == f->added[j].id ||
                strcmp(f->added[i].s, f->added[j].s) == 0)
                return cf_fail(err, CF_EFORMAT,
                               "%s: added token \"%.64s\" is given twice", where,
                               f->added[i].s);
    return CF_OK;
}

/* ---- tokenizer.json ---- */

/* obj[key] must be an object whose "type" is type. */
static enum cf_status want_type(const json_t *obj, const char *key, const char *type,
                                json_t **out, const char *where, struct cf_error *err)
{
    const char *found;

    CF_TRY(cf_json_obj(obj, key, out, where, err));
    CF_TRY(cf_json_str(*out, "type", &found, where, err));
    if (strcmp(found, type) != 0)
        return cf_fail(err, CF_EUNSUP, "%s: %s of type %.64s, expected %s", where, key,
                       found, type);
    return CF_OK;
}

static enum cf_status want_bool(const json_t *obj, const char *key, bool want,
                                const char *where, struct cf_error *err)
{
    bool found;

    CF_TRY(cf_json_bool(obj, key, &found, where, err));
    if (found != want)
        return cf_fail(err, CF_EUNSUP, "%s: %s is %s, expected %s", where, key,
                       found ? "true" : "false", want ? "true" : "false");
    return CF_OK;
}

/* Absent, null, false or "": all mean that a feature we lack is off. */
static enum cf_status want_off(const json_t *obj, const char *key, const char *where,
                               struct cf_error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (!v || json_is_null(v) || json_is_false(v) ||
        (json_is_string(v) && json_string_length(v) == 0))
        return CF_OK;
    return cf_fail(err, CF_EUNSUP, "%s: %s is set", where, key);
}

static enum cf_status check_pretok(const json_t *root, const char *where,
                                   struct cf_error *err)
{
    json_t *seq, *list, *pattern;
    const char *type, *regex, *behavior;
    const json_t *split, *level;

    CF_TRY(want_type(root, "pre_tokenizer", "Sequence", &seq, where, err));
    CF_TRY(cf_json_arr(seq, "pretokenizers", &list, where, err));
    if (json_array_size(list) != 2)
        return cf_fail(err, CF_EUNSUP, "%s: %zu pretokenizers, expected 2", where,
                       json_array_size(list));
    split = json_array_get(list, 0);
    level = json_array_get(list, 1);
    CF_TRY(cf_json_str(split, "type", &type, where, err));
    if (strcmp(type, "Split") != 0)
        return cf_fail(err, CF_EUNSUP, "%s: pretokenizer %.64s, expected Split", where,
                       type);
    CF_TRY(cf_json_obj(split, "pattern", &pattern, where, err));
    CF_TRY(cf_json_str(pattern, "Regex", &regex, where, err));
    CF_TRY(cf_json_str(split, "behavior", &behavior, where, err));
    CF_TRY(want_bool(split, "invert", false, where, err));
    if (strcmp(regex, cf_pretok_pattern) != 0 || strcmp(behavior, "Isolated") != 0)
        return cf_fail(err, CF_EUNSUP, "%s: pattern \"%.200s\" (%.32s) is not Qwen2's",
                       where, regex, behavior);
    CF_TRY(cf_json_str(level, "type", &type, where, err));
    if (strcmp(type, "ByteLevel") != 0)
        return cf_fail(err, CF_EUNSUP, "%s: pretokenizer %.64s, expected ByteLevel",
                       where, type);
    CF_TRY(want_bool(level, "add_prefix_space", false, where, err));
    return want_bool(level, "use_regex", false, where, err);
}

static enum cf_status check_parts(const json_t *root, json_t **model, const char *where,
                                  struct cf_error *err)
{
    static const char *const off[] = {
        "dropout",      "unk_token",     "continuing_subword_prefix",
        "fuse_unk",     "byte_fallback", "end_of_word_suffix",
        "ignore_merges"};
    const json_t *post = json_object_get(root, "post_processor");
    json_t *part;

    CF_TRY(want_type(root, "normalizer", "NFC", &part, where, err));
    CF_TRY(check_pretok(root, where, err));
    if (post && !json_is_null(post))
        CF_TRY(want_type(root, "post_processor", "ByteLevel", &part, where, err));
    CF_TRY(want_type(root, "decoder", "ByteLevel", &part, where, err));
    CF_TRY(want_type(root, "model", "BPE", model, where, err));
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
        CF_TRY(want_off(*model, off[i], where, err));
    return CF_OK;
}

static enum cf_status read_json(struct cf_bpe_files *f, const struct alphabet *a,
                                const json_t *root, const char *where,
                                struct cf_error *err)
{
    json_t *model, *vocab, *merges, *added, *v;
    size_t i;

    CF_TRY(check_parts(root, &model, where, err));
    CF_TRY(cf_json_obj(model, "vocab", &vocab, where, err));
    CF_TRY(cf_json_arr(model, "merges", &merges, where, err));
    CF_TRY(cf_json_arr(root, "added_tokens", &added, where, err));
    CF_TRY(read_vocab(f, a, vocab, where, err));
    json_array_foreach(merges, i, v)
    {
        if (merge_pair(f, a, v, err) != CF_OK)
            return cf_wrap(err, "%s: merge %zu", where, i);
    }
    json_array_foreach(added, i, v)
    {
        int64_t id;

        CF_TRY(cf_json_int(v, "id", 0, CF_VOCAB_MAX - 1, &id, where, err));
        CF_TRY(add_token(f, id, v, where, err));
    }
    return end_added(f, where, err);
}

/* ---- vocab.json, merges.txt, tokenizer_config.json ---- */

/* Only the very first line may be a comment: 96 of Qwen's merges start with '#'. */
static enum cf_status read_merges(struct cf_bpe_files *f, const struct alphabet *a,
                                  const char *path, struct cf_error *err)
{
    size_t len, n = 1;
    char *text = cf_file_read(path, CF_BPE_MAX_FILE, &len, err), *line, *end;
    enum cf_status st = CF_OK;

    if (!text)
        return err ? err->status : CF_EFORMAT;
    for (line = text; st == CF_OK && line < text + len; line = end + 1, n++) {
        size_t size;

        end = memchr(line, '\n', (size_t)(text + len - line));
        if (!end)
            end = text + len;
        *end = '\0';
        size = (size_t)(end - line);
        if (size && line[size - 1] == '\r')
            line[--size] = '\0';
        if (size == 0 || (n == 1 && strncmp(line, "#version", 8) == 0))
            continue;
        if (strlen(line) != size)
            st = cf_fail(err, CF_EFORMAT, "%s: line %zu holds a NUL", path, n);
        else if (!cf_utf8_valid(line, size, NULL))
            st = cf_fail(err, CF_EFORMAT, "%s: line %zu is not UTF-8", path, n);
        else if (merge_line(f, a, line, size, err) != CF_OK)
            st = cf_wrap(err, "%s: line %zu", path, n);
    }
    cf_free(text);
    return st;
}

static enum cf_status check_slow_config(const json_t *config, const char *where,
                                        struct cf_error *err)
{
    const char *class;

    CF_TRY(cf_json_str(config, "tokenizer_class", &class, where, err));
    if (strcmp(class, "Qwen2Tokenizer") != 0 && strcmp(class, "Qwen2TokenizerFast") != 0)
        return cf_fail(err, CF_EUNSUP,
                       "%s: tokenizer_class %.64s, expected Qwen2Tokenizer", where,
                       class);
    return want_off(config, "add_prefix_space", where, err);
}

static enum cf_status read_slow(struct cf_bpe_files *f, const struct alphabet *a,
                                const char *vocab_path, const char *merges_path,
                                const json_t *config, const char *config_path,
                                struct cf_error *err)
{
    json_t *vocab, *added, *v;
    enum cf_status st;
    const char *key;

    CF_TRY(check_slow_config(config, config_path, err));
    CF_TRY(cf_json_obj(config, "added_tokens_decoder", &added, config_path, err));
    vocab = cf_json_load(vocab_path, CF_BPE_MAX_FILE, MAX_VALUES, err);
    if (!vocab)
        return cf_fail(err, CF_EFORMAT, "%s", vocab_path);
    st = json_is_object(vocab)
             ? read_vocab(f, a, vocab, vocab_path, err)
             : cf_fail(err, CF_EFORMAT, "%s: not an object", vocab_path);
    json_decref(vocab);
    if (st == CF_OK)
        st = read_merges(f, a, merges_path, err);
    if (st != CF_OK)
        return st;
    json_object_foreach(added, key, v)
    {
        char *end;
        long id = strtol(key, &end, 10);

        if (*key < '0' || *key > '9' || *end)
            return cf_fail(err, CF_EFORMAT, "%s: added token id \"%.32s\"", config_path,
                           key);
        CF_TRY(add_token(f, id, v, config_path, err));
    }
    return end_added(f, config_path, err);
}

/* ---- the roles of tokenizer_config.json ---- */

static enum cf_status read_role(const struct cf_bpe_files *f, const json_t *config,
                                const char *key, int32_t *id, const char *where,
                                struct cf_error *err)
{
    const json_t *v = json_object_get(config, key);
    const char *s;

    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (!v || json_is_null(v))
        return CF_OK;
    if (!json_is_string(v))
        return cf_fail(err, CF_EFORMAT, "%s: %s is not a string", where, key);
    s = json_string_value(v);
    *id = cf_bpe_files_id(f, s, json_string_length(v));
    if (*id == CF_VOCAB_NO_ID)
        return cf_fail(err, CF_EFORMAT, "%s: %s \"%.64s\" is not in the vocabulary",
                       where, key, s);
    return CF_OK;
}

static enum cf_status read_roles(struct cf_bpe_files *f, const json_t *config,
                                 const char *where, struct cf_error *err)
{
    static const char endoftext[] = "<|endoftext|>";
    const json_t *side = json_object_get(config, "padding_side");

    f->bos = f->eos = f->unk = CF_VOCAB_NO_ID;
    f->pad = cf_bpe_files_id(f, endoftext, sizeof(endoftext) - 1);
    if (!config)
        return CF_OK;
    CF_TRY(read_role(f, config, "bos_token", &f->bos, where, err));
    CF_TRY(read_role(f, config, "eos_token", &f->eos, where, err));
    CF_TRY(read_role(f, config, "pad_token", &f->pad, where, err));
    CF_TRY(read_role(f, config, "unk_token", &f->unk, where, err));
    if (side && !json_is_string(side))
        return cf_fail(err, CF_EFORMAT, "%s: padding_side is not a string", where);
    if (side && strcmp(json_string_value(side), "left") == 0)
        f->pad_left = true;
    else if (side && strcmp(json_string_value(side), "right") != 0)
        return cf_fail(err, CF_EFORMAT, "%s: padding_side \"%.32s\"", where,
                       json_string_value(side));
    return CF_OK;
}

/* ---- which layout ---- */

struct paths {
    char *main;   /* tokenizer.json or vocab.json */
    char *merges; /* beside it */
    char *config; /* beside it */
    bool slow;
};

static void free_paths(struct paths *p)
{
    cf_free(p->main);
    cf_free(p->merges);
    cf_free(p->config);
}

static enum cf_status find_paths(struct paths *p, const char *path, struct cf_error *err)
{
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash + 1 - path) : 0;
    struct stat st;

    if (stat(path, &st) != 0)
        return cf_fail_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode)) {
        p->main = cf_format(err, "%s/tokenizer.json", path);
        p->slow = p->main && access(p->main, F_OK) != 0;
        if (p->slow) {
            cf_free(p->main);
            p->main = cf_format(err, "%s/vocab.json", path);
        }
        p->merges = cf_format(err, "%s/merges.txt", path);
        p->config = cf_format(err, "%s/tokenizer_config.json", path);
    } else {
        p->main = cf_strdup(path, err);
        p->slow = strcmp(path + dir, "vocab.json") == 0;
        p->merges = cf_format(err, "%.*smerges.txt", dir, path);
        p->config = cf_format(err, "%.*stokenizer_config.json", dir, path);
    }
    return p->main && p->merges && p->config ? CF_OK : CF_ENOMEM;
}

static enum cf_status load_object(const char *path, size_t max_bytes, size_t max_values,
                                  json_t **out, struct cf_error *err)
{
    *out = cf_json_load(path, max_bytes, max_values, err);
    if (!*out)
        return cf_fail(err, CF_EFORMAT, "%s", path);
    if (!json_is_object(*out))
        return cf_fail(err, CF_EFORMAT, "%s: not an object", path);
    return CF_OK;
}

enum cf_status cf_bpe_files_open(struct cf_bpe_files *f, const char *path,
                                 struct cf_error *err)
{
    json_t *root = NULL, *config = NULL;
    struct paths p = {0};
    struct alphabet a;
    enum cf_status st;

    memset(f, 0, sizeof(*f));
    make_alphabet(&a);
    st = find_paths(&p, path, err);
    if (st == CF_OK)
        f->vocab = cf_vocab_open(err);
    if (st == CF_OK && !f->vocab)
        st = CF_ENOMEM;
    if (st == CF_OK && (p.slow || access(p.config, F_OK) == 0))
        st = load_object(p.config, MAX_CONFIG_BYTES, MAX_CONFIG_VALUES, &config, err);
    if (st == CF_OK && p.slow)
        st = read_slow(f, &a, p.main, p.merges, config, p.config, err);
    if (st == CF_OK && !p.slow)
        st = load_object(p.main, CF_BPE_MAX_FILE, MAX_VALUES, &root, err);
    if (st == CF_OK && !p.slow)
        st = read_json(f, &a, root, p.main, err);
    if (st == CF_OK)
        st = read_roles(f, config, p.config, err);
    json_decref(root);
    json_decref(config);
    free_paths(&p);
    if (st != CF_OK)
        cf_bpe_files_close(f);
    return st;
}

void cf_bpe_files_close(struct cf_bpe_files *f)
{
    cf_vocab_close(f->vocab);
    for (size_t i = 0; i < f->n_added; i++)
        cf_free(f->added[i].s);
    cf_free(f->added);
    memset(f, 0, sizeof(*f));
}
