/* Whole images, text features to the bytes of a WebP file: all threads and one in turns,
 * and what of it is neither linear layer, attention nor convolution. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/parts.h"
#include "bench/subject.h"
#include "models/work.h"
#include "pipeline/finish.h"

enum { WAYS = 2 };

/* One number of threads. */
struct way {
    int threads;
    struct cf_bench_series whole, generate, decode, encode;
    double other[CF_BENCH_ROUNDS_MAX]; /* shares of the wall time */
};

struct image {
    struct cf_bench *b;
    const struct cf_subject *s;
    struct cf_engine *engine;
    struct cf_gen_params params;
    struct cf_plan plan;
    struct way way[WAYS];
    int ways;
};

static enum cf_status write_webp(struct image *im, const struct cf_request *req,
                                 const struct cf_result *result, struct cf_error *err)
{
    struct cf_story story = {0};
    struct cf_blob blob = {0};
    struct cf_webp webp;
    bool proved = true;
    enum cf_status st;

    cf_webp_default(&webp);
    st = cf_story_make(&story, im->engine, im->b->dnn, req, &im->plan, &webp, result,
                       NULL, err);
    if (st == CF_OK)
        st = cf_finish_encode(&result->image, &webp, &story, CF_META_FULL, NULL, &proved,
                              &blob, err);
    cf_blob_free(&blob);
    cf_story_free(&story);
    return st;
}

static double covered(struct cf_dnn_times t)
{
    return t.linear + t.attn + t.conv;
}

static void note(struct way *w, const struct cf_engine_times *t, double encode,
                 double seconds, double products)
{
    int r = w->whole.n;
    struct cf_bench_series *part[] = {&w->generate, &w->decode, &w->encode};
    const double took[] = {t->generate * 1e-3, t->decode * 1e-3, encode};

    w->other[r] = 1 - products / seconds;
    for (int i = 0; i < 3; i++) {
        part[i]->seconds[r] = took[i];
        part[i]->n = r + 1;
    }
}

static enum cf_status make_one(struct image *im, struct way *w, bool timed,
                               struct cf_error *err)
{
    static const char prompt[] = "a green frog on a yellow background";
    struct cf_request req = {
        .prompt = prompt, .prompt_len = sizeof prompt - 1, .cond = &im->s->text};
    struct cf_bench *b = im->b;
    struct cf_engine_times times;
    struct cf_result result = {0};
    double start, encode, products;
    enum cf_status st;

    CF_TRY(cf_dnn_set_threads(b->dnn, w->threads, err));
    cf_bench_begin(b, &w->whole, CF_YARD_FMA, w->threads == 1 ? 1 : 0);
    products = covered(cf_dnn_times(b->dnn));
    start = cf_clock();
    CF_TRY(cf_engine_run(im->engine, &im->params, &req, 1, b->cancel, &im->plan, &result,
                         &times, err));
    encode = cf_clock();
    st = write_webp(im, &req, &result, err);
    cf_result_free(&result);
    encode = cf_clock() - encode;
    if (!timed || st != CF_OK)
        return st;
    start = cf_clock() - start;
    products = covered(cf_dnn_times(b->dnn)) - products;
    note(w, &times, encode, start, products);
    cf_bench_end(b, &w->whole, CF_YARD_FMA, w->threads == 1 ? 1 : 0, start);
    return CF_OK;
}

static double flops(const struct image *im, int from, int to)
{
    double sum = 0;

    for (int k = from; k <= to; k++) {
        struct cf_work w = cf_engine_work(im->engine, &im->plan, k);

        sum += cf_work_flops(&w);
    }
    return sum;
}

static enum cf_status tell_parts(struct image *im, struct way *w, struct cf_error *err)
{
    static const char *const name[] = {"text to bits", "bits to pixels",
                                       "pixels to WebP with metadata"};
    struct cf_bench_series *part[] = {&w->generate, &w->decode, &w->encode};
    const double work[] = {flops(im, -1, im->plan.n_step - 1),
                           flops(im, im->plan.n_step, im->plan.n_step), 0};
    struct cf_bench_result r;

    for (int i = 0; i < 3; i++) {
        r = cf_bench_result(im->b, "%s", name[i]);
        r.flops = work[i];
        cf_bench_rate(&r, CF_YARD_NONE, part[i]);
        r.of_wall = cf_bench_ratio(part[i], &w->whole);
        CF_TRY(cf_bench_tell(im->b, &r, err));
    }
    r = cf_bench_result(im->b, "neither linear, attention nor convolution");
    r.of_wall = cf_bench_median(w->other, w->whole.n);
    return cf_bench_tell(im->b, &r, err);
}

static enum cf_status tell_all(struct image *im, struct cf_error *err)
{
    double work = flops(im, -1, im->plan.n_step);

    CF_TRY(tell_parts(im, &im->way[0], err));
    for (int i = im->ways - 1; i >= 0; i--) {
        const struct way *w = &im->way[i];
        struct cf_bench_result r =
            cf_bench_result(im->b, "%d x %d, %d thread%s", im->plan.width,
                            im->plan.height, w->threads, w->threads > 1 ? "s" : "");

        r.flops = work;
        cf_bench_rate(&r, CF_YARD_FMA, &w->whole);
        r.core_hour = 3600 / (r.seconds * w->threads);
        if (i == 0 && im->ways > 1) {
            r.speed = cf_bench_ratio(&im->way[1].whole, &w->whole);
            snprintf(r.against, sizeof r.against, "1 thread");
        }
        CF_TRY(cf_bench_tell(im->b, &r, err));
    }
    return CF_OK;
}

static enum cf_status rounds(struct image *im, struct cf_error *err)
{
    for (int r = -1; r < im->b->o->rounds; r++) {
        cf_load_look(&im->b->load);
        for (int i = 0; i < (r < 0 ? 1 : im->ways); i++)
            CF_TRY(make_one(im, &im->way[i], r >= 0, err));
    }
    return tell_all(im, err);
}

enum cf_status cf_bench_image(struct cf_bench *b, struct cf_error *err)
{
    struct image *im = cf_calloc(1, sizeof *im, err);
    struct cf_subject *s;
    enum cf_status st;

    if (!im)
        return CF_ENOMEM;
    im->b = b;
    im->way[0].threads = b->threads;
    im->way[1].threads = 1;
    im->ways = b->threads > 1 ? WAYS : 1;
    cf_gen_params_default(&im->params);
    st = cf_bench_subject(b, &s, err);
    if (st == CF_OK) {
        im->s = s;
        st = cf_engine_open(&im->engine, b->dnn, s->dir, NULL, err);
    }
    if (st == CF_OK)
        st = rounds(im, err);
    cf_engine_close(im->engine);
    if (cf_dnn_set_threads(b->dnn, b->threads, err) != CF_OK && st == CF_OK)
        st = err->status;
    cf_free(im);
    return st;
}
