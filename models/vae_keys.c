#include "models/vae_keys.h"

#include <stdio.h>
#include <string.h>

static void add_conv(struct cf_key_walk *w, int out, int in, int size, const char *name,
                     const char *part)
{
    const int64_t dim[4] = {out, in, size, size};

    cf_key_add(w, CF_KEY_CONV, 0, 4, dim, "%s%s.conv.weight", name, part);
    cf_key_add(w, CF_KEY_SMALL, 0, 1, dim, "%s%s.conv.bias", name, part);
}

static void add_norm(struct cf_key_walk *w, int64_t c, const char *name, const char *part)
{
    cf_key_add(w, CF_KEY_GAIN, 0, 1, &c, "%s%s.norm.weight", name, part);
    cf_key_add(w, CF_KEY_SMALL, 0, 1, &c, "%s%s.norm.bias", name, part);
}

static void add_res(struct cf_key_walk *w, int in, int out, const char *name)
{
    add_norm(w, in, name, ".norm1");
    add_conv(w, out, in, 3, name, ".conv1");
    add_norm(w, out, name, ".norm2");
    add_conv(w, out, out, 3, name, ".conv2");
    if (in != out)
        add_conv(w, out, in, 1, name, ".nin_shortcut");
}

static void add_blocks(struct cf_key_walk *w, int n, int in, int out, const char *where,
                       int level)
{
    char name[64];

    for (int b = 0; b < n; b++) {
        snprintf(name, sizeof name, "%s.%d.block.%d", where, level, b);
        add_res(w, b == 0 ? in : out, out, name);
    }
}

static void add_decoder(struct cf_key_walk *w, const struct cf_vae_shape *s)
{
    int c = s->base * s->ch_mult[s->levels - 1];
    char name[64];

    add_conv(w, c, s->bits, 3, "decoder", ".conv_in");
    add_res(w, c, c, "decoder.mid.block_1");
    add_res(w, c, c, "decoder.mid.block_2");
    for (int l = s->levels - 1; l >= 0; l--) {
        int to = s->base * s->ch_mult[l];

        add_blocks(w, s->num_res + 1, c, to, "decoder.up", l);
        c = to;
        if (l >= 1 && s->patch >> l >= 1) {
            snprintf(name, sizeof name, "decoder.up.%d.upsample.conv", l);
            add_conv(w, c, c, 3, name, "");
        }
    }
    add_norm(w, c, "decoder", ".norm_out");
    add_conv(w, 3, c, 3, "decoder", ".conv_out");
}

static void add_encoder(struct cf_key_walk *w, const struct cf_vae_shape *s)
{
    int c = s->base;
    char name[64];

    add_conv(w, c, 3, 3, "encoder", ".conv_in");
    for (int l = 0; l < s->levels; l++) {
        int to = s->base * s->ch_mult[l];

        add_blocks(w, s->num_res, c, to, "encoder.down", l);
        c = to;
        if (s->patch >> (l + 1) >= 1) {
            snprintf(name, sizeof name, "encoder.down.%d.downsample.conv", l);
            add_conv(w, c, c, 3, name, "");
        }
    }
    add_res(w, c, c, "encoder.mid.block_1");
    add_res(w, c, c, "encoder.mid.block_2");
    add_norm(w, c, "encoder", ".norm_out");
    add_conv(w, s->bits, c, 3, "encoder", ".conv_out");
}

enum cf_status cf_vae_keys(const struct cf_vae_shape *s, bool with_encoder, cf_key_fn *fn,
                           void *ctx, struct cf_error *err)
{
    struct cf_key_walk w = {fn, ctx, err, CF_OK};

    add_decoder(&w, s);
    if (with_encoder)
        add_encoder(&w, s);
    return w.status;
}

const char *cf_vae_plain(char buf[CF_KEY_NAME], const char *name)
{
    const char *leaf = strrchr(name, '.');
    size_t inner = strlen(".conv"), end = leaf ? (size_t)(leaf - name) : 0;

    if (end > inner && (strncmp(leaf - inner, ".conv", inner) == 0 ||
                        strncmp(leaf - inner, ".norm", inner) == 0))
        end -= inner;
    snprintf(buf, CF_KEY_NAME, "%.*s%s", (int)end, name, leaf ? leaf : name);
    return buf;
}

bool cf_vae_is_buffer(const char *name)
{
    return strncmp(name, "quantizer.", strlen("quantizer.")) == 0;
}
