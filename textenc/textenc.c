/* textenc.c - the "text" object of model.json, and prompts through tokenizer and encoder.
 *
 * tokenizer:
 *
 * - type: "sentencepiece" | "bpe"
 * - max_tokens: 1 .. 4096, tokens of a prompt that are kept; bos and eos come on top
 * - lowercase: bool, false: each code point of a prompt in lower case first
 * - append_bos: bool, false: bos before the prompt (not with a prefix)
 * - append_eos: bool, false: eos after it, also after a truncated one (T5 wants it)
 * - parse_special: bool, false: added tokens written out in a prompt become their ids, as
 *   in the reference encoders; off, users cannot forge them ("bpe" alone)
 *
 * encoder, whose family (Qwen2, Qwen3, T5) its own config.json tells:
 *
 * - features: "last", after the final norm; or { "taps": [..] }: hidden states side by
 *   side, 0 the embedding, L the last (as "last")
 * - rows: "valid": one row a token, padding never; "all": pad_to rows, those of padding
 *   too (FAR feeds them to cross-attention)
 * - prefix: text before every prompt, "": tokenized alone and as it is written, added
 *   tokens parsed; its rows are dropped. Not with T5
 * - pad_to: tokens a prompt is padded to; needed for "all". Without it nothing is padded.
 *   As in HART and FAR every token with the pad id is masked, those that the prompt
 * itself wrote too
 * - padding_side: "right" | "left"; what the tokenizer's files say, else right. With a
 *   prefix, left puts the padding between prefix and prompt, and the rotary distances
 * grow with it
 *
 * No token before it sees padding on the right (Qwen2 is causal, T5 masks it), so "valid"
 * leaves it out. */
#include "textenc/textenc.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "textenc/encoder.h"
#include "textenc/tokenizer.h"
#include "textenc/unicode.h"
#include "weights/config.h"

enum {
    MAX_TOKENS = 4096,
    MAX_TAPS = 64,
    MAX_TEXT = 1 << 20, /* bytes of a prompt */
    BATCH_ROWS = 4096   /* of one forward; more prompts go into several */
};

enum { PAD_NONE = -1 };

struct cf_textenc {
    struct cf_tok *tok;
    struct cf_encoder *model;
    unsigned flags; /* CF_TOK_SPECIAL or 0; bos and eos are put here */
    bool prefix;    /* there is one */
    bool lowercase, bos, eos, all_rows, pad_left;
    int max_tokens;
    int pad_to; /* 0: no padding */
    int32_t pad_id;
    int taps[MAX_TAPS], n_taps;
    int dim;
};

/* ---- opening ---- */

static enum cf_status read_tokenizer(struct cf_textenc *te, const json_t *spec,
                                     const char *path, struct cf_error *err)
{
    static const char where[] = "text.tokenizer";
    bool special = false;
    const char *type;
    json_t *obj;

    CF_TRY(cf_json_obj(spec, "tokenizer", &obj, "text", err));
    CF_TRY(cf_config_only(obj, where, err, "type", "max_tokens", "lowercase",
                          "append_bos", "append_eos", "parse_special", (char *)NULL));
    CF_TRY(cf_json_str(obj, "type", &type, where, err));
    CF_TRY(cf_config_int(obj, "max_tokens", 1, MAX_TOKENS, &te->max_tokens, where, err));
    CF_TRY(cf_config_opt_bool(obj, "lowercase", &te->lowercase, where, err));
    CF_TRY(cf_config_opt_bool(obj, "append_bos", &te->bos, where, err));
    CF_TRY(cf_config_opt_bool(obj, "append_eos", &te->eos, where, err));
    CF_TRY(cf_config_opt_bool(obj, "parse_special", &special, where, err));
    CF_TRY(cf_tok_open(&te->tok, type, path, err));
    te->flags = special ? CF_TOK_SPECIAL : 0;
    return cf_tok_check(
        te->tok, te->flags | (te->bos ? CF_TOK_BOS : 0) | (te->eos ? CF_TOK_EOS : 0),
        err);
}

