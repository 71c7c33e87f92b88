/* cfgen-model convert: files as they are downloaded become a model directory.
 *
 * Everything is opened, recognized, paired and chosen before the first byte is written;
 * then the parts are written one tensor at a time, and the directory gets its name. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/team.h"
#include "models/detect.h"
#include "models/gen.h"
#include "models/infinity_keys.h"
#include "models/sections.h"
#include "models/vae_keys.h"
#include "pipeline/convert_args.h"
#include "pipeline/convert_choose.h"
#include "pipeline/convert_origin.h"
#include "pipeline/convert_pair.h"
#include "pipeline/convert_text.h"
#include "pipeline/model_cmd.h"

/* One of the two files that are no folder of a text encoder. */
struct weights {
    struct cf_source *src;
    struct cf_state state;
    struct cf_take take;
    const char *const *ignore;
    int dropped;
};

struct convert {
    struct cf_convert_args args;
    struct weights inf, vae;
    struct cf_convert_text text;
    struct cf_inf_shape inf_shape;
    struct cf_vae_shape vae_shape;
    bool encoder; /* of the VAE: it can read images too */
    const struct cf_geometry *known;
    struct cf_model_spec manifest;
    struct cf_out *out;
    struct cf_dnn *dnn; /* opened for quantized types alone */
};

/* ---- opening ---- */

static enum cf_status open_weights(struct weights *w, const struct cf_convert_args *a,
                                   enum cf_convert_role role, const char *const *anchor,
                                   struct cf_take_type type, struct cf_error *err)
{
    const char *what = cf_convert_role_name(role);

    w->ignore = a->ignore;
    CF_TRY(cf_source_open(&w->src, a->path[role], err));
    CF_TRY(cf_state_enter(&w->state, w->src, what, anchor, a->key[role], err));
    return cf_take_open(&w->take, w->src, what, type, err);
}

/* What leaves tensors out stands in the message of a file that has unknown ones. */
static enum cf_status hint(enum cf_status status, const struct cf_error *found,
                           struct cf_error *err)
{
    if (status == CF_OK)
        return CF_OK;
    return cf_fail(err, status, "%s%s", found->msg,
                   strstr(found->msg, ": unknown") ? " (--ignore=PATTERN leaves them out)"
                                                   : "");
}

static enum cf_status open_transformer(struct convert *c, struct cf_error *err)
{
    struct weights *w = &c->inf;
    struct cf_error found = {0};
    struct cf_state_seen seen;
    struct cf_shapes shapes;

    CF_TRY(open_weights(w, &c->args, CF_ROLE_TRANSFORMER, cf_state_of_transformer,
                        c->args.type, err));
    seen = (struct cf_state_seen){w->src, &w->state, w->ignore};
    shapes = cf_state_shapes(&seen);
    CF_TRY(hint(cf_inf_detect(&c->inf_shape, &shapes, &found), &found, err));
    CF_TRY(cf_inf_keys(&c->inf_shape, cf_take_key, &w->take, err));
    return cf_take_check(&w->take, &w->state, cf_inf_is_buffer, w->ignore, &w->dropped,
                         err);
}

static enum cf_status open_vae(struct convert *c, struct cf_error *err)
{
    struct weights *w = &c->vae;
    struct cf_error found = {0};
    struct cf_state_seen seen;
    struct cf_shapes shapes;

    CF_TRY(open_weights(w, &c->args, CF_ROLE_VAE, cf_state_of_vae,
                        (struct cf_take_type){.keep = true}, err));
    seen = (struct cf_state_seen){w->src, &w->state, w->ignore};
    shapes = cf_state_shapes(&seen);
    CF_TRY(hint(cf_vae_detect(&c->vae_shape, &c->encoder, &shapes, &found), &found, err));
    CF_TRY(cf_vae_keys(&c->vae_shape, c->encoder, cf_take_key, &w->take, err));
    return cf_take_check(&w->take, &w->state, cf_vae_is_buffer, w->ignore, &w->dropped,
                         err);
}

static enum cf_status open_text(struct convert *c, struct cf_error *err)
{
    struct cf_convert_text_spec spec = {.dir = c->args.path[CF_ROLE_TEXT],
                                        .tokenizer = c->args.tokenizer,
                                        .key = c->args.key[CF_ROLE_TEXT],
                                        .ignore = c->args.ignore,
                                        .type = c->args.text_type};

    return cf_convert_text_open(&c->text, &spec, err);
}

static enum cf_status pair(struct convert *c, struct cf_error *err)
{
    const struct cf_convert_args *a = &c->args;
    char fits[200];

