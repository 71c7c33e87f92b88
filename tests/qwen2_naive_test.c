/* qwen2_naive_test.c - the forward as the paper has it, in double, loop by loop: the
 * definition that the fast one is held against, for shapes that no fixture has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/textenc_paths.h"
#include "textenc/qwen2.h"
#include "weights/checkpoint.h"

/* A model of random weights, as files. */
struct shape {
    int qwen3, h, layers, heads, kv, hd, in, vocab;
    double theta, eps;
};

struct files {
    char config[TEST_PATH], weights[TEST_PATH];
};

struct writer {
    json_t *header;
    float *data;
    size_t n;
};

static void add_tensor(struct writer *w, const char *name, int rows, int cols)
{
    size_t n = (size_t)rows * (size_t)(cols ? cols : 1);
    uint32_t seed = (uint32_t)json_object_size(w->header);
    json_t *shape = cols ? json_pack("[i,i]", rows, cols) : json_pack("[i]", rows);

    json_object_set_new(w->header, name,
                        json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape,
                                  "data_offsets", (json_int_t)(w->n * 4),
                                  (json_int_t)((w->n + n) * 4)));
    w->data = realloc(w->data, (w->n + n) * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float u = cf_rng_uniform(seed, CF_RNG_TEST, 0, (uint32_t)i, 0) - 0.5f;

        w->data[w->n + i] =
            strstr(name, "norm") ? 1 + u : u * 2 / sqrtf((float)(cols + 1));
    }
    w->n += n;
}

static void write_model(struct files *f, const struct shape *s)
{
    static const char *const lin[] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    const int q = s->heads * s->hd, kv = s->kv * s->hd;
    const int dim[7][2] = {{q, s->h},     {kv, s->h},    {kv, s->h},   {s->h, q},
                           {s->in, s->h}, {s->in, s->h}, {s->h, s->in}};
    struct writer w = {json_object(), NULL, 0};
    char name[128], *text;
    uint64_t len;
    json_t *c;
    FILE *out;

    add_tensor(&w, "language_model.model.embed_tokens.weight", s->vocab, s->h);
    add_tensor(&w, "language_model.model.norm.weight", s->h, 0);
    for (int i = 0; i < s->layers; i++) {
        const char *pre = "language_model.model.layers";

        for (int l = 0; l < 7; l++) {
            snprintf(name, sizeof(name), "%s.%d.%s.weight", pre, i, lin[l]);
            add_tensor(&w, name, dim[l][0], dim[l][1]);
            snprintf(name, sizeof(name), "%s.%d.%s.bias", pre, i, lin[l]);
            if (l < 3 && !s->qwen3)
                add_tensor(&w, name, dim[l][0], 0);
        }
        snprintf(name, sizeof(name), "%s.%d.input_layernorm.weight", pre, i);
        add_tensor(&w, name, s->h, 0);
        snprintf(name, sizeof(name), "%s.%d.post_attention_layernorm.weight", pre, i);
        add_tensor(&w, name, s->h, 0);
        snprintf(name, sizeof(name), "%s.%d.self_attn.q_norm.weight", pre, i);
        if (s->qwen3)
            add_tensor(&w, name, s->hd, 0);
        snprintf(name, sizeof(name), "%s.%d.self_attn.k_norm.weight", pre, i);
        if (s->qwen3)
            add_tensor(&w, name, s->hd, 0);
    }
    add_tensor(&w, "visual.patch_embed.proj.weight", 3, 3); /* to be skipped */
    text = json_dumps(w.header, JSON_COMPACT);
    len = strlen(text);
    out = fopen(in_build(f->weights, "qwen2_naive.tmp.safetensors"), "wb");
    assert_non_null(out);
    fwrite(&len, 8, 1, out);
    fwrite(text, 1, len, out);
    fwrite(w.data, 4, w.n, out);
    assert_int_equal(fclose(out), 0);
    c = json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:f,s:f}", "model_type",
                  s->qwen3 ? "qwen3" : "qwen2", "hidden_size", s->h, "num_hidden_layers",
                  s->layers, "num_attention_heads", s->heads, "num_key_value_heads",
                  s->kv, "head_dim", s->hd, "intermediate_size", s->in, "vocab_size",
                  s->vocab, "hidden_act", "silu", "rms_norm_eps", s->eps, "rope_theta",
                  s->theta);
    assert_int_equal(json_dump_file(c, in_build(f->config, "qwen2_naive.tmp.json"), 0),
                     0);
    json_decref(c);
    json_decref(w.header);
    free(w.data);
    free(text);
}