static enum cf_status read_features(struct cf_textenc *te, const json_t *obj,
                                    struct cf_error *err)
{
    const json_t *v = json_object_get(obj, "features");
    static const char where[] = "text.encoder";

    if (json_is_object(v)) {
        CF_TRY(cf_config_only(v, "text.encoder.features", err, "taps", (char *)NULL));
        return cf_config_ints(v, "taps", 0, 1 << 20, te->taps, MAX_TAPS, &te->n_taps,
                              "text.encoder.features", err);
    }
    if (!json_is_string(v) || strcmp(json_string_value(v), "last") != 0)
        return cf_fail(err, CF_EFORMAT, "%s: features: expected \"last\" or { taps }",
                       where);
    te->n_taps = 0; /* the last, known once the model is open */
    return CF_OK;
}

static enum cf_status read_padding(struct cf_textenc *te, const json_t *obj,
                                   struct cf_error *err)
{
    static const char where[] = "text.encoder";
    static const char *const rows[] = {"valid", "all"}, *const sides[] = {"right",
                                                                          "left"};
    int all, side = cf_tok_pad_left(te->tok);
    int most = te->max_tokens + te->bos + te->eos;

    CF_TRY(cf_config_choice(obj, "rows", rows, 2, &all, where, err));
    CF_TRY(cf_config_opt_int(obj, "pad_to", 1, 2 * MAX_TOKENS, &te->pad_to, where, err));
    if (json_object_get(obj, "padding_side"))
        CF_TRY(cf_config_choice(obj, "padding_side", sides, 2, &side, where, err));
    te->all_rows = all;
    te->pad_left = side;
    te->pad_id = te->pad_to ? cf_tok_id(te->tok, CF_TOK_PAD_ID) : PAD_NONE;
    if (te->all_rows && !te->pad_to)
        return cf_fail(err, CF_EFORMAT, "%s: rows \"all\" needs pad_to", where);
    if (te->pad_to && te->pad_to < most)
        return cf_fail(err, CF_EFORMAT, "%s: pad_to is %d, a prompt may have %d tokens",
                       where, te->pad_to, most);
    if (te->pad_to && te->pad_id < 0)
        return cf_fail(err, CF_EUNSUP, "%s: pad_to: the tokenizer has no pad token",
                       where);
    return CF_OK;
}

/* Ids of the tokenizer must be rows of the embedding. */
static enum cf_status check_pair(const struct cf_textenc *te, struct cf_error *err)
{
    int size = cf_tok_size(te->tok), vocab = cf_encoder_shape(te->model).vocab;

    if (size <= vocab)
        return CF_OK;
    return cf_fail(err, CF_EMISMATCH, "tokenizer of %d tokens, encoder of %d", size,
                   vocab);
}

static enum cf_status open_model(struct cf_textenc *te, struct cf_dnn *dnn,
                                 const char *path, enum cf_hold hold,
                                 struct cf_error *err)
{
    int layers = 0;

    for (int i = 0; i < te->n_taps; i++)
        layers = te->taps[i] > layers ? te->taps[i] : layers;
    /* Taps of the embedding alone: one layer is opened and not run. */
    if (te->n_taps && layers == 0)
        layers = 1;
    CF_TRY(cf_encoder_open(&te->model, dnn, path, layers, hold, err));
    if (te->n_taps == 0)
        te->taps[te->n_taps++] = cf_encoder_shape(te->model).layers;
    te->dim = te->n_taps * cf_encoder_shape(te->model).hidden;
    return check_pair(te, err);
}

static enum cf_status open_prefix(struct cf_textenc *te, const json_t *obj,
                                  struct cf_error *err)
{
    const json_t *v = json_object_get(obj, "prefix");
    unsigned flags =
        cf_tok_check(te->tok, CF_TOK_SPECIAL, NULL) == CF_OK ? CF_TOK_SPECIAL : 0;
    enum cf_status st;
    int32_t *ids;
    size_t n;

