/* synth.c - a model of any size with random weights, for timing.
 *
 * Speed does not depend on what the weights mean, only on their shapes; but numbers that
 * overflow or die are slower or faster than real ones, so weights are drawn to keep the
 * activations of every layer near one: uniform with variance 1 / inputs, norms at one.
 * The text encoder and the vocabulary are copied from a real model, and the manifest is
 * that model's with the geometry replaced. The VAE has a decoder only.
 *
 * Weight i of tensor t is a pure function of (seed, t, i): the same options give the same
 * files. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"

enum { NAME_MAX_LEN = 96, CHUNK = 1 << 16, LEVEL_EMBEDS = 15 };

struct options {
    const char *from;  /* model directory that lends encoder and vocabulary */
    const char *class; /* size class of the released templates, "0.06M" */
    int depth, width, heads, mlp, chunks; /* of the transformer; chunks divides depth */
    int bits;                             /* per token, 1 to 64 */
    int base;                             /* channels of the decoder's last level */
    bool f32;                             /* F32 instead of BF16 */
    uint64_t seed;
};

/* A tensor to be written: mean + spread * uniform(-1, 1). */
struct tensor {
    char name[NAME_MAX_LEN];
    int64_t dim[4];
    int ndim;
    float mean, spread;
};

struct tensors {
    struct tensor *t;
    size_t n, cap;
    struct cf_error *err; /* adds after the first failure do nothing */
};

static int64_t count(const struct tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->ndim; i++)
        n *= t->dim[i];
    return n;
}

/* dims: up to four, the rest zero. */
__attribute__((format(printf, 5, 6))) static void add(struct tensors *all,
                                                      const int64_t dim[4], float mean,
                                                      float spread, const char *fmt, ...)
{
    struct tensor *t;
    va_list ap;

    if (all->err->status ||
        cf_grow(&all->t, &all->cap, all->n + 1, sizeof *all->t, all->err))
        return;
    t = &all->t[all->n++];
    *t = (struct tensor){.mean = mean, .spread = spread};
    while (t->ndim < 4 && dim[t->ndim]) {
        t->dim[t->ndim] = dim[t->ndim];
        t->ndim++;
    }
    va_start(ap, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, ap);
    va_end(ap);
}

#define DIM(...) ((const int64_t[4]){__VA_ARGS__})

/* Uniform in (-a, a) has variance a^2 / 3. */
static float fan_in(int64_t inputs)
{
    return sqrtf(3.0f / (float)inputs);
}

static void linear(struct tensors *all, int64_t out, int64_t in, const char *name)
{
    add(all, DIM(out, in), 0, fan_in(in), "%s.weight", name);
    add(all, DIM(out), 0, 0.02f, "%s.bias", name);
}

static void conv(struct tensors *all, int64_t out, int64_t in, int64_t k,
                 const char *name)
{
    add(all, DIM(out, in, k, k), 0, fan_in(in * k * k), "%s.conv.weight", name);
    add(all, DIM(out), 0, 0.02f, "%s.conv.bias", name);
}

static void norm(struct tensors *all, int64_t n, const char *name)
{
    add(all, DIM(n), 1, 0.02f, "%s.norm.weight", name);
    add(all, DIM(n), 0, 0.02f, "%s.norm.bias", name);
}

/* name.leaf in a buffer of the caller. */
static const char *sub(char buf[NAME_MAX_LEN], const char *name, const char *leaf)
{
    snprintf(buf, NAME_MAX_LEN, "%.60s.%.30s", name, leaf);
    return buf;
}

static void block(struct tensors *all, const struct options *o, const char *name)
{
    const int64_t c = o->width;
    char buf[NAME_MAX_LEN];

    add(all, DIM(1, 1, 6, c), 0, 0.2f, "%s.ada_gss", name);
    add(all, DIM(1, o->heads, 1, 1), logf(4), 0.1f, "%s.sa.scale_mul_1H11", name);
    add(all, DIM(c), 0, 0.02f, "%s.sa.q_bias", name);
    add(all, DIM(c), 0, 0.02f, "%s.sa.v_bias", name);
    add(all, DIM(3 * c, c), 0, fan_in(c), "%s.sa.mat_qkv.weight", name);
    linear(all, c, c, sub(buf, name, "sa.proj"));
    add(all, DIM(c), 0, 0.02f, "%s.ca.v_bias", name);
    linear(all, c, c, sub(buf, name, "ca.mat_q"));
    add(all, DIM(2 * c, c), 0, fan_in(c), "%s.ca.mat_kv.weight", name);
    linear(all, c, c, sub(buf, name, "ca.proj"));
    linear(all, o->mlp, c, sub(buf, name, "ffn.fc1"));
    linear(all, c, o->mlp, sub(buf, name, "ffn.fc2"));
    add(all, DIM(c), 1, 0.02f, "%s.ca_norm.weight", name);
    add(all, DIM(c), 0, 0.02f, "%s.ca_norm.bias", name);
}