/* ---- the definition ---- */

static const float *tensor(const struct cf_ckpt *ckpt, int layer, const char *name)
{
    char full[160];
    const struct cf_view *v;

    if (layer < 0)
        snprintf(full, sizeof(full), "language_model.model.%s", name);
    else
        snprintf(full, sizeof(full), "language_model.model.layers.%d.%s", layer, name);
    v = cf_ckpt_find(ckpt, full);
    return v ? v->data : NULL;
}

static float at(const float *p, size_t i)
{
    float f;

    memcpy(&f, (const char *)p + 4 * i, 4); /* files need not align */
    return f;
}

/* y [n] = W [n, k] x + b */
static void linear(double *y, const double *x, const float *w, const float *b, int n,
                   int k)
{
    for (int i = 0; i < n; i++) {
        y[i] = b ? at(b, (size_t)i) : 0;
        for (int j = 0; j < k; j++)
            y[i] += at(w, (size_t)i * (size_t)k + (size_t)j) * x[j];
    }
}

static void rms(double *y, const double *x, const float *w, int n, double eps)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + eps) * at(w, (size_t)i);
}

static void rotate(double *x, int hd, int pos, double theta)
{
    for (int j = 0; j < hd / 2; j++) {
        double angle = pos * pow(theta, -2.0 * j / hd), a = x[j], b = x[j + hd / 2];

        x[j] = a * cos(angle) - b * sin(angle);
        x[j + hd / 2] = b * cos(angle) + a * sin(angle);
    }
}

enum { T = 23, WIDE = 128 };

static void attend(double *out, double (*k)[WIDE], double (*v)[WIDE], const double *q,
                   int head, int t, const struct shape *s)
{
    const int g = head / (s->heads / s->kv) * s->hd;
    double p[T], sum = 0, most = -1e300;

    for (int j = 0; j <= t; j++) {
        p[j] = 0;
        for (int c = 0; c < s->hd; c++)
            p[j] += q[head * s->hd + c] * k[j][g + c] / sqrt(s->hd);
        most = p[j] > most ? p[j] : most;
    }
    for (int j = 0; j <= t; j++)
        sum += p[j] = exp(p[j] - most);
    for (int c = 0; c < s->hd; c++) {
        out[head * s->hd + c] = 0;
        for (int j = 0; j <= t; j++)
            out[head * s->hd + c] += p[j] / sum * v[j][g + c];
    }
}

static void naive(double (*x)[WIDE], const int32_t *ids, const struct cf_ckpt *w,
                  const struct shape *s)
{
    static double k[T][WIDE], v[T][WIDE];
    double h[WIDE], q[WIDE], a[WIDE], gate[WIDE], up[WIDE];

    for (int t = 0; t < T; t++)
        for (int c = 0; c < s->h; c++)
            x[t][c] =
                at(tensor(w, -1, "embed_tokens.weight"), (size_t)(ids[t] * s->h + c));
    for (int l = 0; l < s->layers; l++)
        for (int t = 0; t < T; t++) {
            rms(h, x[t], tensor(w, l, "input_layernorm.weight"), s->h, s->eps);
            linear(q, h, tensor(w, l, "self_attn.q_proj.weight"),
                   tensor(w, l, "self_attn.q_proj.bias"), s->heads * s->hd, s->h);
            linear(k[t], h, tensor(w, l, "self_attn.k_proj.weight"),
                   tensor(w, l, "self_attn.k_proj.bias"), s->kv * s->hd, s->h);
            linear(v[t], h, tensor(w, l, "self_attn.v_proj.weight"),
                   tensor(w, l, "self_attn.v_proj.bias"), s->kv * s->hd, s->h);
            for (int i = 0; i < s->heads + s->kv; i++) {
                double *one =
                    i < s->heads ? q + i * s->hd : k[t] + (i - s->heads) * s->hd;

                if (s->qwen3)
                    rms(one, one,
                        tensor(w, l,
                               i < s->heads ? "self_attn.q_norm.weight"
                                            : "self_attn.k_norm.weight"),
                        s->hd, s->eps);
                rotate(one, s->hd, t, s->theta);
            }
            for (int i = 0; i < s->heads; i++)
                attend(a, k, v, q, i, t, s);
            linear(h, a, tensor(w, l, "self_attn.o_proj.weight"), NULL, s->h,
                   s->heads * s->hd);
            for (int c = 0; c < s->h; c++)
                x[t][c] += h[c];
            rms(h, x[t], tensor(w, l, "post_attention_layernorm.weight"), s->h, s->eps);
            linear(gate, h, tensor(w, l, "mlp.gate_proj.weight"), NULL, s->in, s->h);
            linear(up, h, tensor(w, l, "mlp.up_proj.weight"), NULL, s->in, s->h);
            for (int c = 0; c < s->in; c++)
                gate[c] = gate[c] / (1 + exp(-gate[c])) * up[c];
            linear(h, gate, tensor(w, l, "mlp.down_proj.weight"), NULL, s->h, s->in);
            for (int c = 0; c < s->h; c++)
                x[t][c] += h[c];
        }
    for (int t = 0; t < T; t++)
        rms(x[t], x[t], tensor(w, -1, "norm.weight"), s->h, s->eps);
}

