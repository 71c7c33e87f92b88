#include "tests/golden_textenc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "textenc/encoder.h"
#include "textenc/qwen2_config.h"
#include "textenc/t5.h"
#include "weights/checkpoint.h"

enum { MAX_TAPS = 64 };
#define MAX_ABS 1e-4 /* tests/golden/textenc/README.md, "Tolerances for float32" */
#define REL_L2 1e-5

/* One golden file beside its model. */
struct fixture {
    struct golden_dir *d;
    const char *name;
    struct cf_encoder *model;
    const struct cf_ckpt *weights, *golden;
    int b, t, s; /* prompts, tokens each, tokens of the system prompt */
    int32_t *ids, *system;
    uint8_t *mask;
    double abs, rel; /* worst so far */
    char why[GOLDEN_WHY];
};

static void fault(struct fixture *f, const char *tensor, const char *what)
{
    if (!f->why[0])
        snprintf(f->why, sizeof(f->why), "%s: %s", tensor, what);
}

/* A fresh copy of a tensor of integers; NULL and 0 where there is none. */
static int32_t *ints(const struct cf_ckpt *ckpt, const char *name, int64_t *n)
{
    const struct cf_view *v = cf_ckpt_find(ckpt, name);
    const char *p = v ? v->data : NULL;
    int32_t *out, i32;
    int64_t i64;

    *n = v ? cf_view_count(v) : 0;
    if (!v)
        return NULL;
    out = calloc((size_t)*n + 1, sizeof(*out));
    for (int64_t i = 0; i < *n; i++) {
        if (v->dtype == CF_I64) {
            memcpy(&i64, p + 8 * i, 8);
            out[i] = (int32_t)i64;
        } else if (v->dtype == CF_I32) {
            memcpy(&i32, p + 4 * i, 4);
            out[i] = i32;
        } else if (v->dtype == CF_BOOL || v->dtype == CF_U8 || v->dtype == CF_I8)
            out[i] = p[i];
    }
    return out;
}

/* Hidden states at the taps for all rows of the padded batch, after the system prompt. */
static float *forward(struct fixture *f, const int *taps, int n_taps)
{
    const int h = cf_encoder_shape(f->model).hidden;
    struct cf_enc_seq *seq = calloc((size_t)f->b, sizeof(*seq));
    float *out = malloc((size_t)f->b * (size_t)f->t * (size_t)n_taps * (size_t)h * 4);
    struct cf_error err = {0};

    for (int i = 0; i < f->b; i++)
        seq[i] = (struct cf_enc_seq){f->ids + (int64_t)i * f->t,
                                     f->mask ? f->mask + (int64_t)i * f->t : NULL, f->t};
    if (cf_encoder_prefix(f->model, f->system, f->s, &err) == CF_OK)
        (void)cf_encoder_forward(f->model, seq, f->b, taps, n_taps, out, &err);
    if (err.status != CF_OK) {
        fault(f, "forward", err.msg);
        free(out);
        out = NULL;
    }
    free(seq);
    return out;
}

static void compare(struct fixture *f, const char *tensor, const float *got, int64_t n)
{
    const struct cf_view *want = cf_ckpt_find(f->golden, tensor);
    double worst = 0, diff = 0, norm = 0;
    float *ref = malloc((size_t)n * sizeof(*ref) + 1);
    struct cf_error err = {0};

    if (cf_view_count(want) != n)
        fault(f, tensor, "has another size");
    else if (cf_view_floats(ref, want, 0, n, &err) != CF_OK)
        fault(f, tensor, err.msg);
    else
        for (int64_t i = 0; i < n; i++) {
            double e = (double)got[i] - (double)ref[i];

            worst = fabs(e) > worst || isnan(e) ? fabs(e) : worst;
            diff += e * e;
            norm += (double)ref[i] * (double)ref[i];
        }
    diff = norm > 0 ? sqrt(diff / norm) : sqrt(diff);
    if (!(worst <= MAX_ABS) || !(diff <= REL_L2))
        fault(f, tensor, "beyond the tolerance");
    f->abs = worst > f->abs || isnan(worst) ? worst : f->abs;
    f->rel = diff > f->rel || isnan(diff) ? diff : f->rel;
    free(ref);
}

static void check_states(struct fixture *f, const char *tensor, const int *taps,
                         int n_taps)
{
    float *got = forward(f, taps, n_taps);

    if (got)
        compare(f, tensor, got,
                (int64_t)f->b * f->t * n_taps * cf_encoder_shape(f->model).hidden);
    free(got);
}

