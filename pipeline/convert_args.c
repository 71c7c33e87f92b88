#include "pipeline/convert_args.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/team.h"

enum {
    OPT_TRANSFORMER = 256,
    OPT_VAE,
    OPT_TEXT,
    OPT_TOKENIZER,
    OPT_PREFIX,
    OPT_KEY,
    OPT_IGNORE,
    OPT_ACCEPT,
    OPT_DTYPE,
    OPT_TEXT_DTYPE,
    OPT_GROUP,
    OPT_HOLD,
    OPT_NAME,
    OPT_CFG,
    OPT_TAU,
    OPT_TOP_K,
    OPT_TOP_P,
    OPT_TRAINED,
    OPT_CLASSES,
    OPT_SCALES,
    OPT_ROPE_GRID,
    OPT_MAX_TOKENS,
    OPT_LOWERCASE,
    OPT_KV_TYPE,
    OPT_FORCE,
};

const struct cf_option cf_convert_options[] = {
    {OPT_TRANSFORMER, "transformer", "FILE|DIR",
     "weights of the transformer: .pth or safetensors, one file or\n"
     "a folder of shards"},
    {OPT_VAE, "vae", "FILE", "weights of its tokenizer (VAE)"},
    {OPT_TEXT, "text-encoder", "DIR",
     "folder of its text encoder: config.json, weights and the\n"
     "tokenizer's files"},
    {OPT_TOKENIZER, "tokenizer", "FILE|DIR",
     "text tokenizer, where it is not in that folder"},
    {OPT_PREFIX, "prefix", "FILE", "system prompt before every prompt (not with T5)"},
    {OPT_KEY, "key", "PART=PREFIX",
     "which weights of a file with several, PART transformer, vae\n"
     "or text-encoder: --key=vae=ema"},
    {OPT_IGNORE, "ignore", "PATTERN",
     "leave out tensors of these names that no model has; repeatable"},
    {OPT_ACCEPT, "accept-pairing", NULL, "take files whose names contradict each other"},
    {OPT_DTYPE, "dtype", "TYPE",
     "matrices of the transformer: keep, f32, f16, bf16, int8 or\n"
     "4bit; default keep"},
    {OPT_TEXT_DTYPE, "text-dtype", "TYPE", "the same of the text encoder; default keep"},
    {OPT_GROUP, "group", "32|64", "columns that share a scale in 4bit, default 32"},
    {OPT_HOLD, "hold", "pack|map",
     "pack: widened in memory, for small models; map: read where\n"
     "they lie; default map above 64 MiB"},
    {OPT_NAME, "name", "NAME", "name of the model, default that of OUT"},
    {OPT_CFG, "cfg", "X", "guidance when none is asked for"},
    {OPT_TAU, "tau", "X", "temperature when none is asked for"},
    {OPT_TOP_K, "top-k", "N", "top-k when none is asked for, 0 off"},
    {OPT_TOP_P, "top-p", "X", "top-p when none is asked for, 0 off"},
    {OPT_TRAINED, "trained", "LIST",
     "size classes the model was trained for: 0.06M,0.25M,0.60M,1M"},
    {OPT_CLASSES, "classes", "LIST", "size classes it may be asked for, default all"},
    {OPT_SCALES, "scales", "LIST",
     "token grids of a model that has one size: 1x1,2x2,4x4"},
    {OPT_ROPE_GRID, "rope-grid", "HxW",
     "with it: grid of the rotary positions, default the last"},
    {OPT_MAX_TOKENS, "max-tokens", "N",
     "tokens of a prompt, its end token included; default 512 or\n"
     "what the transformer takes"},
    {OPT_LOWERCASE, "lowercase", NULL,
     "prompts in lower case, as the encoder was trained"},
    {OPT_KV_TYPE, "kv-type", "f32|bf16", "keys and values when none is asked for"},
    {'t', "threads", "N|auto", "threads for int8 and 4bit, default auto"},
    {OPT_FORCE, "force", NULL, "replace a model that is there already"},
    {'h', "help", NULL, "show this help"},
    {0},
};

const char *cf_convert_role_name(enum cf_convert_role role)
{
    static const char *const name[CF_NROLE] = {"transformer", "vae", "text-encoder"};

    return name[role];
}