static void transformer(struct tensors *all, const struct options *o, int64_t text_width,
                        int64_t text_maxlen, int64_t pool_heads)
{
    const int64_t c = o->width, t = text_width;
    const int per_chunk = o->depth / o->chunks;
    char buf[NAME_MAX_LEN];

    add(all, DIM(text_maxlen, t), 0, 1, "cfg_uncond");
    add(all, DIM(1, 1, c), 0, 0.5f, "pos_start");
    add(all, DIM(t), 1, 0.02f, "text_norm.weight");
    add(all, DIM(1, pool_heads, c / pool_heads), 0, 0.5f, "text_proj_for_sos.ca.mat_q");
    add(all, DIM(c), 0, 0.02f, "text_proj_for_sos.ca.v_bias");
    add(all, DIM(2 * c, t), 0, fan_in(t), "text_proj_for_sos.ca.mat_kv.weight");
    linear(all, c, c, "text_proj_for_sos.ca.proj");
    linear(all, c, t, "text_proj_for_ca.0");
    linear(all, c, c, "text_proj_for_ca.2");
    add(all, DIM(LEVEL_EMBEDS, c), 0, 0.2f, "lvl_embed.weight");
    linear(all, c, o->bits, "word_embed");
    linear(all, 6 * c, c, "shared_ada_lin.1");
    linear(all, 2 * c, c, "head_nm.ada_lin.1");
    linear(all, 2 * o->bits, c, "head");
    for (int b = 0; b < o->depth; b++) {
        if (o->chunks == 1)
            snprintf(buf, sizeof buf, "blocks.%d", b);
        else
            snprintf(buf, sizeof buf, "block_chunks.%d.module.%d", b / per_chunk,
                     b % per_chunk);
        block(all, o, buf);
    }
}

static void resblock(struct tensors *all, int64_t in, int64_t out, const char *name)
{
    char buf[NAME_MAX_LEN];

    norm(all, in, sub(buf, name, "norm1"));
    conv(all, out, in, 3, sub(buf, name, "conv1"));
    norm(all, out, sub(buf, name, "norm2"));
    conv(all, out, out, 3, sub(buf, name, "conv2"));
    if (in != out)
        conv(all, out, in, 1, sub(buf, name, "nin_shortcut"));
}

/* The released tokenizers: patch 16, three residual blocks per level. */
static const int ch_mult[] = {1, 2, 4, 4, 4};
enum { LEVELS = 5, RES_BLOCKS = 2, PATCH = 16 };

static void decoder(struct tensors *all, const struct options *o)
{
    int64_t in = (int64_t)o->base * ch_mult[LEVELS - 1];
    char buf[NAME_MAX_LEN];

    conv(all, in, o->bits, 3, "decoder.conv_in");
    resblock(all, in, in, "decoder.mid.block_1");
    resblock(all, in, in, "decoder.mid.block_2");
    for (int l = LEVELS - 1; l >= 0; l--) {
        const int64_t out = (int64_t)o->base * ch_mult[l];

        for (int i = 0; i <= RES_BLOCKS; i++, in = out) {
            snprintf(buf, sizeof buf, "decoder.up.%d.block.%d", l, i);
            resblock(all, in, out, buf);
        }
        snprintf(buf, sizeof buf, "decoder.up.%d.upsample.conv", l);
        if (l > 0) /* log2(PATCH) of them, which is LEVELS - 1 here */
            conv(all, in, in, 3, buf);
    }
    norm(all, in, "decoder.norm_out");
    conv(all, 3, in, 3, "decoder.conv_out");
}