    CF_TRY(cf_pair_vae(&c->inf_shape, &c->vae_shape, err));
    CF_TRY(cf_pair_text(&c->inf_shape, cf_encoder_config_hidden(&c->text.config),
                        cf_known_encoder_of_width(fits, sizeof fits, c->inf_shape.text),
                        err));
    c->known = cf_geometry_match(&c->inf_shape);
    if (a->accept_pairing)
        return CF_OK;
    return cf_pair_names(a->path[CF_ROLE_TRANSFORMER], a->path[CF_ROLE_VAE],
                         c->known ? c->known->name : NULL, err);
}

/* ---- telling ---- */

static void tell_state(const char *what, const char *path, const struct cf_source *src,
                       const struct cf_state *s, int dropped, size_t taken)
{
    printf("%-13s ", what);
    cf_cli_put(path);
    printf(" (%s)\n", cf_source_format(src));
    if (*s->prefix[s->chosen]) {
        printf("              weights under \"");
        cf_cli_put(s->prefix[s->chosen]);
        printf("\"\n");
    }
    for (int i = 0; i < s->n; i++)
        if (i != s->chosen) {
            printf("              not taken: the weights under \"");
            cf_cli_put(s->prefix[i]);
            printf("\"%s\n", cf_state_is_average(s->prefix[i]) ? " (an average)" : "");
        }
    printf("              %zu tensors", taken);
    if (dropped)
        printf(", %d left out that images do not need", dropped);
    if (s->outside)
        printf(", %d elsewhere in the file", s->outside);
    printf("\n");
}

static const char *type_name(const struct cf_take_type *type)
{
    return type->keep ? "as in the file" : cf_wtype_name(type->type);
}

static void tell(const struct convert *c)
{
    const struct cf_convert_args *a = &c->args;
    const struct cf_inf_shape *s = &c->inf_shape;
    const struct cf_known_encoder *enc = cf_known_encoder_match(&c->text.config);
    const char *vae = cf_geometry_vae_name(&c->vae_shape);

    tell_state("transformer", a->path[CF_ROLE_TRANSFORMER], c->inf.src, &c->inf.state,
               c->inf.dropped, c->inf.take.n);
    printf("              %s: width %d, %d blocks, %d heads, %d bits a token%s; "
           "%.1f million parameters\n",
           c->known ? c->known->name : "a geometry of its own", s->c, s->depth, s->heads,
           s->dv, s->patchify ? " (patchify)" : "", (double)c->inf.take.values / 1e6);
    printf("              matrices %s\n", type_name(&a->type));
    tell_state("vae", a->path[CF_ROLE_VAE], c->vae.src, &c->vae.state, c->vae.dropped,
               c->vae.take.n);
    printf("              %s: %d bits, %d pixels a position, %s\n",
           vae ? vae : "a geometry of its own", c->vae_shape.bits, c->vae_shape.patch,
           c->encoder ? "with its encoder" : "without an encoder: no --init-image");
    tell_state("text-encoder", a->path[CF_ROLE_TEXT], c->text.src, &c->text.state,
               c->text.dropped, c->text.take.n);
    printf("              %s, %d wide; matrices %s\n",
           enc ? enc->name : "a geometry of its own",
           cf_encoder_config_hidden(&c->text.config), type_name(&a->text_type));
    if (a->accept_pairing)
        printf("pairing       taken whatever the names of the files say (asked for)\n");
}

/* ---- writing ---- */

static enum cf_status note_origin(struct convert *c, struct cf_error *err)
{
    json_t *origin = json_object();

    c->manifest.source = origin;
    if (!origin)
        return cf_fail(err, CF_ENOMEM, "the list of sources");
    CF_TRY(cf_origin_add(origin, "transformer", c->inf.src,
                         c->inf.state.prefix[c->inf.state.chosen], err));
    CF_TRY(cf_origin_add(origin, "vae", c->vae.src,
                         c->vae.state.prefix[c->vae.state.chosen], err));
    return cf_origin_add(origin, "text_encoder", c->text.src,
                         c->text.state.prefix[c->text.state.chosen], err);
}

static bool is_quantized(const struct cf_take_type *t)
{
    return !t->keep && (t->type == CF_W_I8 || t->type == CF_W_Q4);
}

static enum cf_status choose(struct convert *c, struct cf_error *err)
{
    const struct cf_convert_args *a = &c->args;
    struct cf_model_spec *m = &c->manifest;
    size_t bytes = cf_take_bytes(&c->inf.take) + cf_take_bytes(&c->text.take);

