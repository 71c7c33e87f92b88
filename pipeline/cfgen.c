/* cfgen.c - one prompt, one image; and what an image says of itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cli.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/team.h"
#include "base/utf8.h"
#include "config.h"
#include "pipeline/finish.h"
#include "pipeline/packed.h"
#include "pipeline/rerun.h"
#include "pipeline/room.h"
#include "pipeline/scales.h"
#include "pipeline/single.h"
#include "pipeline/stop.h"
#include "pipeline/variation.h"
#include "store/sink.h"

enum {
    TOP_K = 256,
    TOP_P,
    INSERT,
    FLIP,
    CFG_SKIP,
    PRUNE,
    INIT,
    KEEP,
    QUALITY,
    LOSSLESS,
    METHOD,
    STRICT,
    KV_TYPE,
    MEMORY,
    PACK_CACHE,
    POSITIVE,
    PREVIEWS,
    META,
    METADATA,
    DB,
    JOB,
    CHECK,
    UNSAFE,
    FROM,
    SHOW_VERSION
};

static const struct cf_option options[] = {
    {'m', "model", "NAME|DIR", "model; default $CFGEN_MODEL, else the one installed"},
    {'o', "output", "FILE",
     "WebP file to write, \"-\" for standard output;\n"
     "default image.webp"},
    {'s', "size", "WxH|W:H|CLASS|W:H@CLASS",
     "pixels, or a ratio and a class of pixels, such as\n"
     "0.25M, that the model has; default its own size"},
    {'S', "seed", "N", "0..18446744073709551615, default 0"},
    {'N', "negative", "TEXT", "negative prompt"},
    {'g', "cfg", "LIST", "guidance, one number or one per scale; 1 is off"},
    {'T', "tau", "LIST", "temperature, one number or one per scale"},
    {TOP_K, "top-k", "N", "1 is greedy, 0 off"},
    {TOP_P, "top-p", "P", "0..1, 0 is off"},
    {INSERT, "cfg-insertion-layer", "LIST",
     "where guidance mixes: 0 the logits, -K after\n"
     "block depth-K"},
    {FLIP, "flip-bits", "LIST",
     "inject wrong bits with this probability, one number\n"
     "(all scales but the last) or one per scale"},
    {CFG_SKIP, "cfg-skip", "N", "approximate: no guidance at the last N scales"},
    {PRUNE, "prune-tokens", "LIST",
     "approximate: leave out this share of the tokens of\n"
     "the last scale, or of as many last scales as given"},
    {INIT, "init-image", "FILE", "WebP image of any size ..."},
    {KEEP, "keep-scales", "N", "... whose first N scales are kept"},
    {KV_TYPE, "kv-type", "f32|bf16", "of kept keys and values; default the model's own"},
    {MEMORY, "memory", "BYTES[K|M|G]|auto",
     "what this process may take; auto: physical memory,\n"
     "cgroup or Slurm, less a sixteenth"},
    {PACK_CACHE, "pack-cache", "auto|DIR|off",
     "keep packed weights for later runs, beside the model or\n"
     "in DIR; default $CFGEN_PACK_CACHE, else off"},
    {POSITIVE, "positive-prompt", NULL,
     "where the prompt names people, add the reference's\n"
     "sentence about good-looking faces"},
    {PREVIEWS, "previews", NULL,
     "also write the image as it is after each scale:\n"
     "image.s00.webp and so on, beside image.webp"},
    {STRICT, "strict-size", NULL, "refuse a size that the model does not name"},
    {QUALITY, "quality", "Q", "WebP quality 0..100, default 90"},
    {LOSSLESS, "lossless", NULL, "WebP without loss"},
    {METHOD, "method", "N", "WebP effort 0..6, default 4"},
    {METADATA, "metadata", "full|minimal|none", "what the image tells, default full"},
    {'t', "threads", "N|auto", "compute threads, default auto"},
    {DB, "db", "FILE", "make a done job of this queue again and compare ..."},
    {JOB, "job", "ID", "... the one with this number"},
    {UNSAFE, "unsafe-shared-db", NULL,
     "allow a queue on a file system shared between machines"},
    {FROM, "from", "FILE", "make a WebP image of ours again from its own record"},
    {CHECK, "check", NULL, "with --job or --from: only compare"},
    {META, "meta", "FILE", "print what an image says of itself, as JSON"},
    {'v', "verbose", NULL, "say what is done on standard error"},
    {'h', "help", NULL, "show this help"},
    {SHOW_VERSION, "version", NULL, "show the version"},
    {0, NULL, NULL, NULL},
};

#define DEFAULT_OUTPUT "image.webp"

struct args {
    struct cf_settings recipe;
    struct cf_request req;
    struct cf_rerun rerun;
    const char *model, *output, *init, *meta, *pack_cache;
    enum cf_meta_level level;
    enum cf_cpu cpu;
    int64_t memory; /* 0: find out */
    int threads;
    bool check, previews, verbose, help, version;
};