    if (!v || (json_is_string(v) && json_string_length(v) == 0))
        return CF_OK;
    if (!json_is_string(v))
        return cf_fail(err, CF_EFORMAT, "text.encoder: prefix is not a string");
    if (te->bos)
        return cf_fail(err, CF_EUNSUP, "text: append_bos together with a prefix");
    CF_TRY(cf_tok_encode(te->tok, json_string_value(v), json_string_length(v), flags,
                         &ids, &n, err));
    st = n > MAX_TOKENS ? cf_fail(err, CF_ERANGE, "text.encoder: prefix of %zu tokens", n)
                        : cf_encoder_prefix(te->model, ids, (int)n, err);
    cf_free(ids);
    te->prefix = n > 0;
    return st;
}

static enum cf_status open_all(struct cf_textenc *te, struct cf_dnn *dnn,
                               const json_t *spec, const char *encoder_path,
                               const char *vocab_path, enum cf_hold hold,
                               struct cf_error *err)
{
    json_t *obj;

    CF_TRY(cf_config_only(spec, "text", err, "tokenizer", "encoder", (char *)NULL));
    CF_TRY(cf_json_obj(spec, "encoder", &obj, "text", err));
    CF_TRY(cf_config_only(obj, "text.encoder", err, "features", "rows", "prefix",
                          "pad_to", "padding_side", (char *)NULL));
    CF_TRY(read_tokenizer(te, spec, vocab_path, err));
    CF_TRY(read_features(te, obj, err));
    CF_TRY(read_padding(te, obj, err));
    CF_TRY(open_model(te, dnn, encoder_path, hold, err));
    return open_prefix(te, obj, err);
}

enum cf_status cf_textenc_open(struct cf_textenc **te, struct cf_dnn *dnn,
                               const json_t *spec, const char *encoder_path,
                               const char *vocab_path, enum cf_hold hold,
                               struct cf_error *err)
{
    struct cf_textenc *t = cf_calloc(1, sizeof(*t), err);
    enum cf_status st;

    *te = NULL;
    if (!t)
        return CF_ENOMEM;
    st = open_all(t, dnn, spec, encoder_path, vocab_path, hold, err);
    if (st == CF_OK)
        *te = t;
    else
        cf_textenc_close(t);
    return st;
}

void cf_textenc_close(struct cf_textenc *te)
{
    if (!te)
        return;
    cf_encoder_close(te->model);
    cf_tok_close(te->tok);
    cf_free(te);
}

int cf_textenc_dim(const struct cf_textenc *te)
{
    return te->dim;
}

struct cf_held cf_textenc_held(const struct cf_textenc *te)
{
    return cf_encoder_held(te->model);
}

void cf_textenc_cancel(struct cf_textenc *te, struct cf_cancel *cancel)
{
    cf_encoder_cancel(te->model, cancel);
}

/* ---- encoding ---- */

/* A prompt on its way: what the encoder sees, and which of it comes out. */
struct job {
    int32_t *ids;  /* [n] with bos, eos and padding */
    uint8_t *mask; /* [n] or NULL: all ones */
    int n;
    int keep; /* rows that come out: n, or those with mask 1 */
    int truncated;
    int same;    /* index of an earlier job with the same ids, -1: none */
    int64_t row; /* of its first row in its batch */
};

static void free_jobs(struct job *job, int n)
{
    for (int i = 0; job && i < n; i++) {
        cf_free(job[i].ids);
        cf_free(job[i].mask);
    }
    cf_free(job);
}

static enum cf_status tokenize(const struct cf_textenc *te, const struct cf_prompt *p,
                               int32_t **ids, size_t *n, struct cf_error *err)
{
    enum cf_status st;
    char *lower;
    size_t len, at;

    if (p->len > MAX_TEXT)
        return cf_fail(err, CF_ERANGE, "%zu bytes of text, at most %d", p->len, MAX_TEXT);
    if (!cf_utf8_valid(p->text, p->len, &at))
        return cf_fail(err, CF_EFORMAT, "text is not UTF-8 at byte %zu", at);
    if (!te->lowercase)
        return cf_tok_encode(te->tok, p->text, p->len, te->flags, ids, n, err);
    CF_TRY(cf_unicode_lower(p->text, p->len, &lower, &len, err));
    st = cf_tok_encode(te->tok, lower, len, te->flags, ids, n, err);
    cf_free(lower);
    return st;
}