/* ---- the comparison ---- */

static void compare(const struct shape *s)
{
    static double want[T][WIDE];
    static float whole[T * WIDE], tail[T * WIDE];
    enum { HEAD = 9 };
    struct cf_enc_seq seq, rest;
    struct cf_qwen2_prefix *prefix;
    struct cf_error err = {0};
    struct cf_qwen2 *m;
    struct cf_ckpt *ckpt;
    struct cf_dnn *dnn;
    enum cf_cpu level;
    struct files f;
    int32_t ids[T];

    write_model(&f, s);
    for (int i = 0; i < T; i++)
        ids[i] =
            (int32_t)(cf_rng_u32(8, CF_RNG_TEST, 0, (uint32_t)i, 0) % (uint32_t)s->vocab);
    assert_int_equal(cf_cpu_parse(&level, getenv("CFGEN_CPU"), &err), CF_OK);
    assert_int_equal(cf_dnn_open(&dnn, level, 2, &err), CF_OK);
    if (cf_qwen2_open_pair(&m, dnn, f.config, f.weights, 0, CF_HOLD_PACK, &err) != CF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cf_ckpt_open(&ckpt, f.weights, &err), CF_OK);
    naive(want, ids, ckpt, s);
    seq = (struct cf_enc_seq){ids, NULL, T};
    rest = (struct cf_enc_seq){ids + HEAD, NULL, T - HEAD};
    assert_int_equal(cf_qwen2_forward(m, NULL, &seq, 1, &s->layers, 1, whole, &err),
                     CF_OK);
    for (int t = 0; t < T; t++)
        for (int c = 0; c < s->h; c++)
            assert_true(fabs((double)whole[t * s->h + c] - want[t][c]) < 2e-5);
    assert_int_equal(cf_qwen2_prefix_open(&prefix, m, ids, HEAD, &err), CF_OK);
    assert_int_equal(cf_qwen2_forward(m, prefix, &rest, 1, &s->layers, 1, tail, &err),
                     CF_OK);
    assert_memory_equal(tail, whole + HEAD * s->h,
                        (size_t)(T - HEAD) * (size_t)s->h * sizeof(float));
    cf_qwen2_prefix_close(prefix);
    cf_ckpt_close(ckpt);
    cf_qwen2_close(m);
    cf_dnn_close(dnn);
    unlink(f.config);
    unlink(f.weights);
}

static void heads_of_six_are_those_of_the_definition(void **state)
{
    const struct shape s = {0, 24, 2, 4, 2, 6, 36, 32, 1e4, 1e-6};

    (void)state;
    compare(&s);
}

static void heads_of_two_with_norms_are_those_of_the_definition(void **state)
{
    const struct shape s = {1, 20, 3, 6, 3, 2, 28, 19, 1e6, 1e-5};

    (void)state;
    compare(&s);
}

static void odd_widths_are_those_of_the_definition(void **state)
{
    const struct shape s = {1, 33, 2, 3, 1, 12, 51, 40, 500, 1e-6};

    (void)state;
    compare(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_six_are_those_of_the_definition),
        cmocka_unit_test(heads_of_two_with_norms_are_those_of_the_definition),
        cmocka_unit_test(odd_widths_are_those_of_the_definition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