/* The matrix that turns hidden states into logits: its own, or the embedding's again. */
static const struct cf_view *head(const struct fixture *f)
{
    static const char *const tail[] = {"lm_head.weight", "embed_tokens.weight"};

    for (int t = 0; t < 2; t++)
        for (int i = 0; i < cf_ckpt_count(f->weights); i++)
            if (golden_ends(cf_ckpt_name(f->weights, i), tail[t]))
                return cf_ckpt_view(f->weights, i);
    return NULL;
}

static void check_logits(struct fixture *f, const char *tensor)
{
    const int h = cf_encoder_shape(f->model).hidden, v = cf_encoder_shape(f->model).vocab;
    const int last = cf_encoder_shape(f->model).layers;
    const struct cf_view *w = head(f);
    float *x = forward(f, &last, 1), *row = malloc((size_t)h * 4);
    float *logits = malloc((size_t)f->b * (size_t)v * 4);

    if (!w)
        fault(f, tensor, "no matrix for it");
    for (int i = 0; i < f->b && x && w; i++) {
        int at = f->t - 1;

        while (at > 0 && f->mask && !f->mask[i * f->t + at])
            at--;
        for (int j = 0; j < v; j++) {
            double sum = 0;

            (void)cf_view_floats(row, w, (int64_t)j * h, h, NULL);
            for (int k = 0; k < h; k++)
                sum += (double)row[k] * (double)x[((int64_t)i * f->t + at) * h + k];
            logits[(int64_t)i * v + j] = (float)sum;
        }
    }
    if (x && w)
        compare(f, tensor, logits, (int64_t)f->b * v);
    free(logits);
    free(row);
    free(x);
}

/* The place of each token among the real ones, which a generator may want: it follows
 * from the mask alone, so this holds the fixture's mask against it. */
static void check_places(struct fixture *f, const char *tensor)
{
    int64_t n;
    int32_t *place = ints(f->golden, tensor, &n), real = 0;

    for (int64_t i = 0; i < n; i++) {
        real = i % f->t ? real : 0;
        real += f->mask ? f->mask[i] : 1;
        if (place[i] != real - 1)
            fault(f, tensor, "does not follow from the mask");
    }
    free(place);
}

/* "concat_2_3_4" -> 2, 3, 4; 0 where it is not of that form. */
static int read_taps(const char *tensor, int *taps)
{
    const char *s = tensor + strlen("concat");
    char *end;
    int n = 0;

    if (!golden_starts(tensor, "concat_"))
        return 0;
    for (; *s == '_' && n < MAX_TAPS; s = end)
        taps[n++] = (int)strtol(s + 1, &end, 10);
    return *s ? 0 : n;
}

static void check_tensor(struct fixture *f, const char *tensor)
{
    static const char *const input[] = {"input_ids", "attention_mask", "system_ids"};
    int taps[MAX_TAPS], n = read_taps(tensor, taps);
    int layers = cf_encoder_shape(f->model).layers;

    for (int i = 0; i < 3; i++)
        if (strcmp(tensor, input[i]) == 0)
            return;
    if (n > 0) {
        check_states(f, tensor, taps, n);
        return;
    }
    taps[0] = layers;
    if (strcmp(tensor, "pre_norm") == 0)
        taps[0] = CF_ENC_PRE_NORM;
    else if (golden_starts(tensor, "hidden_states."))
        taps[0] = atoi(tensor + strlen("hidden_states."));
    else if (strcmp(tensor, "last_token_logits") == 0) {
        check_logits(f, tensor);
        return;
    } else if (golden_ends(tensor, "position_ids")) {
        check_places(f, tensor);
        return;
    } else if (strcmp(tensor, "last_hidden_state") != 0 &&
               strcmp(tensor, "context_tensor") != 0) {
        fault(f, tensor, "is no tensor that we know");
        return;
    }
    check_states(f, tensor, taps, 1);
}

static bool read_inputs(struct fixture *f)
{
    const struct cf_view *v = cf_ckpt_find(f->golden, "input_ids");
    int64_t n, m;
    int32_t *mask = ints(f->golden, "attention_mask", &m);

    f->ids = ints(f->golden, "input_ids", &n);
    f->system = ints(f->golden, "system_ids", &n);
    f->s = (int)n;
    if (!f->ids || v->ndim != 2) {
        fault(f, "input_ids", "not there as [B, T]");
        free(mask);
        return false;
    }
    f->b = (int)v->dim[0];
    f->t = (int)v->dim[1];
    if (mask && m == (int64_t)f->b * f->t) {
        f->mask = malloc((size_t)m + 1);
        for (int64_t i = 0; i < m; i++)
            f->mask[i] = mask[i] != 0;
    }
    free(mask);
    return true;
}