/* The safetensors header: offsets in the order of the list. */
static json_t *header(const struct tensors *all, bool f32)
{
    json_t *head = json_object();
    int64_t at = 0;

    for (size_t i = 0; i < all->n; i++) {
        const struct tensor *t = &all->t[i];
        const int64_t end = at + count(t) * (f32 ? 4 : 2);
        json_t *shape = json_array();

        for (int d = 0; d < t->ndim; d++)
            json_array_append_new(shape, json_integer(t->dim[d]));
        json_object_set_new(head, t->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                                      f32 ? "F32" : "BF16", "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)end));
        at = end;
    }
    return head;
}

/* The upper half of a float, rounded to nearest even; the value is finite. */
static uint16_t to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void write_values(FILE *out, const struct tensor *t, uint32_t index,
                         const struct options *o)
{
    static float f[CHUNK];
    static uint16_t h[CHUNK];
    const int64_t n = count(t);

    for (int64_t at = 0; at < n; at += CHUNK) {
        const size_t m = n - at < CHUNK ? (size_t)(n - at) : CHUNK;

        for (size_t i = 0; i < m; i++) {
            const uint64_t k = (uint64_t)at + i;
            const float u = cf_rng_uniform(o->seed, CF_RNG_TEST, index,
                                           (uint32_t)(k >> 32), (uint32_t)k);

            f[i] = t->mean + t->spread * (2 * u - 1);
            h[i] = to_bf16(f[i]);
        }
        fwrite(o->f32 ? (void *)f : (void *)h, o->f32 ? 4 : 2, m, out);
    }
}

static enum cf_status write_safetensors(const struct tensors *all,
                                        const struct options *o, const char *path,
                                        struct cf_error *err)
{
    json_t *head = header(all, o->f32);
    char *text = json_dumps(head, JSON_COMPACT);
    FILE *out = fopen(path, "wb");
    bool bad;

    json_decref(head);
    if (!text || !out) {
        cf_fail_errno(err, text ? errno : ENOMEM, "%s", path);
        goto out;
    }
    /* Little-endian length, then the text padded with blanks to whole words. */
    for (uint64_t n = (strlen(text) + 7) / 8 * 8, i = 0; i < 8; i++)
        fputc((int)(n >> 8 * i & 0xff), out);
    fprintf(out, "%s%*s", text, (int)(7 - (strlen(text) + 7) % 8), "");
    for (size_t i = 0; i < all->n; i++)
        write_values(out, &all->t[i], (uint32_t)i, o);
    bad = ferror(out);
    if (fclose(out) || bad)
        cf_fail_errno(err, errno, "%s", path);
    out = NULL;
out:
    if (out)
        fclose(out);
    free(text);
    return err->status;
}

static enum cf_status copy(const char *from, const char *to, const char *name,
                           struct cf_error *err)
{
    char *src = cf_format(err, "%s/%s", from, name);
    char *dst = cf_format(err, "%s/%s", to, name);
    FILE *in = src ? fopen(src, "rb") : NULL;
    FILE *out = in && dst ? fopen(dst, "wb") : NULL;
    static char buf[CHUNK];
    size_t n;

    if (!out) {
        cf_fail_errno(err, errno, "copy %s", name);
        goto done;
    }
    while ((n = fread(buf, 1, sizeof buf, in)) > 0)
        fwrite(buf, 1, n, out);
    if (ferror(in) || ferror(out) || fflush(out))
        cf_fail_errno(err, errno, "copy %s", name);
done:
    if (in)
        fclose(in);
    if (out)
        fclose(out);
    cf_free(src);
    cf_free(dst);
    return err->status;
}

/* { file, sha256 } of a part that was just written. */
static json_t *part(const char *dir, const char *name, struct cf_error *err)
{
    char *path = cf_format(err, "%s/%s", dir, name);
    char hex[CF_DIGEST_HEX] = "";

    if (path)
        cf_digest_file(path, hex, err);
    cf_free(path);
    return json_pack("{s:s, s:s}", "file", name, "sha256", hex);
}

/* Encoder and vocabulary of the lender; their entries in the manifest stay as they are.
 */
static enum cf_status borrow_parts(json_t *parts, const char *from, const char *to,
                                   struct cf_error *err)
{
    json_t *encoder, *vocab, *files, *each;
    const char *name;
    char *dir;
    size_t i;

    CF_TRY(cf_json_obj(parts, "text_encoder", &encoder, "parts", err));
    CF_TRY(cf_json_obj(parts, "tokenizer", &vocab, "parts", err));
    CF_TRY(cf_json_str(encoder, "dir", &name, "text_encoder", err));
    dir = cf_format(err, "%s/%s", to, name);
    if (!dir)
        return err->status;
    if (mkdir(dir, 0777) && errno != EEXIST)
        cf_fail_errno(err, errno, "%s", dir);
    cf_free(dir);
    CF_TRY(err->status);
    CF_TRY(cf_json_arr(encoder, "files", &files, "text_encoder", err));
    json_array_foreach(files, i, each)
    {
        CF_TRY(cf_json_str(each, "file", &name, "files", err));
        CF_TRY(copy(from, to, name, err));
    }
    CF_TRY(cf_json_str(vocab, "file", &name, "tokenizer", err));
    return copy(from, to, name, err);
}

/* The lender's manifest with the geometry of o. */
static void rewrite(json_t *manifest, const struct options *o)
{
    json_t *mult = json_array();

    for (int l = 0; l < LEVELS; l++)
        json_array_append_new(mult, json_integer(ch_mult[l]));
    json_object_set_new(manifest, "name",
                        json_sprintf("synth-d%d-w%d-%s", o->depth, o->width, o->class));
    json_object_update_new(json_object_get(manifest, "infinity"),
                           json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "embed_dim",
                                     o->width, "depth", o->depth, "num_heads", o->heads,
                                     "mlp_hidden", o->mlp, "bits", o->bits,
                                     "block_chunks", o->chunks, "spatial_patchify", 0));
    json_object_set_new(manifest, "vae",
                        json_pack("{s:i, s:o, s:i, s:i, s:i}", "base_channels", o->base,
                                  "ch_mult", mult, "num_res_blocks", RES_BLOCKS, "bits",
                                  o->bits, "patch", PATCH));
    json_object_set_new(manifest, "sizes",
                        json_pack("{s:s, s:[s], s:[s]}", "templates", "released",
                                  "classes", o->class, "trained", o->class));
}

