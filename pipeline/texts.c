#include "pipeline/texts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "pipeline/finish.h"
#include "pipeline/holding.h"

enum { KEEP_TEXTS = 256, KEEP_BYTES = 64 << 20, MAX_ROWS = 1 << 16 /* of a text */ };

struct cf_encoded {
    atomic_int refs;
    char *prompt;
    size_t len;
    struct cf_text text;
    uint64_t used; /* tick of the last use; of cf_texts alone */
};

struct cf_texts {
    pthread_mutex_t lock;
    struct cf_texts_options o; /* what it was opened with, or adopted since */
    struct cf_textenc *enc;    /* NULL: not in memory */
    struct cf_encoded *kept[KEEP_TEXTS];
    uint64_t clock;
    char *identity; /* of encoder, settings, build, isa: what goes before a prompt in a
                       key */
    struct cf_texts_count count;
};

/* ---- references ---- */

const struct cf_text *cf_encoded_text(const struct cf_encoded *e)
{
    return &e->text;
}

void cf_encoded_drop(struct cf_encoded *e)
{
    if (!e || atomic_fetch_sub(&e->refs, 1) > 1)
        return;
    cf_text_free(&e->text);
    cf_free(e->prompt);
    cf_free(e);
}

static struct cf_encoded *share(struct cf_encoded *e)
{
    atomic_fetch_add(&e->refs, 1);
    return e;
}

/* Takes text, whatever it returns. */
static struct cf_encoded *wrap(const struct cf_prompt *p, struct cf_text *text,
                               struct cf_error *err)
{
    struct cf_encoded *e = cf_calloc(1, sizeof *e, err);

    if (e)
        e->prompt = cf_strndup(p->text, p->len, err);
    if (!e || !e->prompt) {
        cf_text_free(text);
        cf_free(e);
        return NULL;
    }
    atomic_init(&e->refs, 1);
    e->len = p->len;
    e->text = *text;
    memset(text, 0, sizeof *text);
    return e;
}

void cf_texts_adopt(struct cf_texts *t, struct cf_cache *cache, struct cf_cancel *cancel)
{
    t->o.cache = cache;
    t->o.cancel = cancel;
    if (t->enc)
        cf_textenc_cancel(t->enc, cancel);
}

/* ---- opening ---- */

/* Everything but the prompt that features depend on, as lines. */
static char *identify(const struct cf_model *m, const json_t *spec, const char *isa,
                      struct cf_error *err)
{
    char build[CF_BUILD_ID];
    char *json = cf_json_text(spec, JSON_SORT_KEYS | JSON_COMPACT, err);
    char *line = NULL;

    if (!json)
        return NULL;
    line = cf_format(err, "cfgen text 2\n%s\n%s\n%s\n%s\n%s\n%s\n",
                     m->sha256[CF_PART_TEXT], m->sha256[CF_PART_VOCAB], json,
                     m->map ? "mapped" : "packed", isa, cf_build_id(build));
    cf_free(json);
    return line;
}

/* The encoder is in memory. */
static enum cf_status wake(struct cf_texts *t, struct cf_error *err)
{
    const struct cf_model *m = t->o.model;
    enum cf_status st;
    json_t *spec;

    if (t->enc)
        return CF_OK;
    CF_TRY(cf_json_obj(m->json, "text", &spec, "model.json", err));
    CF_TRY(cf_packed_begin(t->o.packed, t->o.dnn, m, CF_PACKED_TEXT, err));
    st = cf_textenc_open(&t->enc, t->o.dnn, spec, m->path[CF_PART_TEXT],
                         m->path[CF_PART_VOCAB], cf_holding_hold(m), err);
    cf_packed_end(t->o.packed, t->o.dnn, m, CF_PACKED_TEXT, st == CF_OK);
    if (st != CF_OK)
        return st;
    if (cf_textenc_dim(t->enc) != t->o.dim)
        return cf_fail(
            err, CF_EMISMATCH,
            "text encoder gives %d features a token, the transformer was trained "
            "with %d",
            cf_textenc_dim(t->enc), t->o.dim);
    cf_textenc_cancel(t->enc, t->o.cancel);
    return CF_OK;
}

static enum cf_status load(struct cf_texts *t, struct cf_error *err)
{
    const char *isa = cf_cpu_name(cf_dnn_level(t->o.dnn));
    json_t *spec;

    CF_TRY(wake(t, err));
    CF_TRY(cf_json_obj(t->o.model->json, "text", &spec, "model.json", err));
    t->identity = identify(t->o.model, spec, isa, err);
    return t->identity ? CF_OK : CF_ENOMEM;
}

