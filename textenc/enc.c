#include "textenc/enc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/ops.h"

enum cf_status cf_enc_config_path(char **config, const char *path, struct cf_error *err)
{
    const char *slash = strrchr(path, '/');
    struct stat info;

    *config = NULL;
    if (stat(path, &info) != 0)
        return cf_fail_errno(err, errno, "%s", path);
    if (S_ISDIR(info.st_mode))
        *config = cf_format(err, "%s/config.json", path);
    else
        *config =
            cf_format(err, "%.*sconfig.json", slash ? (int)(slash + 1 - path) : 0, path);
    return *config ? CF_OK : CF_ENOMEM;
}

enum cf_status cf_enc_check_seqs(const struct cf_enc_seq *seq, int n_seq, int prefix,
                                 int vocab, int *rows, int *longest, struct cf_error *err)
{
    *rows = *longest = 0;
    if (n_seq < 1)
        return cf_fail(err, CF_ERANGE, "%d prompts to encode", n_seq);
    for (int s = 0; s < n_seq; s++) {
        if (seq[s].n < 1 || seq[s].n > CF_ENC_MAX_LEN - prefix)
            return cf_fail(err, CF_ERANGE, "prompt %d has %d tokens, expected 1..%d", s,
                           seq[s].n, CF_ENC_MAX_LEN - prefix);
        for (int i = 0; i < seq[s].n; i++)
            if (seq[s].ids[i] < 0 || seq[s].ids[i] >= vocab)
                return cf_fail(err, CF_ERANGE, "prompt %d: id %d at %d, expected 0..%d",
                               s, (int)seq[s].ids[i], i, vocab - 1);
        *rows += seq[s].n;
        if (*rows > CF_ENC_MAX_ROWS)
            return cf_fail(err, CF_ERANGE, "more than %d tokens in %d prompts",
                           CF_ENC_MAX_ROWS, n_seq);
        *longest = seq[s].n > *longest ? seq[s].n : *longest;
    }
    return CF_OK;
}

enum cf_status cf_enc_check_taps(const int *taps, int n_taps, int n_open, int n_layers,
                                 int *highest, struct cf_error *err)
{
    *highest = 0;
    for (int t = 0; t < n_taps; t++) {
        int at = taps[t] == CF_ENC_PRE_NORM ? n_layers : taps[t];

        if (at < 0 || at > n_open)
            return cf_fail(err, CF_ERANGE,
                           "hidden state %d wanted, %d of %d layers are open", taps[t],
                           n_open, n_layers);
        *highest = at > *highest ? at : *highest;
    }
    return CF_OK;
}

void cf_enc_embed(float *x, const struct cf_weight *embed, const struct cf_enc_seq *seq,
                  int n_seq)
{
    for (int s = 0; s < n_seq; s++)
        for (int i = 0; i < seq[s].n; i++, x += embed->k)
            cf_weight_row(x, embed, seq[s].ids[i]);
}

void cf_enc_tap(struct cf_dnn *dnn, const struct cf_enc_stream *s, int done,
                const int *taps, int n_taps, float *dst)
{
    const int64_t stride = (int64_t)n_taps * s->h;
    const bool last = done == s->n_layers;

    for (int t = 0; t < n_taps; t++) {
        float *out = dst + (int64_t)t * s->h;

        if (last && taps[t] == done)
            cf_rmsnorm(dnn, out, stride, s->x, s->h, s->rows, s->h, s->eps, s->norm);
        else if (taps[t] == done || (last && taps[t] == CF_ENC_PRE_NORM))
            for (int64_t r = 0; r < s->rows; r++)
                memcpy(out + r * stride, s->x + r * s->h, (size_t)s->h * sizeof(float));
    }
}

float *cf_enc_matrix(int64_t rows, int64_t width, struct cf_error *err)
{
    size_t n;

    if (!cf_mul_size((size_t)rows, (size_t)width, &n)) {
        cf_fail(err, CF_ENOMEM, "%lld x %lld floats", (long long)rows, (long long)width);
        return NULL;
    }
    return cf_alloc(n, sizeof(float), err);
}

float *cf_enc_floats(const struct cf_view *v, struct cf_error *err)
{
    float *f;

    if (!v->data)
        return NULL;
    f = cf_alloc((size_t)cf_view_count(v), sizeof(*f), err);
    if (f && cf_view_floats(f, v, 0, cf_view_count(v), err) != CF_OK) {
        cf_free(f);
        f = NULL;
    }
    return f;
}

float *cf_enc_vector(const struct cf_view *v, struct cf_held *held, struct cf_error *err)
{
    float *f = cf_enc_floats(v, err);

    if (f)
        held->own += (size_t)cf_view_count(v) * sizeof(*f);
    return f;
}