static enum cf_status floats(const char *v, double lo, double hi, float *dst, int *n,
                             const char *what, struct cf_error *err)
{
    double d[CF_MAX_STEPS];

    CF_TRY(cf_parse_list(v, lo, hi, d, CF_MAX_STEPS, n, what, err));
    for (int i = 0; i < *n; i++)
        dst[i] = (float)d[i];
    return CF_OK;
}

static enum cf_status insertion(const char *v, struct cf_gen_params *p,
                                struct cf_error *err)
{
    double d[CF_MAX_INSERT];

    CF_TRY(cf_parse_list(v, -1000, 0, d, CF_MAX_INSERT, &p->n_insert,
                         "--cfg-insertion-layer", err));
    for (int i = 0; i < p->n_insert; i++)
        p->insert[i] = (int)d[i];
    return CF_OK;
}

static enum cf_status set_sampling(struct cf_gen_params *p, int key, const char *v,
                                   struct cf_error *err)
{
    double d;

    switch (key) {
    case KV_TYPE:
        return cf_kv_parse(v, &p->kv_type, "--kv-type", err);
    case 'g':
        return floats(v, 0, 100, p->guidance, &p->n_guidance, "--cfg", err);
    case 'T':
        return floats(v, 0.001, 100, p->temperature, &p->n_temperature, "--tau", err);
    case FLIP:
        return floats(v, 0, 1, p->flip, &p->n_flip, "--flip-bits", err);
    case CFG_SKIP:
        return cf_parse_int(v, 0, CF_MAX_STEPS, &p->cfg_skip, "--cfg-skip", err);
    case PRUNE:
        return floats(v, 0, 1, p->prune, &p->n_prune, "--prune-tokens", err);
    case INSERT:
        return insertion(v, p, err);
    case TOP_K:
        return cf_parse_int(v, 0, 1 << 30, &p->top_k, "--top-k", err);
    case TOP_P:
        CF_TRY(cf_parse_num(v, 0, 1, &d, "--top-p", err));
        p->top_p = (float)d;
        return CF_OK;
    case STRICT:
        p->strict_size = 1;
        return CF_OK;
    default:
        return cf_fail(err, CF_EBUG, "option %d has no meaning", key);
    }
}

static enum cf_status set_size(struct cf_settings *r, const char *v, struct cf_error *err)
{
    cf_free(r->size);
    r->size = NULL;
    CF_TRY(cf_parse_size_or_name(v, &r->params.width, &r->params.height, "--size", err));
    if (!r->params.width)
        r->size = cf_strdup(v, err);
    return r->params.width || r->size ? CF_OK : CF_ENOMEM;
}

/* How the file is written. */
static enum cf_status set_file(struct args *a, int key, const char *v,
                               struct cf_error *err)
{
    double d;