static enum cf_status write_part(json_t *parts, const char *key, const char *file,
                                 const struct tensors *all, const struct options *o,
                                 const char *dir, struct cf_error *err)
{
    char *path = cf_format(err, "%s/%s", dir, file);

    if (path && !write_safetensors(all, o, path, err))
        json_object_set_new(parts, key, part(dir, file, err));
    cf_free(path);
    return err->status;
}

static enum cf_status make_parts(json_t *manifest, const struct options *o,
                                 const char *dir, struct cf_error *err)
{
    struct tensors ar = {.err = err}, vae = {.err = err};
    int64_t text_width, text_maxlen, pool_heads;
    json_t *parts, *geometry;

    CF_TRY(cf_json_obj(manifest, "parts", &parts, "model.json", err));
    CF_TRY(cf_json_obj(manifest, "infinity", &geometry, "model.json", err));
    CF_TRY(cf_json_int(geometry, "text_width", 1, 65536, &text_width, "infinity", err));
    CF_TRY(cf_json_int(geometry, "text_maxlen", 1, 65536, &text_maxlen, "infinity", err));
    CF_TRY(cf_json_int(geometry, "pool_heads", 1, 1024, &pool_heads, "infinity", err));
    CF_TRY(borrow_parts(parts, o->from, dir, err));
    transformer(&ar, o, text_width, text_maxlen, pool_heads);
    decoder(&vae, o);
    if (!err->status &&
        !write_part(parts, "transformer", "infinity.safetensors", &ar, o, dir, err))
        write_part(parts, "vae", "vae.safetensors", &vae, o, dir, err);
    cf_free(ar.t);
    cf_free(vae.t);
    return err->status;
}

static enum cf_status synth(const struct options *o, const char *dir,
                            struct cf_error *err)
{
    json_t *manifest = NULL;
    char *path;