    m->generator = "infinity";
    m->infinity = cf_inf_section(&c->inf_shape);
    m->vae = cf_vae_section(&c->vae_shape);
    if (!m->infinity || !m->vae)
        return cf_fail(err, CF_ENOMEM, "model.json");
    return cf_choose(m, a, &c->inf_shape, c->known, &c->text, bytes,
                     is_quantized(&a->type) || is_quantized(&a->text_type), err);
}

static enum cf_status open_dnn(struct convert *c, struct cf_error *err)
{
    struct cf_team team;

    CF_TRY(cf_team_count(&team, c->args.threads, err));
    return cf_dnn_open(&c->dnn, CF_CPU_AUTO, team.threads, err);
}

/* The manifest is read as any program will read it, and what it says about sizes and
 * settings is tried, before the directory gets its name. */
static enum cf_status try_model(struct convert *c, struct cf_error *err)
{
    struct cf_gen_files files = {0};
    struct cf_gen_params params;
    struct cf_model *model;
    struct cf_gen *gen = NULL;
    struct cf_plan plan;
    const struct cf_gen_ops *ops;
    enum cf_status status;

    CF_TRY(cf_model_open(&model, cf_out_dir(c->out), CF_MODEL_TRUST, err));
    files.json = model->json;
    ops = cf_gen_find(model->generator);
    cf_gen_params_default(&params);
    status = ops->open(&gen, &files, c->dnn, err);
    if (status == CF_OK)
        status = ops->plan(gen, &params, 1, c->inf_shape.text_max, &plan, err);
    ops->close(gen);
    cf_model_close(model);
    return status;
}

static enum cf_status write_model(struct convert *c, struct cf_error *err)
{
    struct cf_model_spec *m = &c->manifest;
    size_t bytes = cf_take_bytes(&c->inf.take) + cf_take_bytes(&c->vae.take) +
                   cf_take_bytes(&c->text.take);

    CF_TRY(cf_out_begin(c->out, bytes, err));
    CF_TRY(cf_take_part(&c->inf.take, c->out, "infinity.safetensors", c->dnn,
                        &m->part[CF_PART_TRANSFORMER], err));
    CF_TRY(cf_take_part(&c->vae.take, c->out, "vae.safetensors", c->dnn,
                        &m->part[CF_PART_VAE], err));
    CF_TRY(cf_convert_text_write(&c->text, c->out, c->dnn, m, err));
    CF_TRY(note_origin(c, err));
    CF_TRY(cf_model_spec_write(m, cf_out_dir(c->out), err));
    CF_TRY(try_model(c, err));
    CF_TRY(cf_out_publish(c->out, err));
    printf("made          %s, %.2f GB\n", c->args.out, (double)bytes / 1e9);
    return CF_OK;
}

static void close_all(struct convert *c)
{
    cf_out_close(c->out);
    cf_dnn_close(c->dnn);
    cf_choose_free(&c->manifest);
    json_decref(c->manifest.infinity);
    json_decref(c->manifest.vae);
    json_decref(c->manifest.source);
    cf_model_spec_close(&c->manifest);
    cf_convert_text_close(&c->text);
    cf_take_close(&c->inf.take);
    cf_take_close(&c->vae.take);
    cf_source_close(c->inf.src);
    cf_source_close(c->vae.src);
    cf_free(c);
}

static enum cf_status convert(struct convert *c, struct cf_cli *cli, struct cf_error *err)
{
    CF_TRY(cf_convert_args_read(&c->args, cli, err));
    CF_TRY(cf_out_open(&c->out, c->args.out, c->args.force, err));
    CF_TRY(open_transformer(c, err));
    CF_TRY(open_vae(c, err));
    CF_TRY(open_text(c, err));
    CF_TRY(pair(c, err));
    tell(c);
    CF_TRY(choose(c, err));
    fflush(stdout); /* gigabytes are written before the next line */
    CF_TRY(open_dnn(c, err));
    return write_model(c, err);
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    struct convert *c = cf_calloc(1, sizeof *c, err);
    enum cf_status status;

    if (!c)
        return CF_ENOMEM;
    cf_out_signals();
    status = convert(c, cli, err);
    close_all(c);
    return status;
}

const struct cf_model_cmd cf_model_cmd_convert = {
    .name = "convert",
    .operands = "--transformer=FILE|DIR --vae=FILE --text-encoder=DIR OUT",
    .summary = "make a model directory of files as they are downloaded",
    .options = cf_convert_options,
    .run = run,
};