/* ---- values ---- */

static enum cf_status read_type(struct cf_take_type *type, const char *word,
                                const char *what, struct cf_error *err)
{
    struct cf_error unknown = {0};

    type->keep = strcmp(word, "keep") == 0;
    if (type->keep || cf_wtype_parse(&type->type, word, &unknown) == CF_OK)
        return CF_OK;
    return cf_fail(err, CF_EUSAGE,
                   "%s: \"%.40s\", expected keep, f32, f16, bf16, int8 "
                   "or 4bit",
                   what, word);
}

static enum cf_status read_key(struct cf_convert_args *a, const char *value,
                               struct cf_error *err)
{
    const char *equals = strchr(value, '=');

    for (int r = 0; equals && r < CF_NROLE; r++) {
        const char *name = cf_convert_role_name((enum cf_convert_role)r);

        if (strlen(name) == (size_t)(equals - value) &&
            strncmp(value, name, strlen(name)) == 0) {
            a->key[r] = equals + 1;
            return CF_OK;
        }
    }
    return cf_fail(err, CF_EUSAGE,
                   "--key: \"%.80s\", expected transformer=PREFIX, vae=PREFIX or "
                   "text-encoder=PREFIX",
                   value);
}

/* Next word of "a,b,c" into buf; false at the end. */
static bool next_word(const char **list, char *buf, size_t size)
{
    size_t len = strcspn(*list, ",");

    if (**list == '\0')
        return false;
    snprintf(buf, size, "%.*s", (int)len, *list);
    *list += len + ((*list)[len] == ',');
    return true;
}

static enum cf_status read_classes(int on[CF_CLASSES], const char *list, const char *what,
                                   struct cf_error *err)
{
    char word[32];
    int class;

    memset(on, 0, CF_CLASSES * sizeof *on);
    while (next_word(&list, word, sizeof word)) {
        if (cf_class_parse(&class, word, err) != CF_OK)
            return cf_wrap(err, "%s", what);
        on[class] = 1;
    }
    for (int k = 0; k < CF_CLASSES; k++)
        if (on[k])
            return CF_OK;
    return cf_fail(err, CF_EUSAGE, "%s: no class is named", what);
}

/* A grid is written rows x columns, as in model.json. */
static enum cf_status read_grid(struct cf_scale *grid, const char *word, const char *what,
                                struct cf_error *err)
{
    return cf_parse_size(word, &grid->h, &grid->w, what, err);
}

static enum cf_status read_scales(struct cf_schedule *own, const char *list,
                                  struct cf_error *err)
{
    char word[32];

    own->n = 0;
    while (next_word(&list, word, sizeof word)) {
        if (own->n == CF_MAX_SCALES)
            return cf_fail(err, CF_EUSAGE, "--scales: more than %d grids", CF_MAX_SCALES);
        CF_TRY(read_grid(&own->scale[own->n++], word, "--scales", err));
    }
    return own->n ? CF_OK : cf_fail(err, CF_EUSAGE, "--scales: no grid is named");
}

static enum cf_status read_group(struct cf_convert_args *a, const char *value,
                                 struct cf_error *err)
{
    CF_TRY(cf_group_parse(&a->type.group, value, err));
    a->text_type.group = a->type.group;
    return CF_OK;
}

static enum cf_status read_ignore(struct cf_convert_args *a, const char *value,
                                  struct cf_error *err)
{
    if (a->n_ignore == CF_CONVERT_IGNORE)
        return cf_fail(err, CF_EUSAGE, "--ignore: more than %d times", CF_CONVERT_IGNORE);
    a->ignore[a->n_ignore++] = value;
    return CF_OK;
}

/* ---- options ---- */

static enum cf_status read_choice(struct cf_convert_args *a, int key, const char *v,
                                  struct cf_error *err)
{
    static const char *const hold[] = {"pack", "map", NULL};
    static const char *const kv[] = {"f32", "bf16", NULL};
    int i;

