#include "pipeline/convert_choose.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "models/sections.h"

enum { REASON = 80, TOKENS = 512, MAX_PREFIX = 1 << 16, MAP_ABOVE = 64 << 20 };

/* The row of the table whose settings are taken: of a geometry that nobody published the
 * 2B's, or with patchify the 8B's. */
static const struct cf_geometry *settings_of(const struct cf_geometry *known,
                                             const struct cf_inf_shape *inf)
{
    const char *name = inf->patchify ? "infinity-8b" : "infinity-2b";
    const struct cf_geometry *g = known;

    for (int i = 0; !known && (g = cf_geometry_at(i)) != NULL; i++)
        if (strcmp(g->name, name) == 0)
            break;
    return g;
}

/* Why a value is what it is. */
static const char *reason(char text[REASON], bool asked, const struct cf_geometry *g)
{
    if (asked)
        return "asked for";
    snprintf(text, REASON, "default of %s", g->name);
    return text;
}

static enum cf_status choose_name(struct cf_model_spec *m,
                                  const struct cf_convert_args *a, struct cf_error *err)
{
    size_t len = 0, bad;
    const char *name = a->name;

    if (name)
        len = strlen(name);
    else
        name = cf_file_last_name(a->out, &len);
    if (len < 1 || len > 200 || !cf_utf8_valid(name, len, &bad))
        return cf_fail(err, CF_EUSAGE, "--name: expected 1 to 200 bytes of UTF-8");
    m->name = cf_strndup(name, len, err);
    if (!m->name)
        return CF_ENOMEM;
    printf("name          %s (%s)\n", m->name, a->name ? "asked for" : "that of OUT");
    return CF_OK;
}

static enum cf_status choose_hold(struct cf_model_spec *m,
                                  const struct cf_convert_args *a, size_t bytes,
                                  bool quantized, struct cf_error *err)
{
    const char *why = bytes > MAP_ABOVE ? "above 64 MiB" : "up to 64 MiB";

    m->map = a->hold < 0 ? bytes > MAP_ABOVE || quantized : a->hold == 1;
    if (quantized && !m->map)
        return cf_fail(err, CF_EUSAGE,
                       "--hold=pack: int8 and 4bit are read where they lie, --hold=map");
    if (quantized)
        why = "quantized";
    printf("hold          %s (%s)\n", m->map ? "map" : "pack",
           a->hold >= 0 ? "asked for" : why);
    return CF_OK;
}

/* ---- sizes ---- */

static json_t *own_sizes(const struct cf_schedule *own)
{
    json_t *scales = json_array();

    printf("scales       ");
    for (int i = 0; i < own->n; i++) {
        json_array_append_new(scales,
                              json_pack("[i, i]", own->scale[i].h, own->scale[i].w));
        printf(" %dx%d", own->scale[i].h, own->scale[i].w);
    }
    printf(", rotary grid %dx%d (asked for)\n", own->rope.h, own->rope.w);
    return json_pack("{s:o, s:[i, i]}", "scales", scales, "rope_grid", own->rope.h,
                     own->rope.w);
}

static void tell_classes(const char *what, const int on[CF_CLASSES], const char *why)
{
    printf("%-13s", what);
    for (int k = 0; k < CF_CLASSES; k++)
        if (on[k])
            printf(" %s", cf_class_name(k));
    printf(" (%s)\n", why);
}

static enum cf_status choose_sizes(struct cf_model_spec *m,
                                   const struct cf_convert_args *a,
                                   const struct cf_geometry *g, struct cf_error *err)
{
    const int *trained = a->has_trained ? a->trained : g->trained;
    int allowed[CF_CLASSES];
    struct cf_sizes check;
    char why[REASON];

    if (a->own.n) {
        m->sizes = own_sizes(&a->own);
        return m->sizes ? cf_sizes_parse(&check, m->sizes, err)
                        : cf_fail(err, CF_ENOMEM, "sizes");
    }
    /* What a model was trained for it may be asked for. */
    for (int k = 0; k < CF_CLASSES; k++)
        allowed[k] = (a->has_classes ? a->classes : g->allowed)[k];
    for (int k = 0; k < CF_CLASSES; k++)
        if (trained[k] && !allowed[k])
            return cf_fail(err, CF_EUSAGE,
                           "--classes leaves out %s, which the model was trained for",
                           cf_class_name(k));
    tell_classes("trained", trained, reason(why, a->has_trained, g));
    tell_classes("classes", allowed, reason(why, a->has_classes, g));
    m->sizes = cf_sizes_section(allowed, trained);
    return m->sizes ? cf_sizes_parse(&check, m->sizes, err)
                    : cf_fail(err, CF_ENOMEM, "sizes");
}

