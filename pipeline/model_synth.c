/* cfgen-model synth: a model of any geometry with random weights, for tests and
 * benchmarks. */
#include <stdlib.h>

#include "base/parse.h"
#include "base/team.h"
#include "pipeline/convert_out.h"
#include "pipeline/model_cmd.h"
#include "pipeline/synth_model.h"

enum {
    GEOMETRY = 256,
    ENCODER,
    DTYPE,
    TEXT_DTYPE,
    GROUP,
    SEED,
    HOLD,
    FORCE,
    EMBED,
    DEPTH,
    HEADS,
    MLP,
    BITS,
    BASE,
    TEXT_WIDTH,
    TEXT_LAYERS,
    TEXT_VOCAB
};

static const struct cf_option options[] = {
    {GEOMETRY, "geometry", "NAME",
     "infinity-125m ... infinity-2b, infinity-8b, or a text\n"
     "encoder alone: flan-t5-xl, qwen2-1.5b ... (an\n"
     "unknown name lists all); required"},
    {ENCODER, "text-encoder", "NAME",
     "of the model; default the one it was trained with"},
    {DTYPE, "dtype", "TYPE",
     "of the transformer's matrices: f32, f16, bf16, int8,\n"
     "4bit; default bf16"},
    {TEXT_DTYPE, "text-dtype", "TYPE", "of the encoder's matrices; default bf16"},
    {GROUP, "group", "32|64", "columns that share a scale in 4bit, default 32"},
    {HOLD, "hold", "pack|map",
     "pack: widened in memory, for small models; map: read\n"
     "where they lie (default)"},
    {SEED, "seed", "N", "the same seed gives the same files; default 0"},
    {'t', "threads", "N|auto", "compute threads, default auto"},
    {FORCE, "force", NULL, "replace a model that is at DIR"},
    {EMBED, "embed-dim", "N", "another width of the transformer ..."},
    {DEPTH, "depth", "N", "... number of blocks"},
    {HEADS, "num-heads", "N", "... number of heads"},
    {MLP, "mlp-hidden", "N", "... width of the MLP"},
    {BITS, "bits", "N", "... bits per position of the tokenizer"},
    {BASE, "base-channels", "N", "... channels of the tokenizer's finest level"},
    {TEXT_WIDTH, "text-width", "N", "... width of the text encoder"},
    {TEXT_LAYERS, "text-layers", "N", "... layers of the text encoder"},
    {TEXT_VOCAB, "text-vocab", "N", "... rows of its embedding"},
    {'h', "help", NULL, "show this help"},
    {0},
};

struct args {
    struct cf_synth_options o;
    int threads, hold;
};

/* Where the number of an option about the geometry goes; NULL for another option. */
static int *change_of(struct cf_synth_change *c, int key, const char **name, int *most)
{
    const struct {
        int key;
        const char *name;
        int *value, most;
    } row[] = {
        {EMBED, "--embed-dim", &c->embed_dim, 65536},
        {DEPTH, "--depth", &c->depth, 1024},
        {HEADS, "--num-heads", &c->heads, 1024},
        {MLP, "--mlp-hidden", &c->mlp, 1 << 20},
        {BITS, "--bits", &c->bits, 64},
        {BASE, "--base-channels", &c->base_channels, 1024},
        {TEXT_WIDTH, "--text-width", &c->text_width, 65536},
        {TEXT_LAYERS, "--text-layers", &c->text_layers, 1024},
        {TEXT_VOCAB, "--text-vocab", &c->text_vocab, 1 << 24},
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        if (row[i].key == key) {
            *name = row[i].name;
            *most = row[i].most;
            return row[i].value;
        }
    }
    return NULL;
}

static enum cf_status take(struct args *a, int key, const char *v, struct cf_error *err)
{
    static const char *const hold[] = {"map", "pack", NULL};
    const char *name = "";
    int most = 0, *number = change_of(&a->o.change, key, &name, &most);

    if (number)
        return cf_parse_int(v, 1, most, number, name, err);
    switch (key) {
    case GEOMETRY:
        a->o.geometry = v;
        return CF_OK;
    case ENCODER:
        a->o.encoder = v;
        return CF_OK;
    case DTYPE:
        return cf_wtype_parse(&a->o.type, v, err);
    case TEXT_DTYPE:
        return cf_wtype_parse(&a->o.text_type, v, err);
    case GROUP:
        return cf_group_parse(&a->o.group, v, err);
    case HOLD:
        CF_TRY(cf_parse_word(v, hold, &a->hold, "--hold", err));
        a->o.pack = a->hold;
        return CF_OK;
    case SEED:
        return cf_parse_u64(v, &a->o.seed, "--seed", err);
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &a->threads, "--threads", err);
    case FORCE:
        a->o.force = true;
        return CF_OK;
    default:
        return CF_OK;
    }
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    struct args a = {.o = {.type = CF_W_BF16,
                           .text_type = CF_W_BF16,
                           .group = CF_GROUP_DEFAULT,
                           .model_path = getenv("CFGEN_MODEL_PATH")}};
    struct cf_dnn *dnn = NULL;
    struct cf_team team;
    enum cf_status st;
    int key;

    while ((key = cf_cli_next(cli, err)) > 0)
        CF_TRY(take(&a, key, cli->value, err));
    if (key < 0)
        return CF_EUSAGE;
    if (!a.o.geometry)
        return cf_fail(err, CF_EUSAGE, "synth: --geometry is missing");
    if (cli->argc - cli->first != 1)
        return cf_fail(err, CF_EUSAGE, "synth: %d operands, expected one directory",
                       cli->argc - cli->first);
    cf_out_signals();
    CF_TRY(cf_team_count(&team, a.threads, err));
    CF_TRY(cf_dnn_open(&dnn, CF_CPU_AUTO, team.threads, err));
    st = cf_synth_model(&a.o, cli->argv[cli->first], dnn, err);
    cf_dnn_close(dnn);
    return st;
}

const struct cf_model_cmd cf_model_cmd_synth = {
    .name = "synth",
    .operands = "--geometry=NAME DIR",
    .summary = "make a model with random weights, for tests and benchmarks",
    .options = options,
    .run = run,
};