static void check_file(struct golden_dir *d, const char *name, struct cf_encoder *model,
                       const struct cf_ckpt *weights)
{
    struct fixture f = {.d = d, .name = name, .model = model, .weights = weights};
    struct cf_error err = {0};
    struct cf_ckpt *golden;
    char path[GOLDEN_PATH];

    golden_path(path, d, name);
    if (cf_ckpt_open(&golden, path, &err) != CF_OK) {
        golden_tell(d, name, NULL, 1, 0, err.msg);
        return;
    }
    f.golden = golden;
    if (read_inputs(&f))
        for (int i = 0; i < cf_ckpt_count(golden); i++)
            check_tensor(&f, cf_ckpt_name(golden, i));
    golden_tell(d, name, "max abs", f.abs, MAX_ABS, f.why[0] ? f.why : NULL);
    golden_tell(d, name, "relative L2", f.rel, REL_L2, f.why[0] ? f.why : NULL);
    free(f.ids);
    free(f.system);
    free(f.mask);
    cf_ckpt_close(golden);
}

static bool is_golden(const char *name)
{
    return golden_starts(name, "golden") && golden_ends(name, ".safetensors");
}

static void with_model(struct golden_dir *d, struct cf_dnn *dnn)
{
    struct cf_error err = {0};
    struct cf_encoder *model = NULL;
    struct cf_ckpt *weights = NULL;

    if (cf_encoder_open(&model, dnn, d->path, 0, CF_HOLD_PACK, &err) != CF_OK ||
        cf_ckpt_open(&weights, d->path, &err) != CF_OK)
        golden_tell(d, "config.json", "model", 1, 0, err.msg);
    else
        for (size_t i = 0; i < d->n; i++)
            if (is_golden(d->name[i]))
                check_file(d, d->name[i], model, weights);
    cf_ckpt_close(weights);
    cf_encoder_close(model);
}

void golden_encoder(struct golden_dir *d)
{
    enum cf_cpu level;
    struct cf_dnn *dnn = NULL;
    struct cf_error err = {0};
    size_t n = 0;

    for (size_t i = 0; i < d->n; i++)
        n += is_golden(d->name[i]);
    if (n == 0)
        return;
    if (cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err) != CF_OK ||
        cf_dnn_open(&dnn, level, d->g->threads > 0 ? d->g->threads : 1, &err) != CF_OK)
        golden_tell(d, "config.json", "engine", 1, 0, err.msg);
    else
        with_model(d, dnn);
    cf_dnn_close(dnn);
}

/* ---- T5's buckets: bidir_BUCKETS_MAXDISTANCE [n] of relative_position [n] ---- */

void golden_buckets(struct golden_dir *d, const char *name)
{
    struct golden_count count = {0};
    struct cf_error err = {0};
    struct cf_ckpt *ckpt;
    char path[GOLDEN_PATH], end;
    int32_t *place = NULL;
    int64_t n = 0, m;
    int buckets, most;

    golden_path(path, d, name);
    if (cf_ckpt_open(&ckpt, path, &err) != CF_OK)
        golden_wrong(&count, "%s", err.msg);
    else if (!(place = ints(ckpt, "relative_position", &n)))
        golden_wrong(&count, "no relative_position");
    for (int t = 0; place && t < cf_ckpt_count(ckpt); t++) {
        const char *tensor = cf_ckpt_name(ckpt, t);
        int32_t *want;

        if (strcmp(tensor, "relative_position") == 0)
            continue;
        want = ints(ckpt, tensor, &m);
        if (sscanf(tensor, "bidir_%d_%d%c", &buckets, &most, &end) != 2 || m != n)
            golden_wrong(&count, "%s: no buckets of the positions", tensor);
        for (int64_t i = 0; i < n && m == n && !count.wrong; i++, count.total++)
            if (cf_t5_bucket(place[i], buckets, most) != want[i])
                golden_wrong(&count, "%s: distance %d, expected %d", tensor,
                             (int)place[i], (int)want[i]);
        free(want);
    }
    golden_tell_count(d, name, NULL, &count);
    free(place);
    cf_ckpt_close(ckpt);
}

/* ---- configs ---- */

static void expect(struct golden_count *c, const json_t *e, const char *name,
                   const char *key, double got)
{
    const json_t *v = json_object_get(e, key);
    double want = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);

    if (v && want != got)
        golden_wrong(c, "%s: %s is %g, expected %g", name, key, got, want);
}

/* A config read by the family that it names. */
struct config {
    enum cf_family family;
    struct cf_qwen2_config qwen2;
    struct cf_t5_config t5;
};