/* ids [n] of the text into job->ids: cut, bos, eos, padding, mask. */
static enum cf_status fill_job(const struct cf_textenc *te, struct job *job,
                               const int32_t *ids, size_t n, struct cf_error *err)
{
    int kept = n > (size_t)te->max_tokens ? te->max_tokens : (int)n, at = 0;
    int real = te->bos + kept + te->eos;

    job->truncated = n - (size_t)kept > INT32_MAX ? INT32_MAX : (int)(n - (size_t)kept);
    /* Padding on the right is only worth computing where its rows come out. */
    job->n = te->pad_to && (te->all_rows || te->pad_left) ? te->pad_to : real;
    job->ids = cf_alloc((size_t)job->n, sizeof(*job->ids), err);
    job->mask = te->pad_to ? cf_alloc((size_t)job->n, 1, err) : NULL;
    if (!job->ids || (te->pad_to && !job->mask))
        return CF_ENOMEM;
    while (te->pad_left && at < job->n - real)
        job->ids[at++] = te->pad_id;
    if (te->bos)
        job->ids[at++] = cf_tok_id(te->tok, CF_TOK_BOS_ID);
    memcpy(job->ids + at, ids, (size_t)kept * sizeof(*ids));
    at += kept;
    if (te->eos)
        job->ids[at++] = cf_tok_id(te->tok, CF_TOK_EOS_ID);
    while (at < job->n)
        job->ids[at++] = te->pad_id;
    job->keep = job->n;
    for (int i = 0; i < job->n && job->mask; i++) {
        job->mask[i] = job->ids[i] != te->pad_id;
        job->keep -= !te->all_rows && !job->mask[i];
    }
    if (job->keep < 1 || (real == 0 && !te->prefix))
        return cf_fail(err, CF_ERANGE,
                       "the text has no tokens, and the model's text encoder needs one: "
                       "give at least a word, or leave an empty negative prompt out");
    return CF_OK;
}

static enum cf_status make_job(const struct cf_textenc *te, struct job *job,
                               const struct cf_prompt *p, struct cf_error *err)
{
    int32_t *ids = NULL;
    enum cf_status st;
    size_t n;

    st = tokenize(te, p, &ids, &n, err);
    if (st == CF_OK)
        st = fill_job(te, job, ids, n, err);
    cf_free(ids);
    return st;
}

/* By its beginning: a number would be that of the call, which no user knows. */
static enum cf_status name_prompt(const struct cf_prompt *p, struct cf_error *err)
{
    char *safe = cf_utf8_printable(p->text, p->len, 60, NULL);
    enum cf_status st = cf_wrap(err, "prompt \"%s\"", safe ? safe : "");

    cf_free(safe);
    return st;
}

/* Many seeds share a prompt: equal ids are encoded once. */
static int find_same(const struct job *job, int i)
{
    for (int j = 0; j < i; j++)
        if (job[j].same < 0 && job[j].n == job[i].n &&
            memcmp(job[j].ids, job[i].ids, (size_t)job[i].n * sizeof(int32_t)) == 0)
            return j;
    return -1;
}

static enum cf_status make_text(const struct cf_textenc *te, struct cf_text *out,
                                const struct job *job, const float *rows,
                                struct cf_error *err)
{
    const size_t dim = (size_t)te->dim;
    int at = 0;

    out->ids = cf_alloc((size_t)job->keep, sizeof(*out->ids), err);
    out->features = cf_alloc((size_t)job->keep * dim, sizeof(float), err);
    if (!out->ids || !out->features)
        return CF_ENOMEM;
    for (int i = 0; i < job->n; i++) {
        if (!te->all_rows && job->mask && !job->mask[i])
            continue;
        out->ids[at] = job->ids[i];
        memcpy(out->features + (size_t)at * dim, rows + (size_t)i * dim,
               dim * sizeof(float));
        at++;
    }
    out->n = job->keep;
    out->dim = te->dim;
    out->truncated = job->truncated;
    return CF_OK;
}

