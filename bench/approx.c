/* approx.c - what an approximation costs in quality and saves in time.
 *
 *     approx quality MODEL PROMPTS SEEDS RECIPE...
 *     approx time MODEL PROMPTS ROUNDS THREADS RECIPE...
 *
 * PROMPTS has one prompt a line; a RECIPE is JSON as in cfgen-jobs(5), and its "model"
 * names another model than MODEL. The first recipe is what the others are compared with.
 *
 * quality: images of every prompt with seeds 0 .. SEEDS-1, one line per recipe:
 *   same   images with the same pixels as those of the first recipe, percent
 *   psnr   dB, of the mean squared difference over all images
 *   ssim   mean structural similarity of luma, 8 x 8 windows four pixels apart
 *   bits   that differ, percent
 *   match  images whose nearest one among those that the first recipe makes of all
 * prompts with the same seed is that of their own prompt, percent and at last what
 * another seed makes of the first recipe: the distance between two images that are both
 * right.
 *
 * time: after one image each to warm up, ROUNDS images of the first prompt for each
 * recipe, taking turns; medians of milliseconds, and how many times faster. The decoder,
 * which no recipe changes, runs once a round. Text encoding and WebP are no part of it.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cli.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "pipeline/holding.h"
#include "pipeline/settings.h"
#include "pipeline/single.h"

enum { MODELS = 8, RECIPES = 64, PROMPTS = 4096, SEEDS = 1000 };

struct loaded {
    struct cf_engine *engine; /* for its text encoder */
    struct cf_gen *gen;
    char *dir;
    struct cf_encoded **text; /* [prompts] */
};

struct picture {
    uint8_t *rgb, *bits;
    size_t n_bits;
    struct cf_plan plan;
};

struct bench {
    struct cf_dnn *dnn;
    char *list; /* the file of prompts */
    char *prompt[PROMPTS];
    int prompts, models, recipes;
    struct loaded model[MODELS];
    struct cf_settings recipe[RECIPES];
    const char *name[RECIPES];
    int of[RECIPES]; /* model of each recipe */
    struct cf_arena arena;
};

/* ---- opening ---- */

static enum cf_status read_prompts(struct bench *b, const char *path,
                                   struct cf_error *err)
{
    char *save = NULL;
    size_t size;

    b->list = cf_file_read(path, 64 << 20, &size, err);
    if (!b->list)
        return err->status;
    for (char *line = strtok_r(b->list, "\n", &save); line && b->prompts < PROMPTS;
         line = strtok_r(NULL, "\n", &save))
        b->prompt[b->prompts++] = line;
    return b->prompts ? CF_OK : cf_fail(err, CF_EFORMAT, "%s: no prompt", path);
}

static enum cf_status encode(struct bench *b, struct loaded *m, struct cf_error *err)
{
    m->text = cf_calloc((size_t)b->prompts, sizeof(struct cf_encoded *), err);
    if (!m->text)
        return CF_ENOMEM;
    for (int i = 0; i < b->prompts; i++) {
        struct cf_request req = {.prompt = b->prompt[i],
                                 .prompt_len = strlen(b->prompt[i])};
        struct cf_encoded *text[2] = {NULL, NULL};
        double ms;

        CF_TRY(cf_single_encode(&req, m->engine, b->dnn, NULL, text, &ms, err));
        m->text[i] = text[0];
    }
    return CF_OK;
}

static enum cf_status load(struct bench *b, struct loaded *m, struct cf_error *err)
{
    const struct cf_model *model;
    struct cf_gen_files files;

    CF_TRY(cf_engine_open(&m->engine, b->dnn, m->dir, NULL, err));
    model = cf_engine_model(m->engine);
    files = (struct cf_gen_files){.json = model->json,
                                  .transformer = model->path[CF_PART_TRANSFORMER],
                                  .vae = model->path[CF_PART_VAE],
                                  .hold = cf_holding_hold(model)};
    CF_TRY(cf_gen_find(model->generator)->open(&m->gen, &files, b->dnn, err));
    return encode(b, m, err);
}

static enum cf_status add_recipe(struct bench *b, const char *json, const char *usual,
                                 struct cf_error *err)
{
    struct cf_settings *r = &b->recipe[b->recipes];
    int i = 0, k = b->recipes;
    char *dir;