    if (o->depth % o->chunks || o->width % o->heads || o->width % 8)
        return cf_fail(
            err, CF_EUSAGE,
            "depth %d, chunks %d, width %d, heads %d: chunks must divide depth, "
            "heads and 8 the width",
            o->depth, o->chunks, o->width, o->heads);
    if (mkdir(dir, 0777) && errno != EEXIST)
        return cf_fail_errno(err, errno, "%s", dir);
    path = cf_format(err, "%s/model.json", o->from);
    if (path)
        manifest = cf_json_load(path, 1 << 20, 10000, err);
    cf_free(path);
    path = cf_format(err, "%s/model.json", dir);
    if (manifest && path && !make_parts(manifest, o, dir, err)) {
        rewrite(manifest, o);
        if (json_dump_file(manifest, path, JSON_INDENT(1)))
            cf_fail_errno(err, errno, "%s", path);
    }
    cf_free(path);
    json_decref(manifest);
    return err->status;
}

static void usage(FILE *to)
{
    fputs("Usage: cfgen-synth [OPTION]... DIR\n"
          "Write a model with random weights into DIR, for timing.\n\n"
          "      --from=MODEL     lends text encoder and vocabulary [models/pilot32]\n"
          "      --depth=N        transformer blocks [12]\n"
          "      --width=N        transformer channels [768]\n"
          "      --heads=N        attention heads [8]\n"
          "      --mlp=N          hidden channels of the MLP [four times the width]\n"
          "      --chunks=N       block chunks in the names [4]\n"
          "      --bits=N         bits per token [32]\n"
          "      --base=N         channels of the decoder's last level [128]\n"
          "      --class=CLASS    size class: 0.06M, 0.25M, 1M [0.06M]\n"
          "      --dtype=TYPE     bf16 or f32 [bf16]\n"
          "      --seed=N         seed of the weights [1]\n"
          "      --help           this text\n",
          to);
}

/* A whole number from 1 to max; 0 and a message if it is none. */
static int number(const char *text, int max)
{
    char *end;
    const long n = strtol(text, &end, 10);

    if (*text && !*end && n >= 1 && n <= max)
        return (int)n;
    fprintf(stderr, "cfgen-synth: %s: expected a whole number from 1 to %d\n", text, max);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"from", 1, NULL, 'f'},  {"depth", 1, NULL, 'd'}, {"width", 1, NULL, 'w'},
        {"heads", 1, NULL, 'h'}, {"mlp", 1, NULL, 'm'},   {"chunks", 1, NULL, 'c'},
        {"bits", 1, NULL, 'b'},  {"base", 1, NULL, 'n'},  {"class", 1, NULL, 'k'},
        {"dtype", 1, NULL, 't'}, {"seed", 1, NULL, 's'},  {"help", 0, NULL, '?' + 256},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.from = "models/pilot32",
                        .class = "0.06M",
                        .depth = 12,
                        .width = 768,
                        .heads = 8,
                        .mlp = 0,
                        .chunks = 4,
                        .bits = 32,
                        .base = 128,
                        .seed = 1};
    struct cf_error err = {0};
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'f':
            o.from = optarg;
            break;
        case 'k':
            o.class = optarg;
            break;
        case 'd':
            ok = (o.depth = number(optarg, 128));
            break;
        case 'w':
            ok = (o.width = number(optarg, 16384));
            break;
        case 'h':
            ok = (o.heads = number(optarg, 256));
            break;
        case 'm':
            ok = (o.mlp = number(optarg, 65536));
            break;
        case 'c':
            ok = (o.chunks = number(optarg, 128));
            break;
        case 'b':
            ok = (o.bits = number(optarg, 64));
            break;
        case 'n':
            ok = (o.base = number(optarg, 1024));
            break;
        case 's':
            ok = (o.seed = (uint64_t)number(optarg, 1 << 30));
            break;
        case 't':
            o.f32 = strcmp(optarg, "f32") == 0;
            ok = o.f32 || strcmp(optarg, "bf16") == 0;
            break;
        case '?' + 256:
            usage(stdout);
            return 0;
        default:
            ok = false;
        }
    }
    if (!ok || optind + 1 != argc) {
        usage(stderr);
        return cf_status_exit(CF_EUSAGE);
    }
    if (!o.mlp)
        o.mlp = 4 * o.width;
    if (synth(&o, argv[optind], &err)) {
        fprintf(stderr, "cfgen-synth: %s\n", err.msg);
        return cf_status_exit(err.status);
    }
    return 0;
}