    switch (key) {
    case OPT_HOLD:
        return cf_parse_word(v, hold, &a->hold, "--hold", err);
    case OPT_CFG:
        return cf_parse_num(v, 0, 1000, &a->cfg, "--cfg", err);
    case OPT_TAU:
        return cf_parse_num(v, 1e-4, 1000, &a->tau, "--tau", err);
    case OPT_TOP_K:
        return cf_parse_int(v, 0, 1 << 30, &a->top_k, "--top-k", err);
    case OPT_TOP_P:
        return cf_parse_num(v, 0, 1, &a->top_p, "--top-p", err);
    case OPT_TRAINED:
        a->has_trained = true;
        return read_classes(a->trained, v, "--trained", err);
    case OPT_CLASSES:
        a->has_classes = true;
        return read_classes(a->classes, v, "--classes", err);
    case OPT_SCALES:
        return read_scales(&a->own, v, err);
    case OPT_ROPE_GRID:
        return read_grid(&a->own.rope, v, "--rope-grid", err);
    case OPT_MAX_TOKENS:
        return cf_parse_int(v, 2, 4096, &a->max_tokens, "--max-tokens", err);
    case OPT_KV_TYPE:
        CF_TRY(cf_parse_word(v, kv, &i, "--kv-type", err));
        a->kv_type = kv[i];
        return CF_OK;
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &a->threads, "--threads", err);
    default:
        return cf_fail(err, CF_EBUG, "option %d has no reader", key);
    }
}

static enum cf_status read_option(struct cf_convert_args *a, int key, const char *v,
                                  struct cf_error *err)
{
    switch (key) {
    case OPT_TRANSFORMER:
    case OPT_VAE:
    case OPT_TEXT:
        a->path[key - OPT_TRANSFORMER] = v;
        return CF_OK;
    case OPT_TOKENIZER:
        a->tokenizer = v;
        return CF_OK;
    case OPT_PREFIX:
        a->prefix = v;
        return CF_OK;
    case OPT_KEY:
        return read_key(a, v, err);
    case OPT_IGNORE:
        return read_ignore(a, v, err);
    case OPT_DTYPE:
        return read_type(&a->type, v, "--dtype", err);
    case OPT_TEXT_DTYPE:
        return read_type(&a->text_type, v, "--text-dtype", err);
    case OPT_GROUP:
        return read_group(a, v, err);
    case OPT_NAME:
        a->name = v;
        return CF_OK;
    case OPT_ACCEPT:
        a->accept_pairing = true;
        return CF_OK;
    case OPT_LOWERCASE:
        a->lowercase = true;
        return CF_OK;
    case OPT_FORCE:
        a->force = true;
        return CF_OK;
    default:
        return read_choice(a, key, v, err);
    }
}

static enum cf_status check(struct cf_convert_args *a, const struct cf_cli *cli,
                            struct cf_error *err)
{
    for (int r = 0; r < CF_NROLE; r++)
        if (!a->path[r])
            return cf_fail(err, CF_EUSAGE,
                           "convert: --%s is missing: a model is a transformer, its VAE "
                           "and its text encoder",
                           cf_convert_role_name((enum cf_convert_role)r));
    if (cli->argc - cli->first != 1)
        return cf_fail(err, CF_EUSAGE,
                       "convert: %d operands, expected one: the directory to make",
                       cli->argc - cli->first);
    a->out = cli->argv[cli->first];
    if (a->own.n && (a->has_classes || a->has_trained))
        return cf_fail(err, CF_EUSAGE,
                       "--scales is for a model of one size: no --classes, no --trained");
    if (a->own.rope.h && !a->own.n)
        return cf_fail(err, CF_EUSAGE, "--rope-grid goes with --scales");
    if (a->own.n && !a->own.rope.h)
        a->own.rope = a->own.scale[a->own.n - 1];
    return CF_OK;
}

enum cf_status cf_convert_args_read(struct cf_convert_args *a, struct cf_cli *cli,
                                    struct cf_error *err)
{
    int key;

    *a = (struct cf_convert_args){
        .type = {.keep = true, .group = CF_GROUP_DEFAULT},
        .text_type = {.keep = true, .group = CF_GROUP_DEFAULT},
        .hold = -1,
        .cfg = -1,
        .tau = -1,
        .top_p = -1,
        .top_k = -1,
    };
    while ((key = cf_cli_next(cli, err)) > 0)
        CF_TRY(read_option(a, key, cli->value, err));
    return key < 0 ? CF_EUSAGE : check(a, cli, err);
}
