#include "pipeline/convert_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "textenc/qwen2_keys.h"
#include "textenc/t5_keys.h"
#include "textenc/tokenizer.h"

enum { MAX_CONFIG = 1 << 20, MAX_TOKENIZER = 64 << 20 };

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_dir(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* ---- weights ---- */

/* What the other half of a T5, or a language model, has beside its encoder. The table of
 * T5 comes under two names, of which one is taken. */
static bool is_foreign(const char *name)
{
    static const char *const start[] = {"decoder.", "lm_head.", "visual.", "vision_"};
    static const char rotary[] = "rotary_emb.inv_freq";
    size_t len = strlen(name), tail = sizeof rotary - 1;

    for (size_t i = 0; i < sizeof start / sizeof start[0]; i++)
        if (strncmp(name, start[i], strlen(start[i])) == 0)
            return true;
    return (len >= tail && strcmp(name + len - tail, rotary) == 0) ||
           strcmp(name, "encoder.embed_tokens.weight") == 0;
}

static enum cf_status take_weights(struct cf_convert_text *t,
                                   const struct cf_convert_text_spec *spec,
                                   struct cf_error *err)
{
    static const char *const t5[] = {"encoder.final_layer_norm.weight", NULL};
    static const char *const qwen2[] = {"embed_tokens.weight", NULL};
    bool is_t5 = t->config.family == CF_FAMILY_T5;
    const char *found;

    CF_TRY(cf_source_open(&t->src, spec->dir, err));
    CF_TRY(cf_state_enter(&t->state, t->src, "text-encoder", is_t5 ? t5 : qwen2,
                          spec->key, err));
    CF_TRY(cf_take_open(&t->take, t->src, "text encoder", spec->type, err));
    found = t->state.prefix[t->state.chosen];
    if (!is_t5 && *found)
        snprintf(t->prefix, sizeof t->prefix, "%s.", found);
    t->take.prefix = t->prefix;
    CF_TRY(is_t5 ? cf_t5_keys(&t->config.t5, cf_take_key, &t->take, err)
                 : cf_qwen2_keys(&t->config.qwen2, "", cf_take_key, &t->take, err));
    return cf_take_check(&t->take, &t->state, is_foreign, spec->ignore, &t->dropped, err);
}

/* ---- tokenizer ---- */

/* dir/name into *path where it is there. */
static enum cf_status try_file(char **path, const char *dir, const char *name,
                               struct cf_error *err)
{
    *path = cf_format(err, "%s/%s", dir, name);
    if (!*path)
        return CF_ENOMEM;
    if (!is_there(*path)) {
        cf_free(*path);
        *path = NULL;
    }
    return CF_OK;
}

static enum cf_status try_spm(struct cf_convert_text *t, const char *dir,
                              struct cf_error *err)
{
    CF_TRY(try_file(&t->tok[0], dir, "spiece.model", err));
    if (!t->tok[0])
        return CF_OK;
    t->spm = true;
    t->tok_path = cf_strdup(t->tok[0], err);
    return t->tok_path ? CF_OK : CF_ENOMEM;
}

/* tokenizer.json, else the older pair; tokenizer_config.json beside either, without which
 * the older layout would have no added tokens. */
static enum cf_status try_bpe(struct cf_convert_text *t, const char *dir,
                              struct cf_error *err)
{
    int n = 1;

    CF_TRY(try_file(&t->tok[0], dir, "tokenizer.json", err));
    if (!t->tok[0]) {
        CF_TRY(try_file(&t->tok[0], dir, "vocab.json", err));
        if (!t->tok[0])
            return CF_OK;
        CF_TRY(try_file(&t->tok[n++], dir, "merges.txt", err));
        if (!t->tok[1])
            return cf_fail(err, CF_ENOENT, "%.200s: vocab.json without merges.txt", dir);
    }
    CF_TRY(try_file(&t->tok[n], dir, "tokenizer_config.json", err));
    t->tok_path = cf_strdup(dir, err);
    return t->tok_path ? CF_OK : CF_ENOMEM;
}

/* A file that was named: what it is called says what it is. */
static enum cf_status take_named(struct cf_convert_text *t, const char *path,
                                 struct cf_error *err)
{
    size_t len = strlen(path);

    if (len < 6 || strcmp(path + len - 6, ".model") != 0)
        return cf_fail(err, CF_EUNSUP,
                       "%.200s: expected a SentencePiece *.model, or the folder of a "
                       "tokenizer.json",
                       path);
    t->spm = true;
    t->tok[0] = cf_strdup(path, err);
    t->tok_path = cf_strdup(path, err);
    return t->tok[0] && t->tok_path ? CF_OK : CF_ENOMEM;
}

static enum cf_status find_tokenizer(struct cf_convert_text *t, const char *named,
                                     struct cf_error *err)
{
    const char *at = named ? named : t->dir;

    if (named && !is_dir(named))
        return is_there(named) ? take_named(t, named, err)
                               : cf_fail(err, CF_ENOENT, "%.300s: no tokenizer", named);
    if (t->config.family == CF_FAMILY_T5)
        CF_TRY(try_spm(t, at, err));
    else
        CF_TRY(try_bpe(t, at, err));
    if (t->tok_path)
        return CF_OK;
    return cf_fail(err, CF_ENOENT,
                   "%.200s: no %s there; --tokenizer=FILE|DIR names another place", at,
                   t->config.family == CF_FAMILY_T5
                       ? "spiece.model (a tokenizer.json of T5 is not read)"
                       : "tokenizer.json and no vocab.json");
}

/* A tokenizer with ids beyond the table belongs to another encoder. */
static enum cf_status check_tokenizer(const struct cf_convert_text *t,
                                      struct cf_error *err)
{
    int vocab =
        t->config.family == CF_FAMILY_T5 ? t->config.t5.vocab : t->config.qwen2.vocab;
    enum cf_status status;
    struct cf_tok *tok;

    CF_TRY(cf_tok_open(&tok, t->spm ? "sentencepiece" : "bpe", t->tok_path, err));
    status = cf_tok_check(tok, t->spm ? CF_TOK_EOS : 0, err);
    if (status == CF_OK && cf_tok_size(tok) > vocab)
        status = cf_fail(err, CF_EMISMATCH,
                         "%.150s: %d ids for an encoder with %d rows of embeddings: "
                         "they do not belong together",
                         t->tok_path, (int)cf_tok_size(tok), vocab);
    cf_tok_close(tok);
    return status;
}

/* ---- both ---- */

/* The folder of a path that may be the weights in it. */
static enum cf_status find_dir(struct cf_convert_text *t, const char *path,
                               struct cf_error *err)
{
    static const char what[] = "a text encoder is a folder of config.json, weights and "
                               "vocabulary";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (!is_there(path))
        return cf_fail(err, CF_ENOENT, "%.300s: no text encoder", path);
    if (strcmp(name, "config.json") == 0)
        return cf_fail(err, CF_EUSAGE, "--text-encoder=%.200s: %s", path, what);
    if (is_dir(path))
        t->dir = cf_strdup(path, err);
    else
        t->dir = slash ? cf_strndup(path, (size_t)(slash - path) + 1, err)
                       : cf_strdup(".", err);
    t->config_path = t->dir ? cf_format(err, "%s/config.json", t->dir) : NULL;
    if (!t->config_path)
        return CF_ENOMEM;
    if (!is_there(t->config_path))
        return cf_fail(err, CF_ENOENT, "%.200s: no config.json there: %s", t->dir, what);
    return CF_OK;
}

enum cf_status cf_convert_text_open(struct cf_convert_text *t,
                                    const struct cf_convert_text_spec *spec,
                                    struct cf_error *err)
{
    memset(t, 0, sizeof *t);
    CF_TRY(find_dir(t, spec->dir, err));
    CF_TRY(cf_encoder_config_load(&t->config, t->config_path, err));
    CF_TRY(take_weights(t, spec, err));
    CF_TRY(find_tokenizer(t, spec->tokenizer, err));
    return check_tokenizer(t, err);
}

void cf_convert_text_close(struct cf_convert_text *t)
{
    for (int i = 0; i < CF_TOK_FILES; i++)
        cf_free(t->tok[i]);
    cf_free(t->tok_path);
    cf_take_close(&t->take);
    cf_source_close(t->src);
    cf_free(t->config_path);
    cf_free(t->dir);
    memset(t, 0, sizeof *t);
}

/* A small file into the part, under dir (NULL: at the top) with the name it has. */
static enum cf_status copy(const char *from, size_t max, const char *dir,
                           struct cf_out *out, struct cf_model_spec_part *part,
                           struct cf_error *err)
{
    const char *slash = strrchr(from, '/'), *name = slash ? slash + 1 : from;
    char hex[CF_DIGEST_HEX], *to;
    enum cf_status status;
    size_t n;
    char *bytes = cf_file_read(from, max, &n, err);

    if (!bytes)
        return err->status;
    to = dir ? cf_format(err, "%s/%s", dir, name) : cf_strdup(name, err);
    status = to ? cf_out_put(out, to, bytes, n, hex, err) : CF_ENOMEM;
    if (status == CF_OK)
        status = cf_model_spec_hashed(part, cf_out_dir(out), to, hex, err);
    cf_free(to);
    cf_free(bytes);
    return status;
}

enum cf_status cf_convert_text_write(const struct cf_convert_text *t, struct cf_out *out,
                                     struct cf_dnn *dnn, struct cf_model_spec *manifest,
                                     struct cf_error *err)
{
    static const char dir[] = "text_encoder", tokenizer[] = "tokenizer";
    struct cf_model_spec_part *text = &manifest->part[CF_PART_TEXT];
    struct cf_model_spec_part *vocab = &manifest->part[CF_PART_VOCAB];

    CF_TRY(cf_out_mkdir(out, dir, err));
    text->dir = dir;
    CF_TRY(copy(t->config_path, MAX_CONFIG, dir, out, text, err));
    CF_TRY(cf_take_part(&t->take, out, "text_encoder/model.safetensors", dnn, text, err));
    if (!t->spm) {
        CF_TRY(cf_out_mkdir(out, tokenizer, err));
        vocab->dir = tokenizer;
    }
    for (int i = 0; i < CF_TOK_FILES && t->tok[i]; i++)
        CF_TRY(copy(t->tok[i], MAX_TOKENIZER, vocab->dir, out, vocab, err));
    return CF_OK;
}