    switch (key) {
    case QUALITY:
        CF_TRY(cf_parse_num(v, 0, 100, &d, "--quality", err));
        a->recipe.webp.quality = (float)d;
        return CF_OK;
    case LOSSLESS:
        a->recipe.webp.lossless = true;
        return CF_OK;
    case METHOD:
        return cf_parse_int(v, 0, 6, &a->recipe.webp.method, "--method", err);
    case METADATA:
        return cf_meta_level_parse(v, &a->level, "--metadata", err);
    case PREVIEWS:
        a->previews = true;
        return CF_OK;
    default:
        return set_sampling(&a->recipe.params, key, v, err);
    }
}

static enum cf_status set(struct args *a, int key, const char *v, struct cf_error *err)
{
    switch (key) {
    case 'm':
        a->model = v;
        return CF_OK;
    case 'o':
        a->output = v;
        return CF_OK;
    case 's':
        return set_size(&a->recipe, v, err);
    case POSITIVE:
        a->req.positive = true;
        return CF_OK;
    case PACK_CACHE:
        return cf_packed_parse(&a->pack_cache, v, "--pack-cache", err);
    case MEMORY:
        return cf_room_parse(v, &a->memory, err);
    case 'S':
        return cf_parse_u64(v, &a->req.seed, "--seed", err);
    case 'N':
        a->req.negative = v;
        a->req.negative_len = strlen(v);
        return CF_OK;
    case INIT:
        a->init = v;
        return CF_OK;
    case KEEP:
        return cf_parse_int(v, 1, CF_MAX_STEPS, &a->req.keep, "--keep-scales", err);
    case 't':
        return cf_parse_auto(v, CF_MAX_THREADS, &a->threads, "--threads", err);
    case META:
        a->meta = v;
        return CF_OK;
    case DB:
        a->rerun.db = v;
        return CF_OK;
    case JOB:
        return cf_parse_i64(v, 1, INT64_MAX, &a->rerun.job, "--job", err);
    case UNSAFE:
        a->rerun.unsafe = true;
        return CF_OK;
    case FROM:
        a->rerun.from = v;
        return CF_OK;
    case CHECK:
        a->check = true;
        return CF_OK;
    case 'v':
        a->verbose = true;
        return CF_OK;
    case 'h':
        a->help = true;
        return CF_OK;
    case SHOW_VERSION:
        a->version = true;
        return CF_OK;
    default:
        return set_file(a, key, v, err);
    }
}

/* A WebP file. */
static enum cf_status read_image(const char *path, struct cf_blob *out,
                                 struct cf_error *err)
{
    enum { LIMIT = 256 << 20 };

    out->data = (uint8_t *)cf_file_read(path, LIMIT, &out->size, err);
    return out->data ? CF_OK : err->status;
}

/* As JSON; in ASCII when the texts, which anybody may have written, hold what a terminal
 * would obey. A reader of JSON gets the same texts either way. NULL: out of memory. */
static char *meta_text(const json_t *meta)
{
    size_t flags = JSON_SORT_KEYS | JSON_INDENT(2);
    char *plain = json_dumps(meta, JSON_COMPACT);
    char *safe =
        plain ? cf_utf8_printable(plain, strlen(plain), strlen(plain), NULL) : NULL;

    if (!safe || strcmp(safe, plain) != 0)
        flags |= JSON_ENSURE_ASCII;
    cf_free(safe);
    free(plain);
    return json_dumps(meta, flags);
}

static enum cf_status print_meta(const char *path, struct cf_error *err)
{
    struct cf_blob file = {0};
    enum cf_status st = read_image(path, &file, err);
    json_t *meta = NULL;
    char *text = NULL;

    if (st == CF_OK)
        st = cf_meta_read(file.data, file.size, &meta, err);
    if (st == CF_OK) {
        text = meta_text(meta);
        if (text)
            puts(text);
        st = text ? cf_cli_flush(err) : cf_fail(err, CF_ENOMEM, "memory: %s", path);
    } else {
        cf_wrap(err, "%s", path);
    }
    free(text);
    json_decref(meta);
    cf_blob_free(&file);
    return st;
}