    CF_TRY(cf_settings_read(r, json, 0, 0, err));
    b->name[k] = json;
    b->recipes++;
    CF_TRY(cf_model_find(&dir, r->model ? r->model : usual, getenv("CFGEN_MODEL_PATH"),
                         err));
    while (i < b->models && strcmp(b->model[i].dir, dir) != 0)
        i++;
    b->of[k] = i;
    if (i < b->models || i == MODELS) {
        cf_free(dir);
        return i < MODELS ? CF_OK
                          : cf_fail(err, CF_EUSAGE, "more than %d models", MODELS);
    }
    b->models++;
    b->model[i].dir = dir;
    CF_TRY(load(b, &b->model[i], err));
    return CF_OK;
}

static void close_all(struct bench *b)
{
    for (int i = 0; i < b->recipes; i++)
        cf_settings_free(&b->recipe[i]);
    for (int m = 0; m < b->models; m++) {
        struct loaded *l = &b->model[m];

        for (int i = 0; l->text && i < b->prompts; i++)
            cf_encoded_drop(l->text[i]);
        cf_free(l->text);
        if (l->gen)
            cf_gen_find(cf_engine_model(l->engine)->generator)->close(l->gen);
        cf_engine_close(l->engine);
        cf_free(l->dir);
    }
    cf_arena_close(&b->arena);
    cf_dnn_close(b->dnn);
    cf_free(b->list);
}

/* ---- an image ---- */

static void keep_bits(void *ctx, const char *name, const float *f, const uint8_t *u8,
                      int ndim, const int64_t *dim)
{
    struct picture *p = ctx;
    size_t n = 1, len = strlen(name);
    uint8_t *all;

    (void)f;
    if (!u8 || len < 5 || strcmp(name + len - 5, ".bits") != 0)
        return;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    all = cf_alloc(p->n_bits + n, 1, NULL);
    if (!all)
        return;
    if (p->n_bits)
        memcpy(all, p->bits, p->n_bits);
    memcpy(all + p->n_bits, u8, n);
    cf_free(p->bits);
    p->bits = all;
    p->n_bits += n;
}

/* Which parts of an image are wanted. */
enum want { PIXELS = 1, BITS = 2 };

/* ms: of the transformer and of the decoder. */
static enum cf_status make(struct bench *b, int recipe, int prompt, uint64_t seed,
                           struct picture *p, int want, double ms[2],
                           struct cf_error *err)
{
    const struct loaded *m = &b->model[b->of[recipe]];
    const struct cf_gen_ops *ops = cf_gen_find(cf_engine_model(m->engine)->generator);
    const struct cf_gen_item item = {.seed = seed,
                                     .cond = cf_encoded_text(m->text[prompt])};
    const struct cf_probe probe = {keep_bits, p};
    struct cf_gen_state *st;
    struct cf_image image;
    double t0, t1;

    CF_TRY(cf_settings_size(&b->recipe[recipe], cf_engine_model(m->engine), err));
    CF_TRY(ops->plan(m->gen, &b->recipe[recipe].params, 1, item.cond->n, &p->plan, err));
    if (b->arena.size < p->plan.arena_bytes) {
        cf_arena_close(&b->arena);
        CF_TRY(cf_arena_open(&b->arena, p->plan.arena_bytes, err));
    }
    cf_arena_rewind(&b->arena, 0);
    p->rgb = cf_alloc((size_t)p->plan.width * (size_t)p->plan.height, 3, err);
    if (!p->rgb)
        return CF_ENOMEM;
    image = (struct cf_image){p->rgb, p->plan.width, p->plan.height,
                              3 * (size_t)p->plan.width};
    t0 = cf_clock();
    CF_TRY(ops->begin(m->gen, &p->plan, &item, &b->arena, NULL,
                      want & BITS ? &probe : NULL, &st, err));
    for (int k = 0; k < p->plan.n_step; k++)
        CF_TRY(ops->step(st, k, err));
    t1 = cf_clock();
    if (want & PIXELS)
        CF_TRY(ops->decode(st, 0, &image, err));
    ms[0] = 1e3 * (t1 - t0);
    ms[1] = 1e3 * (cf_clock() - t1);
    return CF_OK;
}