/* ---- text ---- */

static enum cf_status add_prefix(json_t *encoder, const char *path, struct cf_error *err)
{
    size_t len, bad;
    char *text = cf_file_read(path, MAX_PREFIX, &len, err);
    enum cf_status status = CF_OK;

    if (!text)
        return err->status;
    if (!cf_utf8_valid(text, len, &bad) || strlen(text) != len)
        status = cf_fail(err, CF_EFORMAT, "%.300s: no UTF-8 text", path);
    else if (json_object_set_new(encoder, "prefix", json_stringn(text, len)) != 0)
        status = cf_fail(err, CF_ENOMEM, "prefix");
    else
        printf("prefix        %zu bytes of %s, as they are (asked for)\n", len, path);
    cf_free(text);
    return status;
}

static enum cf_status choose_text(struct cf_model_spec *m,
                                  const struct cf_convert_args *a,
                                  const struct cf_inf_shape *inf,
                                  const struct cf_convert_text *text,
                                  struct cf_error *err)
{
    int most = inf->text_max < TOKENS ? inf->text_max : TOKENS;
    int tokens = a->max_tokens ? a->max_tokens : most;

    if (tokens > inf->text_max)
        return cf_fail(err, CF_EUSAGE,
                       "--max-tokens=%d: the transformer takes %d text rows", tokens,
                       inf->text_max);
    if (a->prefix && text->config.family == CF_FAMILY_T5)
        return cf_fail(err, CF_EUSAGE,
                       "--prefix: a T5 encoder takes none: its tokens see what comes "
                       "after them");
    m->text = cf_text_section(text->spm ? CF_FAMILY_T5 : CF_FAMILY_QWEN2, tokens);
    if (!m->text ||
        (a->lowercase && json_object_set_new(json_object_get(m->text, "tokenizer"),
                                             "lowercase", json_true()) != 0))
        return cf_fail(err, CF_ENOMEM, "text");
    printf("text          %s, up to %d tokens%s (%s)%s\n",
           text->spm ? "SentencePiece" : "byte-level BPE", tokens,
           text->spm ? " with </s>" : "",
           a->max_tokens            ? "asked for"
           : inf->text_max < TOKENS ? "what the transformer takes"
                                    : "default",
           a->lowercase ? ", in lower case (asked for)" : "");
    return a->prefix ? add_prefix(json_object_get(m->text, "encoder"), a->prefix, err)
                     : CF_OK;
}

/* ---- sampling ---- */

static enum cf_status choose_sampling(struct cf_model_spec *m,
                                      const struct cf_convert_args *a,
                                      const struct cf_geometry *g, struct cf_error *err)
{
    double cfg = a->cfg < 0 ? g->cfg : a->cfg, tau = a->tau < 0 ? g->tau : a->tau;
    double top_p = a->top_p < 0 ? g->top_p : a->top_p;
    int top_k = a->top_k < 0 ? g->top_k : a->top_k;
    char why[REASON];

    printf("cfg           %g (%s)\n", cfg, reason(why, a->cfg >= 0, g));
    printf("tau           %g (%s)\n", tau, reason(why, a->tau >= 0, g));
    printf("top-k         %d (%s)\n", top_k, reason(why, a->top_k >= 0, g));
    printf("top-p         %g (%s)\n", top_p, reason(why, a->top_p >= 0, g));
    printf("kv-type       %s (%s)\n", a->kv_type ? a->kv_type : "f32",
           a->kv_type ? "asked for" : "default");
    m->sampling = cf_sampling_section(cfg, tau, top_k, top_p, g->insert, a->kv_type);
    return m->sampling ? CF_OK : cf_fail(err, CF_ENOMEM, "sampling");
}

enum cf_status cf_choose(struct cf_model_spec *m, const struct cf_convert_args *a,
                         const struct cf_inf_shape *inf, const struct cf_geometry *known,
                         const struct cf_convert_text *text, size_t bytes, bool quantized,
                         struct cf_error *err)
{
    const struct cf_geometry *g = settings_of(known, inf);

    CF_TRY(choose_name(m, a, err));
    CF_TRY(choose_hold(m, a, bytes, quantized, err));
    CF_TRY(choose_sizes(m, a, g, err));
    CF_TRY(choose_text(m, a, inf, text, err));
    return choose_sampling(m, a, g, err);
}

void cf_choose_free(struct cf_model_spec *m)
{
    cf_free((char *)(uintptr_t)m->name);
    json_decref(m->sizes);
    json_decref(m->text);
    json_decref(m->sampling);
    m->name = NULL;
    m->sizes = m->text = m->sampling = NULL;
}