static enum cf_status put(const struct args *a, const struct cf_blob *blob,
                          struct cf_error *err)
{
    if (strcmp(a->output, "-") != 0)
        return cf_file_put(a->output, blob->data, blob->size, err);
    if (fwrite(blob->data, 1, blob->size, stdout) != blob->size)
        return cf_fail(err, CF_EIO, "standard output: %s", strerror(errno));
    return cf_cli_flush(err);
}

/* ---- previews ---- */

struct previews {
    const struct args *a;
    struct cf_preview told;
};

/* "image.s03.webp" for "image.webp". */
static enum cf_status show(void *ctx, int step, const struct cf_image *image,
                           struct cf_error *err)
{
    const struct args *a = ((struct previews *)ctx)->a;
    size_t n = strlen(a->output);
    struct cf_blob blob = {0};
    enum cf_status st;
    char *path;

    if (n > 5 && strcmp(a->output + n - 5, ".webp") == 0)
        n -= 5;
    path = cf_format(err, "%.*s.s%02d.webp", (int)n, a->output, step);
    st = path ? cf_webp_encode(image, &a->recipe.webp, &blob, err) : CF_ENOMEM;
    if (st == CF_OK)
        st = cf_file_put(path, blob.data, blob.size, err);
    cf_blob_free(&blob);
    cf_free(path);
    return st;
}

/* ---- the image ---- */

/* The size is known from the model, and with it what the initial image becomes. */
static enum cf_status prepare(struct args *a, struct cf_engine *engine,
                              struct cf_plan *plan, struct cf_variation *init,
                              struct cf_error *err)
{
    CF_TRY(cf_settings_size(&a->recipe, cf_engine_model(engine), err));
    CF_TRY(cf_single_fit(engine, &a->recipe.params, NULL, a->memory, err));
    if (!a->init)
        return CF_OK;
    CF_TRY(cf_engine_plan(engine, &a->recipe.params, 1, plan, err));
    CF_TRY(cf_variation_read(init, NULL, a->init, "", plan->width, plan->height, err));
    a->req.init = &init->image;
    a->req.init_sha256 = init->sha256;
    return CF_OK;
}

static void say(const struct args *a, const struct cf_plan *plan,
                const struct cf_story *story, double encode_ms,
                const struct cf_engine_times *times, size_t bytes)
{
    char peak[CF_BYTES_TEXT];

    fprintf(stderr,
            "cfgen: %s: %dx%d, %zu bytes; encode %.0f ms, generate %.0f ms, decode %.0f "
            "ms; %s; peak memory %s\n",
            a->output, plan->width, plan->height, bytes, encode_ms, times->generate,
            times->decode, story->weights, cf_bytes_text(peak, (double)cf_memory_peak()));
}

static enum cf_status make(struct args *a, struct cf_engine *engine, struct cf_dnn *dnn,
                           struct cf_stop *stop, struct cf_error *err)
{
    struct cf_plan *plan = cf_alloc(1, sizeof *plan, err);
    struct cf_result result = {{0}, "", 0};
    struct cf_encoded *text[2] = {NULL, NULL};
    struct cf_engine_times times = {0};
    double encode_ms = 0;
    struct cf_story story = {0};
    struct cf_blob blob = {0};
    struct cf_variation init = {0};
    struct previews previews = {a, {show, &previews}};
    enum cf_status st = CF_ENOMEM;
    bool proved = false;