/* ---- distances ---- */

static size_t bytes(const struct picture *p)
{
    return 3 * (size_t)p->plan.width * (size_t)p->plan.height;
}

static double squared(const struct picture *a, const struct picture *b)
{
    double sum = 0;

    for (size_t i = 0; i < bytes(a); i++)
        sum += pow((double)a->rgb[i] - b->rgb[i], 2);
    return sum / (double)bytes(a);
}

static double luma(const uint8_t *p)
{
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* Image quality assessment: from error visibility to structural similarity (2004), with a
 * flat window. */
static double window_similarity(const struct picture *a, const struct picture *b, int x0,
                                int y0)
{
    const double c1 = pow(0.01 * 255, 2), c2 = pow(0.03 * 255, 2);
    double s[5] = {0};

    for (int i = 0; i < 64; i++) {
        size_t at =
            3 * ((size_t)(y0 + i / 8) * (size_t)a->plan.width + (size_t)(x0 + i % 8));
        double p = luma(a->rgb + at), q = luma(b->rgb + at);

        s[0] += p / 64;
        s[1] += q / 64;
        s[2] += p * p / 64;
        s[3] += q * q / 64;
        s[4] += p * q / 64;
    }
    return (2 * s[0] * s[1] + c1) * (2 * (s[4] - s[0] * s[1]) + c2) /
           ((s[0] * s[0] + s[1] * s[1] + c1) *
            (s[2] - s[0] * s[0] + s[3] - s[1] * s[1] + c2));
}

static double similarity(const struct picture *a, const struct picture *b)
{
    double sum = 0;
    int n = 0;

    for (int y = 0; y + 8 <= a->plan.height; y += 4)
        for (int x = 0; x + 8 <= a->plan.width; x += 4, n++)
            sum += window_similarity(a, b, x, y);
    return n ? sum / n : 1;
}

struct sums {
    double same, squared, ssim, bits, all_bits, match;
    int n;
};

/* One image of prompt i beside those of the first recipe, [prompts]. */
static void compare(struct sums *s, const struct picture *p, const struct picture *exact,
                    int prompts, int i)
{
    double best = DBL_MAX;
    int nearest = -1;

    for (int k = 0; k < prompts; k++) {
        double d = squared(p, &exact[k]);

        if (d < best) {
            best = d;
            nearest = k;
        }
    }
    s->match += nearest == i;
    best = squared(p, &exact[i]);
    s->same += best == 0;
    s->squared += best;
    s->ssim += similarity(p, &exact[i]);
    for (size_t k = 0; k < p->n_bits; k++)
        s->bits += p->bits[k] != exact[i].bits[k];
    s->all_bits += (double)p->n_bits;
    s->n++;
}

static void tell(const struct sums *s, const char *name)
{
    printf("%6.1f %6.2f %6.4f %6.2f %6.1f  %s\n", 100 * s->same / s->n,
           s->squared > 0 ? 10 * log10(255 * 255 / (s->squared / s->n)) : INFINITY,
           s->ssim / s->n, 100 * s->bits / s->all_bits, 100 * s->match / s->n, name);
    fflush(stdout);
}

static void drop(struct picture *p)
{
    cf_free(p->rgb);
    cf_free(p->bits);
    memset(p, 0, sizeof *p);
}

static enum cf_status same_size(const struct picture *p, const struct picture *exact,
                                struct cf_error *err)
{
    if (p->plan.width == exact->plan.width && p->plan.height == exact->plan.height &&
        p->n_bits == exact->n_bits)
        return CF_OK;
    return cf_fail(err, CF_EUSAGE, "recipes of different sizes cannot be compared");
}

/* All prompts with one seed; into sums of each recipe, and behind them of another seed.
 */
static enum cf_status compare_seed(struct bench *b, uint64_t seed, uint64_t other,
                                   struct picture *exact, struct sums *sums,
                                   struct cf_error *err)
{
    enum cf_status st = CF_OK;
    double ms[2];

    for (int i = 0; i < b->prompts; i++)
        CF_TRY(make(b, 0, i, seed, &exact[i], PIXELS | BITS, ms, err));
    for (int r = 0; r <= b->recipes; r++)
        for (int i = 0; i < b->prompts; i++) {
            struct picture p = {0};
            bool last = r == b->recipes;

            st =
                make(b, last ? 0 : r, i, last ? other : seed, &p, PIXELS | BITS, ms, err);
            if (st == CF_OK)
                st = same_size(&p, &exact[i], err);
            if (st == CF_OK)
                compare(&sums[r], &p, exact, b->prompts, i);
            drop(&p);
            CF_TRY(st);
        }
    return CF_OK;
}

static enum cf_status quality(struct bench *b, int seeds, struct cf_error *err)
{
    struct picture *exact = cf_calloc((size_t)b->prompts, sizeof *exact, err);
    struct sums sums[RECIPES + 1] = {{0}};
    enum cf_status st = exact ? CF_OK : CF_ENOMEM;

    for (int s = 0; s < seeds && st == CF_OK; s++) {
        st = compare_seed(b, (uint64_t)s, (uint64_t)(s + seeds), exact, sums, err);
        for (int i = 0; i < b->prompts; i++)
            drop(&exact[i]);
    }
    cf_free(exact);
    if (st != CF_OK)
        return st;
    printf("%d prompts, %d seeds\n%6s %6s %6s %6s %6s\n", b->prompts, seeds, "same%",
           "psnr", "ssim", "bits%", "match%");
    for (int r = 0; r < b->recipes; r++)
        tell(&sums[r], b->name[r]);
    tell(&sums[b->recipes], "the first recipe with other seeds");
    return CF_OK;
}

/* ---- time ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

static enum cf_status take_times(struct bench *b, int rounds, struct cf_error *err)
{
    enum { MOST = 1000 };
    static double ms[RECIPES][MOST], decoder[MOST];
    double exact = 0, rest;

    for (int k = -1; k < rounds; k++)
        for (int r = 0; r < b->recipes; r++) {
            struct picture p = {0};
            double took[2];
            enum cf_status st = make(b, r, 0, 0, &p, r ? 0 : PIXELS, took, err);

            drop(&p);
            CF_TRY(st);
            if (k < 0)
                continue;
            ms[r][k] = took[0];
            decoder[k] = r ? decoder[k] : took[1];
        }
    rest = median(decoder, rounds);
    printf("medians of %d rounds, ms\n%11s %8s %8s %7s\n", rounds, "transformer",
           "decoder", "both", "faster");
    for (int r = 0; r < b->recipes; r++) {
        double both = median(ms[r], rounds) + rest;

        exact = r ? exact : both;
        printf("%11.1f %8.1f %8.1f %7.3f  %s\n", both - rest, rest, both, exact / both,
               b->name[r]);
    }
    return CF_OK;
}

/* ---- */

static enum cf_status run(struct bench *b, int argc, char **argv, struct cf_error *err)
{
    bool timing = argc > 1 && strcmp(argv[1], "time") == 0;
    int first = timing ? 6 : 5, count, threads = 1;
    enum cf_cpu level;

    if (argc <= first || argc - first > RECIPES ||
        (!timing && strcmp(argv[1], "quality") != 0))
        return cf_fail(err, CF_EUSAGE,
                       "expected: quality MODEL PROMPTS SEEDS RECIPE... or time MODEL "
                       "PROMPTS ROUNDS THREADS RECIPE...");
    CF_TRY(cf_parse_int(argv[4], 1, SEEDS, &count, timing ? "ROUNDS" : "SEEDS", err));
    if (timing)
        CF_TRY(cf_parse_int(argv[5], 1, 1024, &threads, "THREADS", err));
    CF_TRY(cf_cpu_parse(&level, getenv("CFGEN_CPU"), err));
    CF_TRY(cf_dnn_open(&b->dnn, level, threads, err));
    CF_TRY(read_prompts(b, argv[3], err));
    for (int i = first; i < argc; i++)
        CF_TRY(add_recipe(b, argv[i], argv[2], err));
    return timing ? take_times(b, count, err) : quality(b, count, err);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct cf_error err = {0};

    cf_cli_start();
    if (run(&b, argc, argv, &err) == CF_OK)
        cf_cli_flush(&err);
    close_all(&b);
    return err.status == CF_OK ? 0 : cf_cli_complain("approx", &err);
}
