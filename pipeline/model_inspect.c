/* cfgen-model inspect: what a model is, or a file before it becomes one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/inspect.h"
#include "pipeline/model_cmd.h"

enum { OPT_JSON = 256 };

static const struct cf_option options[] = {
    {'h', "help", NULL, "show this help"},
    {OPT_JSON, "json", NULL, "one JSON object for each path, a line each"},
    {0},
};

static const char *str(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));

    return s ? s : "";
}

static int64_t num(const json_t *obj, const char *key)
{
    return json_integer_value(json_object_get(obj, key));
}

/* "4.41 GB", of 1000s as disks and the specification count. */
static const char *size_of(char buf[24], int64_t bytes)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 999.5 && u + 1 < sizeof unit / sizeof unit[0]) {
        v /= 1000;
        u++;
    }
    snprintf(buf, 24,
             v < 10 && u > 0    ? "%.2f %s"
             : v < 100 && u > 0 ? "%.1f %s"
                                : "%.0f %s",
             v, unit[u]);
    return buf;
}

static void head(const char *label)
{
    printf("  %-13s ", label);
}

/* "2,204,564,032 parameters; 4.41 GB: BF16 4.40 GB in 420, F32 ..." */
static void print_tensors(const json_t *part)
{
    const json_t *types = json_object_get(part, "types"), *t;
    const char *name, *sep = "";
    char buf[24];

    head("");
    printf("%" PRId64 " parameters, %s:", num(part, "parameters"),
           size_of(buf, num(part, "bytes")));
    json_object_foreach((json_t *)types, name, t)
    {
        printf("%s %s %s in %" PRId64, sep, name, size_of(buf, num(t, "bytes")),
               num(t, "tensors"));
        sep = ",";
    }
    printf(" tensors\n");
}

static void print_transformer(const json_t *p)
{
    const char *name = str(p, "geometry");

    head("transformer");
    printf("%s: depth %" PRId64 ", width %" PRId64 ", %" PRId64 " heads of %" PRId64
           ", feed-forward %" PRId64 "\n",
           *name ? name : "own geometry", num(p, "depth"), num(p, "embed_dim"),
           num(p, "num_heads"), num(p, "head_size"), num(p, "mlp_hidden"));
    head("");
    printf("%" PRId64 " bits a token; text %" PRId64 " wide, up to %" PRId64
           " tokens, pooled by %" PRId64 " heads\n",
           num(p, "bits_per_token"), num(p, "text_width"), num(p, "text_maxlen"),
           num(p, "pool_heads"));
    print_tensors(p);
}

static void print_vae(const json_t *p)
{
    const char *name = str(p, "geometry");
    const json_t *mult = json_object_get(p, "ch_mult");

    head("tokenizer");
    printf("%s: %" PRId64 " bits, %" PRId64 " pixels a side; channels %" PRId64 " x",
           *name ? name : "own geometry", num(p, "bits"), num(p, "patch"),
           num(p, "base_channels"));
    for (size_t i = 0; i < json_array_size(mult); i++)
        printf("%s%" JSON_INTEGER_FORMAT, i ? "," : " ",
               json_integer_value(json_array_get(mult, i)));
    printf("; %s encoder\n",
           json_is_true(json_object_get(p, "encoder")) ? "with" : "without");
    print_tensors(p);
}

static void print_encoder(const json_t *p)
{
    const json_t *c = json_object_get(p, "config");
    const char *name = str(p, "geometry");
    int64_t layers = num(c, "num_layers"); /* T5's word */

    head("text encoder");
    printf("%s: %s, %" PRId64 " layers, features %" PRId64 " wide\n",
           *name ? name : "own geometry", str(c, "model_type"),
           layers ? layers : num(c, "num_hidden_layers"), num(p, "width"));
    print_tensors(p);
}

static void print_list(const json_t *list, const char *none)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
    if (json_array_size(list) == 0)
        printf("%s", none);
}

static void print_pairs(const json_t *facts)
{
    const json_t *p = json_object_get(facts, "pairs_with");
    const char *vae = str(p, "vae");

    if (!p)
        return;
    head("pairs with");
    if (json_object_get(p, "text_encoders"))
        printf("tokenizer %s%s%" PRId64 " bits%s; a text encoder %" PRId64 " wide%s%s\n",
               vae, *vae ? ", " : "of ", num(p, "vae_bits"),
               !*vae && num(p, "vae_bits") % 4 == 0 ? ", or of a quarter and 8 pixels"
                                                    : "",
               num(p, "text_width"), *str(p, "text_encoders") ? ": " : "",
               str(p, "text_encoders"));
    else {
        if (json_object_get(p, "bits_per_token"))
            printf("transformers of %" PRId64 " bits a token: ",
                   num(p, "bits_per_token"));
        else
            printf("transformers of text %" PRId64 " wide: ", num(p, "text_width"));
        print_list(json_object_get(p, "transformers"), "none that is known by name");
        printf("\n");
    }
}

static void print_sizes(const json_t *facts)
{
    const json_t *s = json_object_get(facts, "sizes"), *own, *last;

    if (!s)
        return;
    head("sizes");
    own = json_object_get(s, "scales");
    last = json_array_get(own, json_array_size(own) - 1);
    if (own)
        printf("one of %zu scales, %" JSON_INTEGER_FORMAT " x %" JSON_INTEGER_FORMAT
               " tokens\n",
               json_array_size(own), json_integer_value(json_array_get(last, 1)),
               json_integer_value(json_array_get(last, 0)));
    else {
        printf("15 ratios in ");
        print_list(json_object_get(s, "classes"), "no class");
        printf("; trained in ");
        print_list(json_object_get(s, "trained"), "none");
        printf("\n");
    }
}

