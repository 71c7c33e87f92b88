#include "bench/subject.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pipeline/holding.h"
#include "pipeline/synth_model.h"

enum {
    TEXT_ROWS = 64,  /* of a prompt of some length */
    TEXT_LAYERS = 1, /* the encoder is there and not timed */
    TEXT_VOCAB = 4224,
    BITS = 32, /* of the full-size decoder */
};

char *cf_subject_mktemp(struct cf_error *err)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = cf_format(err, "%s/cfgen-bench.XXXXXX", tmp && *tmp ? tmp : "/tmp");

    if (dir && !mkdtemp(dir)) {
        cf_fail_errno(err, errno, "%s", dir);
        cf_free(dir);
        return NULL;
    }
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    remove(path); /* what stays lies in the temporary directory */
    return 0;
}

void cf_subject_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The 125M one with the decoder of the larger ones; weights in bf16, which a small model
 * widens when it is loaded. */
static enum cf_status make(struct cf_subject *s, const char *geometry, struct cf_dnn *dnn,
                           struct cf_error *err)
{
    struct cf_synth_options o = {
        .geometry = geometry,
        .type = CF_W_BF16,
        .text_type = CF_W_BF16,
        .group = CF_GROUP_DEFAULT,
        .pack = strcmp(geometry, "infinity-125m") == 0,
        .change = {.text_layers = TEXT_LAYERS, .text_vocab = TEXT_VOCAB},
        .model_path = getenv("CFGEN_MODEL_PATH"),
    };

    if (o.pack)
        o.change.bits = BITS;
    s->made = cf_subject_mktemp(err);
    if (!s->made)
        return err->status;
    s->dir = cf_format(err, "%s/model", s->made);
    return s->dir ? cf_synth_model(&o, s->dir, dnn, err) : CF_ENOMEM;
}

static enum cf_status make_text(struct cf_subject *s, struct cf_error *err)
{
    struct cf_gen_files files = {.json = s->model->json};
    const json_t *inf = json_object_get(s->model->json, "infinity");
    json_int_t most = json_integer_value(json_object_get(inf, "text_maxlen"));
    struct cf_gen *gen;

    CF_TRY(s->ops->open(&gen, &files, NULL, err));
    s->text = (struct cf_text){.n = TEXT_ROWS, .dim = s->ops->text_dim(gen)};
    s->ops->close(gen);
    if (most > 0 && most < s->text.n)
        s->text.n = (int)most;
    s->text.features =
        cf_alloc((size_t)s->text.n * (size_t)s->text.dim, sizeof(float), err);
    if (!s->text.features)
        return CF_ENOMEM;
    for (int i = 0; i < s->text.n * s->text.dim; i++)
        s->text.features[i] =
            4.0f * cf_rng_uniform(1, CF_RNG_TEST, 0, (uint32_t)i, 0) - 2.0f;
    return CF_OK;
}

static enum cf_status look_into(struct cf_subject *s, struct cf_error *err)
{
    json_t *vae;

    CF_TRY(cf_model_open(&s->model, s->dir, CF_MODEL_TRUST, err));
    s->ops = cf_gen_find(s->model->generator);
    if (!s->ops)
        return cf_fail(err, CF_EUNSUP, "generator '%s' is not one this program knows",
                       s->model->generator);
    CF_TRY(cf_json_obj(s->model->json, "vae", &vae, "model.json", err));
    CF_TRY(cf_vae_parse(&s->vae, vae, err));
    return make_text(s, err);
}

enum cf_status cf_subject_open(struct cf_subject **subject, const char *model,
                               const char *geometry, struct cf_dnn *dnn,
                               struct cf_error *err)
{
    struct cf_subject *s = cf_calloc(1, sizeof *s, err);
    enum cf_status st;

    if (!s)
        return CF_ENOMEM;
    if (geometry)
        st = make(s, geometry, dnn, err);
    else
        st = cf_model_find(&s->dir, model, getenv("CFGEN_MODEL_PATH"), err);
    if (st == CF_OK)
        st = look_into(s, err);
    if (st != CF_OK) {
        cf_subject_close(s);
        return st;
    }
    *subject = s;
    return CF_OK;
}

void cf_subject_close(struct cf_subject *s)
{
    if (!s)
        return;
    cf_text_free(&s->text);
    cf_model_close(s->model);
    if (s->made)
        cf_subject_remove(s->made);
    cf_free(s->made);
    cf_free(s->dir);
    cf_free(s);
}

struct cf_gen_files cf_subject_files(const struct cf_subject *s)
{
    return (struct cf_gen_files){
        .json = s->model->json,
        .transformer = s->model->path[CF_PART_TRANSFORMER],
        .vae = s->model->path[CF_PART_VAE],
        .hold = cf_holding_hold(s->model),
    };
}