static enum cf_status read_config(struct config *c, const json_t *json, const char *name,
                                  struct cf_error *err)
{
    enum cf_status st = cf_encoder_family(&c->family, json, name, err);

    if (st != CF_OK)
        return st;
    return c->family == CF_FAMILY_T5 ? cf_t5_config_read(&c->t5, json, name, err)
                                     : cf_qwen2_config_read(&c->qwen2, json, name, err);
}

static void expect_params(struct golden_count *count, const json_t *e, const char *name,
                          const struct cf_qwen2_config *c)
{
    const json_t *p = json_object_get(e, "params");
    double h = c->hidden, q = (double)c->heads * c->head_dim;
    double kv = (double)c->kv_heads * c->head_dim, in = c->intermediate;
    double layer = 2 * h + 2 * h * q + 2 * h * kv + 3 * h * in +
                   (c->qkv_bias ? q + 2 * kv : 0) + (c->qk_norm ? 2 * c->head_dim : 0);

    expect(count, p, name, "embed", c->vocab * h);
    expect(count, p, name, "body", layer * c->layers + h);
    expect(count, p, name, "head", c->tied ? 0 : c->vocab * h);
}

static void check_qwen2(struct golden_count *count, const json_t *e, const char *name,
                        const struct cf_qwen2_config *c)
{
    const char *kind = json_string_value(json_object_get(e, "kind"));

    if (!kind || strcmp(kind, c->qwen3 ? "qwen3" : "qwen2") != 0)
        golden_wrong(count, "%s: taken for another kind", name);
    expect(count, e, name, "hidden", c->hidden);
    expect(count, e, name, "layers", c->layers);
    expect(count, e, name, "heads", c->heads);
    expect(count, e, name, "kv_heads", c->kv_heads);
    expect(count, e, name, "head_dim", c->head_dim);
    expect(count, e, name, "intermediate", c->intermediate);
    expect(count, e, name, "vocab", c->vocab);
    expect(count, e, name, "tied", c->tied);
    expect(count, e, name, "qkv_bias", c->qkv_bias);
    expect(count, e, name, "qk_norm", c->qk_norm);
    expect(count, e, name, "rope_theta", c->rope_theta);
    expect(count, e, name, "eps", c->eps);
    expect_params(count, e, name, c);
}

static void check_t5(struct golden_count *count, const json_t *e, const char *name,
                     const struct cf_t5_config *c)
{
    const char *kind = json_string_value(json_object_get(e, "kind"));
    const json_t *p = json_object_get(e, "params");
    double d = c->hidden, q = (double)c->heads * c->head_dim, in = c->intermediate;

    if (!kind || strcmp(kind, "t5") != 0)
        golden_wrong(count, "%s: taken for another kind", name);
    expect(count, e, name, "hidden", c->hidden);
    expect(count, e, name, "layers", c->layers);
    expect(count, e, name, "heads", c->heads);
    expect(count, e, name, "head_dim", c->head_dim);
    expect(count, e, name, "intermediate", c->intermediate);
    expect(count, e, name, "vocab", c->vocab);
    expect(count, e, name, "buckets", c->buckets);
    expect(count, e, name, "max_distance", c->max_distance);
    expect(count, e, name, "eps", c->eps);
    expect(count, p, name, "embed", c->vocab * d);
    expect(count, p, name, "body",
           (2 * d + 4 * d * q + 3 * d * in) * c->layers + d +
               (double)c->buckets * c->heads);
    expect(count, p, name, "head", 0);
}

static void check_good(struct golden_count *count, const json_t *one)
{
    const char *name = json_string_value(json_object_get(one, "name"));
    const json_t *e = json_object_get(one, "expect");
    struct cf_error err = {0};
    struct config c;

    count->total++;
    name = name ? name : "good";
    if (read_config(&c, json_object_get(one, "config"), name, &err) != CF_OK)
        golden_wrong(count, "%s", err.msg);
    else if (c.family == CF_FAMILY_T5)
        check_t5(count, e, name, &c.t5);
    else
        check_qwen2(count, e, name, &c.qwen2);
}

void golden_configs(struct golden_dir *d, const char *name, const json_t *cases)
{
    struct golden_count count = {0};
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(cases, "good"), i, one)
    {
        check_good(&count, one);
    }
    json_array_foreach(json_object_get(cases, "refuse"), i, one)
    {
        const char *why = json_string_value(json_object_get(one, "why"));
        struct cf_error err = {0};
        struct config c;

        count.total++;
        if (read_config(&c, json_object_get(one, "config"), "case", &err) == CF_OK)
            golden_wrong(&count, "taken: %s", why ? why : "?");
    }
    golden_tell_count(d, name, NULL, &count);
}