void cf_texts_rest(struct cf_texts *t)
{
    pthread_mutex_lock(&t->lock);
    cf_textenc_close(t->enc);
    t->enc = NULL;
    pthread_mutex_unlock(&t->lock);
}

enum cf_status cf_texts_open(struct cf_texts **texts, const struct cf_texts_options *o,
                             struct cf_error *err)
{
    struct cf_texts *t = cf_calloc(1, sizeof *t, err);

    if (!t)
        return CF_ENOMEM;
    pthread_mutex_init(&t->lock, NULL);
    t->o = *o;
    if (load(t, err) != CF_OK) {
        cf_texts_close(t);
        return cf_wrap(err, "model %s", o->model->dir);
    }
    *texts = t;
    return CF_OK;
}

void cf_texts_close(struct cf_texts *t)
{
    if (!t)
        return;
    for (int i = 0; i < KEEP_TEXTS; i++)
        cf_encoded_drop(t->kept[i]);
    cf_textenc_close(t->enc);
    pthread_mutex_destroy(&t->lock);
    cf_free(t->identity);
    cf_free(t);
}

/* ---- memory ---- */

static size_t bytes_of(const struct cf_encoded *e)
{
    return e->len + sizeof(float) * (size_t)e->text.n * (size_t)e->text.dim;
}

static struct cf_encoded *recall(struct cf_texts *t, const struct cf_prompt *p)
{
    for (int i = 0; i < KEEP_TEXTS; i++) {
        struct cf_encoded *e = t->kept[i];

        if (e && e->len == p->len && memcmp(e->prompt, p->text, p->len) == 0) {
            e->used = ++t->clock;
            return e;
        }
    }
    return NULL;
}

/* Forget the oldest until there is a place and what is kept is small. */
static int make_place(struct cf_texts *t, size_t more)
{
    for (;;) {
        int oldest = -1, empty = -1;
        size_t bytes = more;

        for (int i = 0; i < KEEP_TEXTS; i++) {
            const struct cf_encoded *e = t->kept[i];

            if (!e) {
                empty = i;
                continue;
            }
            bytes += bytes_of(e);
            if (oldest < 0 || e->used < t->kept[oldest]->used)
                oldest = i;
        }
        if (oldest < 0 || (empty >= 0 && bytes <= KEEP_BYTES))
            return empty;
        cf_encoded_drop(t->kept[oldest]);
        t->kept[oldest] = NULL;
    }
}

static void remember(struct cf_texts *t, struct cf_encoded *e)
{
    int i = make_place(t, bytes_of(e));

    e->used = ++t->clock;
    t->kept[i] = share(e);
}

/* ---- disk ---- */

/* A value: this, then ids [n], then features [n, dim], all as this machine has them. */
struct stored {
    int32_t n, dim, truncated;
};

static enum cf_status key_of(const struct cf_texts *t, const struct cf_prompt *p,
                             char key[CF_DIGEST_HEX], struct cf_error *err)
{
    struct cf_digest *d = cf_digest_open(err);
    enum cf_status st;

    if (!d)
        return CF_ENOMEM;
    st = cf_digest_add(d, t->identity, strlen(t->identity), err);
    if (st == CF_OK)
        st = cf_digest_add(d, p->text, p->len, err);
    return cf_digest_close(d, key, st == CF_OK ? err : NULL) == CF_OK ? st : err->status;
}

/* A value of the wrong length or width is none. */
static bool unpack(const struct cf_texts *t, const void *data, size_t size,
                   struct cf_text *out, struct cf_error *err)
{
    const uint8_t *at = (const uint8_t *)data + sizeof(struct stored);
    struct stored s;
    size_t n, m;

    if (size < sizeof s)
        return false;
    memcpy(&s, data, sizeof s);
    if (s.n < 1 || s.n > MAX_ROWS || s.dim != t->o.dim || s.truncated < 0)
        return false;
    n = (size_t)s.n;
    m = n * (size_t)s.dim;
    if (size != sizeof s + n * sizeof(int32_t) + m * sizeof(float))
        return false;
    out->ids = cf_alloc(n, sizeof *out->ids, err);
    out->features = cf_alloc(m, sizeof *out->features, err);
    if (!out->ids || !out->features) {
        cf_text_free(out);
        return false;
    }
    memcpy(out->ids, at, n * sizeof *out->ids);
    memcpy(out->features, at + n * sizeof *out->ids, m * sizeof *out->features);
    out->n = s.n;
    out->dim = s.dim;
    out->truncated = s.truncated;
    return true;
}

/* *found is NULL where it is not on disk. */
static enum cf_status fetch(struct cf_texts *t, const struct cf_prompt *p,
                            struct cf_encoded **found, struct cf_error *err)
{
    struct cf_text text = {0};
    char key[CF_DIGEST_HEX];
    void *data = NULL;
    size_t size = 0;