/* now: 0 for a model, which has something now, 1 for a file. */
static void print_row(const char *label, const json_t *by_type, int now)
{
    static const char *const type[] = {"now", "f32", "bf16", "int8", "4bit"};
    char buf[24];

    printf("  %-36s", label);
    for (int i = now; i < 5; i++) {
        const json_t *n = json_object_get(by_type, type[i]);

        printf(" %9s", n ? size_of(buf, json_integer_value(n)) : "");
    }
    printf("\n");
}

static void print_memory(const json_t *facts)
{
    const json_t *m = json_object_get(facts, "memory");
    const json_t *sizes = json_object_get(m, "sizes");
    int now = strcmp(str(facts, "kind"), "model") == 0 ? 0 : 1;
    char label[64], work[24];
    size_t i;

    if (!m)
        return;
    printf("  %-36s%s %9s %9s %9s %9s\n", "memory", now ? "" : "       now", "f32",
           "bf16", "int8", "4bit");
    if (json_object_get(m, "text_encoder"))
        print_row("  text encoder, runs first", json_object_get(m, "text_encoder"), now);
    if (json_object_get(m, "transformer"))
        print_row("  transformer", json_object_get(m, "transformer"), now);
    for (i = 0; i < json_array_size(sizes); i++) {
        const json_t *s = json_array_get(sizes, i), *next = json_array_get(sizes, i + 1);
        /* Where decoding needs more than all keys and values, their type is nothing. */
        bool either = num(s, "work") == num(next, "work") &&
                      num(s, "width") == num(next, "width") &&
                      num(s, "height") == num(next, "height");

        snprintf(label, sizeof label, "  %" PRId64 "x%" PRId64 ", kv %s, work %s",
                 num(s, "width"), num(s, "height"), either ? "any" : str(s, "kv_type"),
                 size_of(work, num(s, "work")));
        print_row(label, json_object_get(s, "total"), now);
        i += either;
    }
    if (sizes)
        printf("  (a size: transformer, decoder %s and work of one image; prompts of up "
               "to %" PRId64 " tokens)\n",
               size_of(work, num(m, "vae")), num(m, "prompt_tokens"));
}

static void print_packed(const json_t *facts)
{
    const json_t *list = json_object_get(facts, "packed");
    const char *label = "packed weights";
    char bytes[24];
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *file = json_array_get(list, i);

        head(i ? "" : label);
        cf_cli_put(str(file, "file"));
        printf(", %s, %s\n", size_of(bytes, num(file, "bytes")),
               json_object_get(file, "isa") ? "in use"
                                            : "of another build, of no use here");
    }
}

static void print_facts(const json_t *facts)
{
    cf_cli_put(str(facts, "path"));
    if (json_object_get(facts, "name")) {
        printf(": model \"");
        cf_cli_put(str(facts, "name"));
        printf("\", hash %.12s, matrices %s\n", str(facts, "hash"),
               strcmp(str(facts, "hold"), "map") == 0 ? "read in place" : "packed");
    } else {
        printf(": %s, %s%s",
               strcmp(str(facts, "kind"), "vae") == 0           ? "tokenizer (VAE)"
               : strcmp(str(facts, "kind"), "transformer") == 0 ? "transformer"
                                                                : "text encoder",
               str(facts, "format"), *str(facts, "prefix") ? ", under " : "");
        cf_cli_put(str(facts, "prefix"));
        printf("\n");
    }
    if (json_object_get(facts, "transformer"))
        print_transformer(json_object_get(facts, "transformer"));
    if (json_object_get(facts, "vae"))
        print_vae(json_object_get(facts, "vae"));
    if (json_object_get(facts, "text_encoder"))
        print_encoder(json_object_get(facts, "text_encoder"));
    print_pairs(facts);
    print_sizes(facts);
    print_packed(facts);
    print_memory(facts);
}

static enum cf_status print_json(const json_t *facts, struct cf_error *err)
{
    /* ASCII, for names from files may hold what a terminal obeys. */
    const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15);

    if (json_dumpf(facts, stdout, flags) != 0)
        return cf_fail(err, CF_EIO, "stdout: cannot write");
    printf("\n");
    return CF_OK;
}

static enum cf_status run(struct cf_cli *cli, struct cf_error *err)
{
    bool as_json = false;
    int key;

    while ((key = cf_cli_next(cli, err)) > 0)
        as_json = as_json || key == OPT_JSON;
    if (key < 0)
        return CF_EUSAGE;
    if (cli->first == cli->argc)
        return cf_fail(err, CF_EUSAGE, "inspect: a model or a file is missing");
    for (int i = cli->first; i < cli->argc; i++) {
        enum cf_status status = CF_OK;
        json_t *facts;

        CF_TRY(cf_inspect(&facts, cli->argv[i], err));
        if (as_json)
            status = print_json(facts, err);
        else
            print_facts(facts);
        json_decref(facts);
        CF_TRY(status);
    }
    return CF_OK;
}

const struct cf_model_cmd cf_model_cmd_inspect = {
    .name = "inspect",
    .operands = "DIR|FILE...",
    .summary = "tell what a model is, or a file or folder before conversion",
    .options = options,
    .run = run,
};