    if (!plan)
        return st;
    a->req.watch = cf_scales_watch(a->verbose);
    if (a->previews)
        a->req.preview = &previews.told;
    st = prepare(a, engine, plan, &init, err);
    if (st == CF_OK)
        st = cf_single_encode(&a->req, engine, dnn, &stop->cancel, text, &encode_ms, err);
    if (st == CF_OK)
        st = cf_single_fit(engine, &a->recipe.params, &a->req, a->memory, err);
    if (st == CF_OK)
        st = cf_engine_run(engine, &a->recipe.params, &a->req, 1, &stop->cancel, plan,
                           &result, &times, err);
    if (st == CF_OK)
        st = cf_story_make(&story, engine, dnn, &a->req, plan, &a->recipe.webp, &result,
                           NULL, err);
    if (st == CF_OK)
        st = cf_finish_encode(&result.image, &a->recipe.webp, &story, a->level,
                              &stop->cancel, &proved, &blob, err);
    if (st == CF_OK)
        st = put(a, &blob, err);
    if (st == CF_OK && story.note)
        fprintf(stderr, "cfgen: note: %s\n", story.note);
    if (st == CF_OK && a->verbose)
        say(a, plan, &story, encode_ms, &times, blob.size);
    for (int i = 0; i < 2; i++)
        cf_encoded_drop(text[i]);
    cf_blob_free(&blob);
    cf_story_free(&story);
    cf_result_free(&result);
    cf_variation_free(&init);
    cf_free(plan);
    return st;
}

static enum cf_status check(struct args *a, struct cf_error *err)
{
    size_t at;

    if (!cf_utf8_valid(a->req.prompt, a->req.prompt_len, &at))
        return cf_fail(err, CF_EFORMAT, "prompt: ill-formed UTF-8 at byte %zu", at);
    if (a->req.negative && !cf_utf8_valid(a->req.negative, a->req.negative_len, &at))
        return cf_fail(err, CF_EFORMAT, "negative prompt: ill-formed UTF-8 at byte %zu",
                       at);
    if (!a->init != !a->req.keep)
        return cf_fail(err, CF_EUSAGE, "--init-image and --keep-scales go together");
    if (a->previews && strcmp(a->output, "-") == 0)
        return cf_fail(err, CF_EUSAGE,
                       "--previews lie beside the image: with --output=- "
                       "there is no place for them");
    return cf_webp_check(&a->recipe.webp, err);
}

/* Before the work: the name is a promise that is not kept. */
static void note_suffix(const char *output)
{
    static const char *const other[] = {".png", ".jpg", ".jpeg"};
    const char *dot = output ? strrchr(output, '.') : NULL;

    for (size_t i = 0; dot && i < sizeof other / sizeof other[0]; i++)
        if (strcasecmp(dot, other[i]) == 0)
            fprintf(stderr,
                    "cfgen: note: %s will be a WebP file, whatever its name; dwebp makes "
                    "PNG of WebP\n",
                    output);
}

static void tell_packed(void *ctx, enum cf_log_level level, const char *what,
                        const char *path, const char *why)
{
    const struct args *a = ctx;

    if (why)
        fprintf(stderr, "cfgen: note: %s: %s\n", what, why);
    else if (a->verbose || level >= CF_LOG_WARN)
        fprintf(stderr, "cfgen: %s: %s\n", what, path);
}

static enum cf_status generate(struct args *a, struct cf_error *err)
{
    struct cf_packed_options po = {.cache = a->pack_cache, .tell = tell_packed, .ctx = a};
    struct cf_packed *packed = NULL;
    struct cf_engine *engine = NULL;
    struct cf_dnn *dnn = NULL;
    struct cf_stop stop;
    struct cf_team team;
    enum cf_status st;
    char *dir = NULL;

    CF_TRY(check(a, err));
    note_suffix(a->output);
    CF_TRY(cf_team_count(&team, a->threads, err));
    po.threads = team.threads;
    CF_TRY(cf_stop_start(&stop, 0, NULL, NULL,
                         err)); /* no grace: a signal drops the image */
    st = cf_model_find(&dir, a->model, getenv("CFGEN_MODEL_PATH"), err);
    if (st == CF_OK)
        st = cf_dnn_open(&dnn, a->cpu, team.threads, err);
    if (st == CF_OK)
        st = cf_packed_open(&packed, &po, err);
    if (st == CF_OK)
        st = cf_engine_open(&engine, dnn, dir, packed, err);
    if (st == CF_OK)
        st = make(a, engine, dnn, &stop, err);
    cf_engine_close(engine);
    cf_packed_close(packed);
    cf_dnn_close(dnn);
    cf_free(dir);
    cf_stop_end(&stop);
    return st;
}