/* Jobs first .. end-1 in one forward, and the results of those that they stand for. */
static enum cf_status run_batch(struct cf_textenc *te, struct job *job, int first,
                                int end, struct cf_text *out, struct cf_error *err)
{
    struct cf_enc_seq *seq = cf_calloc((size_t)(end - first), sizeof(*seq), err);
    enum cf_status st = CF_ENOMEM;
    float *rows = NULL;
    int64_t n_row = 0;
    int n_seq = 0;

    for (int i = first; i < end && seq; i++) {
        if (job[i].same >= 0)
            continue;
        seq[n_seq++] = (struct cf_enc_seq){job[i].ids, job[i].mask, job[i].n};
        job[i].row = n_row;
        n_row += job[i].n;
    }
    if (seq)
        rows = cf_alloc((size_t)n_row * (size_t)te->dim, sizeof(float), err);
    if (rows)
        st = n_seq ? cf_encoder_forward(te->model, seq, n_seq, te->taps, te->n_taps, rows,
                                        err)
                   : CF_OK;
    for (int i = first; i < end && st == CF_OK; i++)
        if (job[i].same < 0)
            st = make_text(te, &out[i], &job[i], rows + job[i].row * te->dim, err);
    cf_free(rows);
    cf_free(seq);
    return st;
}

static enum cf_status copy_text(struct cf_text *out, const struct cf_text *from,
                                int truncated, struct cf_error *err)
{
    size_t n = (size_t)from->n, m = n * (size_t)from->dim;

    out->ids = cf_alloc(n, sizeof(*out->ids), err);
    out->features = cf_alloc(m, sizeof(float), err);
    if (!out->ids || !out->features)
        return CF_ENOMEM;
    memcpy(out->ids, from->ids, n * sizeof(*out->ids));
    memcpy(out->features, from->features, m * sizeof(float));
    out->n = from->n;
    out->dim = from->dim;
    out->truncated = truncated;
    return CF_OK;
}

static enum cf_status run_jobs(struct cf_textenc *te, struct job *job, int n,
                               struct cf_text *out, struct cf_error *err)
{
    for (int first = 0, end; first < n; first = end) {
        int rows = 0;

        for (end = first; end < n; end++) {
            int more = job[end].same < 0 ? job[end].n : 0;

            if (end > first && rows + more > BATCH_ROWS)
                break;
            rows += more;
        }
        CF_TRY(run_batch(te, job, first, end, out, err));
    }
    for (int i = 0; i < n; i++)
        if (job[i].same >= 0)
            CF_TRY(copy_text(&out[i], &out[job[i].same], job[i].truncated, err));
    return CF_OK;
}

enum cf_status cf_textenc_encode(struct cf_textenc *te, const struct cf_prompt *prompt,
                                 int n, struct cf_text *out, struct cf_error *err)
{
    enum cf_status st = CF_OK;
    struct job *job;

    if (n < 0)
        return cf_fail(err, CF_EUSAGE, "%d prompts", n);
    if (n == 0)
        return CF_OK;
    memset(out, 0, (size_t)n * sizeof(*out));
    job = cf_calloc((size_t)n, sizeof(*job), err);
    if (!job)
        return CF_ENOMEM;
    for (int i = 0; i < n && st == CF_OK; i++) {
        st = make_job(te, &job[i], &prompt[i], err);
        if (st != CF_OK)
            name_prompt(&prompt[i], err);
        else
            job[i].same = find_same(job, i);
    }
    if (st == CF_OK)
        st = run_jobs(te, job, n, out, err);
    for (int i = 0; i < n && st != CF_OK; i++)
        cf_text_free(&out[i]);
    free_jobs(job, n);
    return st;
}

void cf_text_free(struct cf_text *text)
{
    cf_free(text->ids);
    cf_free(text->features);
    memset(text, 0, sizeof(*text));
}