    *found = NULL;
    if (!t->o.cache)
        return CF_OK;
    CF_TRY(key_of(t, p, key, err));
    CF_TRY(cf_cache_get(t->o.cache, key, &data, &size, err));
    if (data && unpack(t, data, size, &text, err))
        *found = wrap(p, &text, err);
    cf_free(data);
    return err->status;
}

static enum cf_status store(struct cf_texts *t, const struct cf_encoded *e,
                            struct cf_error *err)
{
    const struct stored s = {e->text.n, e->text.dim, e->text.truncated};
    const size_t n = (size_t)s.n * sizeof(int32_t),
                 m = (size_t)s.n * (size_t)s.dim * sizeof(float);
    const struct cf_prompt p = {e->prompt, e->len};
    char key[CF_DIGEST_HEX];
    enum cf_status st;
    uint8_t *data;
    bool kept;

    if (!t->o.cache)
        return CF_OK;
    CF_TRY(key_of(t, &p, key, err));
    data = cf_alloc(1, sizeof s + n + m, err);
    if (!data)
        return CF_ENOMEM;
    memcpy(data, &s, sizeof s);
    memcpy(data + sizeof s, e->text.ids, n);
    memcpy(data + sizeof s + n, e->text.features, m);
    st = cf_cache_put(t->o.cache, key, data, sizeof s + n + m, &kept, err);
    cf_free(data);
    return st;
}

/* ---- all of it ---- */

static bool same(const struct cf_prompt *a, const struct cf_prompt *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* From memory and disk; what is missing stays NULL, and its distinct texts go to want. */
static enum cf_status look_up(struct cf_texts *t, const struct cf_prompt *prompt, int n,
                              struct cf_encoded **out, struct cf_prompt *want,
                              int *missing, struct cf_error *err)
{
    *missing = 0;
    for (int i = 0; i < n; i++) {
        struct cf_encoded *e = recall(t, &prompt[i]);
        bool asked = false;

        for (int j = 0; j < *missing && !asked; j++)
            asked = same(&want[j], &prompt[i]);
        if (asked)
            continue;
        if (e) {
            out[i] = share(e);
            t->count.memory++;
            continue;
        }
        CF_TRY(fetch(t, &prompt[i], &out[i], err));
        if (out[i]) {
            remember(t, out[i]);
            t->count.disk++;
        } else {
            want[(*missing)++] = prompt[i];
        }
    }
    return CF_OK;
}

/* Encode want [m] as one packed batch and give it to all of prompt [n] without one. */
static enum cf_status encode(struct cf_texts *t, const struct cf_prompt *want, int m,
                             const struct cf_prompt *prompt, int n,
                             struct cf_encoded **out, struct cf_error *err)
{
    struct cf_text *text = cf_calloc((size_t)m, sizeof *text, err);
    enum cf_status st = text ? wake(t, err) : CF_ENOMEM;

    if (st == CF_OK)
        st = cf_textenc_encode(t->enc, want, m, text, err);
    for (int j = 0; j < m && st == CF_OK; j++) {
        struct cf_encoded *e = wrap(&want[j], &text[j], err);

        st = e ? store(t, e, err) : CF_ENOMEM;
        if (st == CF_OK)
            remember(t, e);
        for (int i = 0; i < n && st == CF_OK; i++)
            if (!out[i] && same(&want[j], &prompt[i]))
                out[i] = share(e);
        cf_encoded_drop(e);
        t->count.encoded += st == CF_OK;
    }
    for (int j = 0; text && j < m; j++)
        cf_text_free(&text[j]);
    cf_free(text);
    return st;
}

enum cf_status cf_texts_get(struct cf_texts *t, const struct cf_prompt *prompt, int n,
                            bool remembered_only, struct cf_encoded **out,
                            struct cf_error *err)
{
    struct cf_prompt *want = cf_alloc((size_t)n, sizeof *want, err);
    enum cf_status st;
    int missing;

    memset(out, 0, (size_t)n * sizeof *out);
    if (!want)
        return CF_ENOMEM;
    pthread_mutex_lock(&t->lock);
    st = look_up(t, prompt, n, out, want, &missing, err);
    if (st == CF_OK && missing && !remembered_only)
        st = encode(t, want, missing, prompt, n, out, err);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < n && st != CF_OK; i++) {
        cf_encoded_drop(out[i]);
        out[i] = NULL;
    }
    cf_free(want);
    return st;
}

struct cf_texts_count cf_texts_count(struct cf_texts *t)
{
    struct cf_texts_count c;

    pthread_mutex_lock(&t->lock);
    c = t->count;
    pthread_mutex_unlock(&t->lock);
    return c;
}