static bool wants_again(const struct args *a)
{
    return a->rerun.db || a->rerun.job || a->rerun.from || a->rerun.unsafe || a->check;
}

/* An image that was made before. The exit status where nothing went wrong. */
static int again(struct args *a, struct cf_error *err)
{
    bool same = false;

    if (!a->rerun.from == !a->rerun.job || !a->rerun.job != !a->rerun.db) {
        cf_fail(err, CF_EUSAGE, "--from=FILE, or --db=FILE with --job=ID, is expected");
        return 1;
    }
    a->rerun.output = a->output || a->check ? a->output : DEFAULT_OUTPUT;
    note_suffix(a->rerun.output);
    a->rerun.usual = getenv("CFGEN_MODEL");
    a->rerun.model = a->model == a->rerun.usual ? NULL : a->model;
    a->rerun.model_path = getenv("CFGEN_MODEL_PATH");
    a->rerun.init = a->init;
    a->rerun.kv_type = a->recipe.params.kv_type;
    a->rerun.memory = a->memory;
    a->rerun.pack_cache = a->pack_cache;
    a->rerun.cpu = a->cpu;
    a->rerun.threads = a->threads;
    a->rerun.watch = cf_scales_watch(a->verbose);
    if (cf_rerun(&a->rerun, &same, err) == CF_OK)
        cf_cli_flush(err);
    return same ? 0 : 1;
}

static void tell(const struct args *a)
{
    if (a->version) {
        printf("cfgen (cfgen) %s\n", PACKAGE_VERSION);
    } else {
        printf("Usage: cfgen [OPTION]... PROMPT\n"
               "       cfgen --from=FILE|--db=FILE --job=ID [--check] [OPTION]...\n"
               "       cfgen --meta=FILE\n"
               "Make one WebP image from one prompt.\n\n");
        cf_cli_help(options);
        printf("\nExit statuses are those of sysexits.h. See cfgen(1).\n");
    }
}

int main(int argc, char **argv)
{
    struct cf_cli cli = {.table = options, .argc = argc, .argv = argv};
    struct args a = {0};
    struct cf_error err = {0};
    int key, status = 0;

    cf_team_calm(argv);
    cf_cli_start();
    cf_gen_params_default(&a.recipe.params);
    cf_webp_default(&a.recipe.webp);
    a.model = getenv("CFGEN_MODEL");
    a.pack_cache = getenv("CFGEN_PACK_CACHE");
    cf_cpu_parse(&a.cpu, getenv("CFGEN_CPU"), &err);
    cf_finish_date(&err);
    while ((key = cf_cli_next(&cli, &err)) > 0)
        if (set(&a, key, cli.value, &err) != CF_OK)
            break;
    if (err.status == CF_OK && (a.help || a.version)) {
        tell(&a);
        cf_cli_flush(&err);
    } else if (err.status == CF_OK && a.meta) {
        print_meta(a.meta, &err);
    } else if (err.status == CF_OK && wants_again(&a)) {
        if (argc > cli.first)
            cf_fail(&err, CF_EUSAGE, "'%.80s': no operand is expected", argv[cli.first]);
        else
            status = again(&a, &err);
    } else if (err.status == CF_OK && argc - cli.first != 1) {
        cf_fail(&err, CF_EUSAGE, "%d operands, expected one prompt (in quotes)",
                argc - cli.first);
    } else if (err.status == CF_OK) {
        if (!a.output)
            a.output = DEFAULT_OUTPUT;
        a.req.prompt = argv[cli.first];
        a.req.prompt_len = strlen(argv[cli.first]);
        generate(&a, &err);
    }
    cf_settings_free(&a.recipe);
    return err.status == CF_OK ? status : cf_cli_complain("cfgen", &err);
}
