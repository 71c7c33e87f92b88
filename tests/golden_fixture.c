#include "tests/golden_fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

/* ---- finding ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n > m && strcmp(s + n - m, tail) == 0;
}

int cf_fixture_walk(const char *dir,
                    int (*each)(void *ctx, const char *dir, const char *base,
                                json_t *json),
                    void *ctx)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, by_name), found = 0;

    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        char path[2304];
        struct stat st;
        json_t *json;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        if (name[0] == '.' || stat(path, &st) != 0) {
            /* nothing */
        } else if (S_ISDIR(st.st_mode)) {
            found += cf_fixture_walk(path, each, ctx);
        } else if (ends(name, ".json") &&
                   (json = json_load_file(path, 0, NULL)) != NULL) {
            if (json_is_string(json_object_get(json, "kind")))
                found += each(ctx, dir, name, json) != 0;
            json_decref(json);
        }
        free(list[i]);
    }
    free(list);
    return found;
}

/* ---- one fixture ---- */

void cf_fixture_fail(struct cf_fixture *f, const char *fmt, ...)
{
    va_list ap;

    if (f->why[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(f->why, sizeof(f->why), fmt, ap);
    va_end(ap);
}

void cf_fixture_open(struct cf_fixture *f, const char *dir, const char *base,
                     const json_t *json, int threads)
{
    const char *file = json_string_value(json_object_get(json, "file"));
    const char *name = json_string_value(json_object_get(json, "name"));
    enum cf_cpu level;
    char path[2560];

    memset(f, 0, sizeof(*f));
    f->json = json;
    f->tolerance = 1e-6; /* of nothing compared */
    snprintf(f->dir, sizeof(f->dir), "%s", dir);
    snprintf(f->name, sizeof(f->name), "%.*s", (int)(strlen(base) - strlen(".json")),
             base);
    if (file != NULL)
        snprintf(path, sizeof(path), "%s/%s", dir, file);
    else
        snprintf(path, sizeof(path), "%s/%s.safetensors", dir, f->name);
    if (name != NULL)
        snprintf(f->name, sizeof(f->name), "%s", name);
    if (cf_cpu_parse(&level, getenv("CFGEN_CPU"), &f->err) != CF_OK ||
        cf_dnn_open(&f->dnn, level, threads, &f->err) != CF_OK ||
        cf_ckpt_open(&f->file, path, &f->err) != CF_OK) {
        cf_fixture_fail(f, "%s", f->err.msg);
        return;
    }
    f->checked = cf_calloc((size_t)cf_ckpt_count(f->file) + 1, 1, NULL);
    if (f->checked == NULL)
        abort();
}

void cf_fixture_close(struct cf_fixture *f, struct cf_golden *g)
{
    char title[480];

    for (int i = 0; f->checked != NULL && i < cf_ckpt_count(f->file); i++)
        if (!f->checked[i])
            cf_fixture_fail(f, "%s: recorded, but nothing was compared with it",
                            cf_ckpt_name(f->file, i));
    snprintf(title, sizeof(title), "%s%s%s%s", f->name, f->worst[0] ? " [" : "", f->worst,
             f->worst[0] ? "]" : "");
    cf_golden_report(g, title, f->error, f->tolerance, f->why[0] ? f->why : NULL);
    cf_ckpt_close(f->file);
    cf_dnn_close(f->dnn);
    cf_free(f->checked);
}

static const struct cf_view *look_up(struct cf_fixture *f, const char *name)
{
    for (int i = 0; f->file != NULL && i < cf_ckpt_count(f->file); i++)
        if (strcmp(cf_ckpt_name(f->file, i), name) == 0) {
            f->checked[i] = 1;
            return cf_ckpt_find(f->file, name);
        }
    return NULL;
}

const struct cf_view *cf_fixture_find(struct cf_fixture *f, const char *fmt, ...)
{
    char name[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    return look_up(f, name);
}

const struct cf_view *cf_fixture_need(struct cf_fixture *f, int ndim, const int64_t *dim,
                                      const char *fmt, ...)
{
    const struct cf_view *v;
    char name[160], is[96];
    va_list ap;
    int bad;

    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    v = look_up(f, name);
    if (v == NULL) {
        cf_fixture_fail(f, "%s: missing", name);
        return NULL;
    }
    bad = v->ndim != ndim;
    for (int i = 0; !bad && i < ndim; i++)
        bad = dim[i] != -1 && v->dim[i] != dim[i];
    if (!bad)
        return v;
    cf_fixture_fail(f, "%s: unexpected shape %s", name,
                    cf_shape_str(is, sizeof(is), v->ndim, v->dim));
    return NULL;
}

float *cf_fixture_floats(struct cf_fixture *f, const struct cf_view *v)
{
    float *p;

    if (v == NULL)
        return NULL;
    p = cf_alloc((size_t)cf_view_count(v), sizeof(float), &f->err);
    if (p == NULL || cf_view_floats(p, v, 0, cf_view_count(v), &f->err) != CF_OK) {
        cf_fixture_fail(f, "%s", f->err.msg);
        cf_free(p);
        return NULL;
    }
    return p;
}

/* ---- comparing ---- */

static void note(struct cf_fixture *f, const char *name, double error, double tolerance)
{
    double ratio = tolerance > 0.0 ? error / tolerance : error > 0.0 ? INFINITY : 0.0;

    if (isnan(error))
        ratio = error = INFINITY;
    if (f->worst[0] != '\0' && ratio <= f->ratio)
        return;
    f->ratio = ratio;
    f->error = error;
    f->tolerance = tolerance;
    snprintf(f->worst, sizeof(f->worst), "%s", name);
}

void cf_fixture_floats_are_near(struct cf_fixture *f, const char *name, const float *got,
                                const struct cf_view *want, double tolerance)
{
    float *w = cf_fixture_floats(f, want);
    double off = 0.0, all = 0.0;

    for (int64_t i = 0; w != NULL && i < cf_view_count(want); i++) {
        off += ((double)got[i] - w[i]) * ((double)got[i] - w[i]);
        all += (double)w[i] * w[i];
    }
    if (w != NULL)
        note(f, name, sqrt(off / all), tolerance);
    cf_free(w);
}

void cf_fixture_floats_are(struct cf_fixture *f, const char *name, const float *got,
                           const struct cf_view *want, int64_t start, int64_t n,
                           double tolerance)
{
    double worst = 0.0;

    if (want == NULL)
        return;
    for (int64_t i = 0; i < n; i++) {
        double off;
        float w;

        if (cf_view_floats(&w, want, start + i, 1, &f->err) != CF_OK) {
            cf_fixture_fail(f, "%s: %s", name, f->err.msg);
            return;
        }
        off = fabs((double)got[i] - (double)w);
        worst = isnan(off) || off > worst ? off : worst;
        if (isnan(worst))
            break;
    }
    note(f, name, worst, tolerance);
}

static int is_bytes(struct cf_fixture *f, const char *name, const struct cf_view *want,
                    int64_t start, int64_t n)
{
    if (want == NULL)
        return 0;
    if (want->dtype == CF_U8 && start >= 0 && start + n <= cf_view_count(want))
        return 1;
    cf_fixture_fail(f, "%s: %s of %lld elements, expected U8", name,
                    cf_dtype_name(want->dtype), (long long)cf_view_count(want));
    return 0;
}

void cf_fixture_bytes_are(struct cf_fixture *f, const char *name, const uint8_t *got,
                          const struct cf_view *want, int64_t start, int64_t n)
{
    int64_t wrong = 0;

    if (!is_bytes(f, name, want, start, n))
        return;
    for (int64_t i = 0; i < n; i++)
        wrong += got[i] != ((const uint8_t *)want->data)[start + i];
    if (wrong > 0)
        cf_fixture_fail(f, "%s: %lld of %lld bits differ", name, (long long)wrong,
                        (long long)n);
    note(f, name, (double)wrong, 0.0);
}

void cf_fixture_pixels_are(struct cf_fixture *f, const char *name, const uint8_t *got,
                           const struct cf_view *want, int64_t start, int64_t n)
{
    int64_t wrong = 0;
    int most = 0;

    if (!is_bytes(f, name, want, start, n))
        return;
    for (int64_t i = 0; i < n; i++) {
        int off = abs(got[i] - ((const uint8_t *)want->data)[start + i]);

        wrong += off != 0;
        most = off > most ? off : most;
    }
    if (most > 1)
        cf_fixture_fail(f, "%s: a value is off by %d", name, most);
    note(f, name, (double)wrong / (double)n, 1e-3);
}

double cf_fixture_tolerance(struct cf_fixture *f, const char *name)
{
    static const struct {
        const char *name;
        double tolerance;
    } table[] = {
        {"text_norm", 1e-5}, {"cond", 1e-5}, {"ca_kv", 1e-5},
        {"ada6", 1e-5},      {"q", 2e-4},    {"q_rope", 2e-4},
        {"k_rope", 5e-6},    {"tok", 5e-6},  {"summed_codes", 5e-6},
        {"emb", 5e-5},       {"out", 5e-5},  {"sa", 5e-5},
        {"ca", 5e-5},        {"ffn", 5e-5},  {"head_norm", 5e-5},
        {"logits", 2e-4},    {"head", 2e-4},
    };
    const char *leaf = strrchr(name, '.');

    leaf = leaf != NULL ? leaf + 1 : name;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(leaf, table[i].name) == 0)
            return table[i].tolerance;
    cf_fixture_fail(f, "%s: no tolerance is known for it", name);
    return 0.0;
}

/* ---- pixels: recorded whole, or every k-th, as floats and bytes ---- */

/* "img_f32" or "img_f32_strideK": K, or 0 for another name. */
static int stride_of(const char *name, const char *stem)
{
    size_t n = strlen(stem);
    int k = 0;

    if (strncmp(name, stem, n) != 0)
        return 0;
    if (name[n] == '\0')
        return 1;
    return sscanf(name + n, "_stride%d", &k) == 1 && k > 0 ? k : 0;
}

static int same(const struct cf_view *v, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return v->ndim == 4 && v->dim[0] == a && v->dim[1] == b && v->dim[2] == c &&
           v->dim[3] == d;
}

/* planes [3, h, w] of one image against one recorded tensor */
static void one_image(struct cf_fixture_probe *p, const char *name, const float *planes,
                      int h, int w, int k, int bytes)
{
    const struct cf_view *v = cf_fixture_find(p->f, "%s", name);
    int64_t oh = (h + k - 1) / k, ow = (w + k - 1) / k, n = oh * ow * 3;
    int fits = bytes ? same(v, p->batch, oh, ow, 3) : same(v, p->batch, 3, oh, ow);
    struct cf_image all = {NULL, w, h, 3 * (size_t)w};
    float *floats = cf_alloc((size_t)n, sizeof(float), NULL);
    float *pixels = cf_alloc((size_t)h * (size_t)w * 3, sizeof(float), NULL);
    uint8_t *rgb = cf_alloc((size_t)n, 1, NULL);

    all.rgb = cf_alloc((size_t)h * (size_t)w * 3, 1, NULL);
    if (!fits)
        cf_fixture_fail(p->f, "%s: unexpected shape", name);
    for (int64_t i = 0; i < (int64_t)h * w; i++)
        for (int c = 0; c < 3; c++)
            pixels[i * 3 + c] = planes[(int64_t)c * h * w + i];
    cf_vae_to_rgb(&all, pixels);
    for (int64_t y = 0; y < oh; y++)
        for (int64_t x = 0; x < ow; x++)
            for (int c = 0; c < 3; c++) {
                int64_t at = (y * k * w + x * k) * 3 + c;

                floats[(c * oh + y) * ow + x] = pixels[at];
                rgb[(y * ow + x) * 3 + c] = all.rgb[at];
            }
    if (fits && bytes)
        cf_fixture_pixels_are(p->f, name, rgb, v, p->image * n, n);
    else if (fits)
        cf_fixture_floats_are(p->f, name, floats, v, p->image * n, n, 3e-4);
    cf_free(floats);
    cf_free(pixels);
    cf_free(rgb);
    cf_free(all.rgb);
}

static void see_image(struct cf_fixture_probe *p, const float *planes, const int64_t *dim)
{
    for (int i = 0; i < cf_ckpt_count(p->f->file); i++) {
        const char *name = cf_ckpt_name(p->f->file, i);
        int floats = stride_of(name, "img_f32"), bytes = stride_of(name, "img_rgb_u8");

        if (floats || bytes)
            one_image(p, name, planes, (int)dim[2], (int)dim[3], floats ? floats : bytes,
                      bytes != 0);
    }
}

void cf_fixture_see(void *ctx, const char *name, const float *v, const uint8_t *u8,
                    int ndim, const int64_t *dim)
{
    struct cf_fixture_probe *p = ctx;
    const struct cf_view *want;
    int64_t n = 1;
    int fits;

    if (strcmp(name, "img") == 0) {
        see_image(p, v, dim);
        return;
    }
    if ((want = cf_fixture_find(p->f, "%s", name)) == NULL)
        return;
    fits = want->ndim == ndim;
    for (int i = 0; i < ndim; i++) {
        fits = fits && want->dim[i] == dim[i];
        n *= dim[i];
    }
    if (!fits) {
        char is[96], was[96];

        cf_fixture_fail(p->f, "%s: shape %s, recorded %s", name,
                        cf_shape_str(is, sizeof(is), ndim, dim),
                        cf_shape_str(was, sizeof(was), want->ndim, want->dim));
    } else if (u8 != NULL) {
        cf_fixture_bytes_are(p->f, name, u8, want, 0, n);
    } else {
        cf_fixture_floats_are(p->f, name, v, want, 0, n,
                              cf_fixture_tolerance(p->f, name));
    }
}

/* ---- JSON ---- */

int cf_fixture_int(struct cf_fixture *f, const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    if (json_is_boolean(v))
        return json_is_true(v);
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > 1 << 24)
        cf_fixture_fail(f, "json: %s is missing or no sensible integer", key);
    return (int)json_integer_value(v);
}

int cf_fixture_schedule(struct cf_fixture *f, const json_t *list, struct cf_scale *scale)
{
    size_t n = json_array_size(list);

    if (n < 1 || n > CF_MAX_SCALES) {
        cf_fixture_fail(f, "json: a schedule of %zu scales", n);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_array_get(list, i);
        size_t m = json_array_size(s);

        scale[i].h = (int)json_integer_value(json_array_get(s, m - 2));
        scale[i].w = (int)json_integer_value(json_array_get(s, m - 1));
        if (m < 2 || scale[i].h < 1 || scale[i].w < 1) {
            cf_fixture_fail(f, "json: scale %zu of the schedule is no grid", i);
            return 0;
        }
    }
    return (int)n;
}

json_t *cf_fixture_other(struct cf_fixture *f, const char *key, char path[2304])
{
    const char *name = json_string_value(json_object_get(f->json, key)), *file;
    json_error_t where;
    json_t *json;

    if (name == NULL) {
        cf_fixture_fail(f, "json: %s is missing", key);
        return NULL;
    }
    snprintf(path, 2304, "%s/%s.json", f->dir, name);
    if ((json = json_load_file(path, 0, &where)) == NULL) {
        cf_fixture_fail(f, "%s: %s", path, where.text);
        return NULL;
    }
    file = json_string_value(json_object_get(json, "file"));
    if (file != NULL)
        snprintf(path, 2304, "%s/%s", f->dir, file);
    else
        snprintf(path, 2304, "%s/%s.safetensors", f->dir, name);
    return json;
}

json_t *cf_fixture_vae_json(struct cf_fixture *f, const json_t *config)
{
    return json_pack("{s:i, s:O, s:i, s:i, s:i}", "base_channels",
                     cf_fixture_int(f, config, "base_ch"), "ch_mult",
                     json_object_get(config, "ch_mult"), "num_res_blocks",
                     cf_fixture_int(f, config, "num_res_blocks"), "bits",
                     cf_fixture_int(f, config, "codebook_dim"), "patch",
                     cf_fixture_int(f, config, "patch_size"));
}

static int64_t dim_of(struct cf_fixture *f, const struct cf_ckpt *w, const char *a,
                      const char *b, int i)
{
    const struct cf_view *v = cf_ckpt_find(w, a);

    if (v == NULL)
        v = cf_ckpt_find(w, b);
    if (v != NULL && i < v->ndim)
        return v->dim[i];
    cf_fixture_fail(f, "%s: missing", a);
    return 1;
}

json_t *cf_fixture_infinity_json(struct cf_fixture *f, const json_t *config,
                                 const struct cf_ckpt *w)
{
    static const struct {
        const char *key;
        int value;
    } only[] = {{"rope2d_each_sa_layer", 1},
                {"rope2d_normalized_by_hw", 2},
                {"shared_aln", 1},
                {"cos_attn", 1},
                {"rms_norm", 0},
                {"swiglu", 0},
                {"use_bit_label", 1},
                {"max_scale_mul", 100}};
    const json_t *eps = json_object_get(config, "norm_eps");

    for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++)
        if (json_object_get(config, only[i].key) != NULL &&
            cf_fixture_int(f, config, only[i].key) != only[i].value)
            cf_fixture_fail(f, "json: %s other than %d is no released kind of model",
                            only[i].key, only[i].value);
    return json_pack("{s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:I, s:i, s:b, s:b, s:f}",
                     "embed_dim", cf_fixture_int(f, config, "embed_dim"), "depth",
                     cf_fixture_int(f, config, "depth"), "num_heads",
                     cf_fixture_int(f, config, "num_heads"), "mlp_hidden",
                     (json_int_t)dim_of(f, w, "block_chunks.0.module.0.ffn.fc1.weight",
                                        "blocks.0.ffn.fc1.weight", 0),
                     "bits", cf_fixture_int(f, config, "vae_codebook_dim"), "text_width",
                     cf_fixture_int(f, config, "text_channels"), "text_maxlen",
                     cf_fixture_int(f, config, "text_maxlen"), "pool_heads",
                     (json_int_t)dim_of(f, w, "text_proj_for_sos.ca.mat_q",
                                        "text_proj_for_sos.ca.mat_q", 1),
                     "block_chunks",
                     json_object_get(config, "block_chunks") == NULL
                         ? 1
                         : cf_fixture_int(f, config, "block_chunks"),
                     "spatial_patchify",
                     cf_fixture_int(f, config, "apply_spatial_patchify"),
                     "level_embed_first_block_only",
                     cf_fixture_int(f, config, "add_lvl_embeding_only_first_block"),
                     "norm_eps", eps != NULL ? json_number_value(eps) : 1e-6);
}
