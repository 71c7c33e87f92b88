/* Whole images, text features to the bytes of a WebP file: all threads, one, the
 * approximations that cfgen(1) recommends, and the peer, in turns; and what of it is
 * neither linear layer, attention nor convolution. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench/parts.h"
#include "bench/peer.h"
#include "bench/subject.h"
#include "models/work.h"
#include "pipeline/finish.h"

enum { WAYS = 3, ABOUT = 1024, CFG_SKIP = 2 };

struct way {
    const char *name;
    int threads;
    bool approx;
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
    struct cf_peer *peer; /* NULL: none */
    struct cf_bench_series peer_time;
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

    im->params.cfg_skip = w->approx ? CFG_SKIP : 0;
    im->params.kv_type = w->approx ? CF_BF16 : -1;
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

/* As many times as fast as way i as told in words. */
static void compare(const struct image *im, struct cf_bench_result *r,
                    const struct cf_bench_series *other, const char *against)
{
    r->speed = cf_bench_ratio(other, &im->way[0].whole);
    snprintf(r->against, sizeof r->against, "%s", against);
}

static enum cf_status tell_way(struct image *im, const struct way *w, double work,
                               struct cf_error *err)
{
    struct cf_bench_result r = cf_bench_result(im->b, "%s", w->name);

    r.flops = work;
    cf_bench_rate(&r, CF_YARD_FMA, &w->whole);
    r.core_hour = 3600 / (r.seconds * w->threads);
    if (w == &im->way[0] && im->b->threads > 1)
        compare(im, &r, &im->way[im->ways - 1].whole, "1 thread");
    if (w->approx) {
        r.speed = cf_bench_ratio(&im->way[0].whole, &w->whole);
        snprintf(r.against, sizeof r.against, "without them");
    }
    return cf_bench_tell(im->b, &r, err);
}

/* The peer's time, and how many images we make in it. */
static enum cf_status tell_peer(struct image *im, struct cf_error *err)
{
    static const char *const name[] = {"to the peer", "to the peer, with approximations"};
    struct cf_bench_result r = cf_bench_result(im->b, "the peer");

    cf_bench_rate(&r, CF_YARD_NONE, &im->peer_time);
    r.core_hour = 3600 / (r.seconds * im->b->threads);
    CF_TRY(cf_bench_tell(im->b, &r, err));
    for (int i = 0; i < 2; i++) {
        r = cf_bench_result(im->b, "%s", name[i]);
        cf_bench_rate(&r, CF_YARD_NONE, &im->way[i].whole);
        r.speed = cf_bench_ratio(&im->peer_time, &im->way[i].whole);
        snprintf(r.against, sizeof r.against, "the peer");
        CF_TRY(cf_bench_tell(im->b, &r, err));
    }
    return CF_OK;
}

static enum cf_status tell_all(struct image *im, struct cf_error *err)
{
    double work = flops(im, -1, im->plan.n_step);

    CF_TRY(tell_parts(im, &im->way[0], err));
    for (int i = im->ways - 1; i >= 0; i--)
        CF_TRY(tell_way(im, &im->way[i], work, err));
    return im->peer ? tell_peer(im, err) : CF_OK;
}

static enum cf_status run_peer(struct image *im, struct cf_error *err)
{
    double seconds;

    CF_TRY(cf_cancel_check(im->b->cancel, err));
    CF_TRY(cf_peer_run(im->peer, &seconds, err));
    im->peer_time.seconds[im->peer_time.n++] = seconds;
    return CF_OK;
}

static enum cf_status rounds(struct image *im, struct cf_error *err)
{
    for (int r = -1; r < im->b->o->rounds; r++) {
        cf_load_look(&im->b->load);
        for (int i = 0; i < (r < 0 ? 1 : im->ways); i++)
            CF_TRY(make_one(im, &im->way[i], r >= 0, err));
        if (im->peer && r >= 0)
            CF_TRY(run_peer(im, err));
    }
    return tell_all(im, err);
}

static enum cf_status open_all(struct image *im, struct cf_subject **s,
                               struct cf_error *err)
{
    struct cf_bench *b = im->b;
    char about[ABOUT];

    CF_TRY(cf_bench_subject(b, s, err));
    im->s = *s;
    CF_TRY(cf_engine_open(&im->engine, b->dnn, im->s->dir, NULL, err));
    if (!b->o->peer)
        return CF_OK;
    CF_TRY(cf_peer_open(&im->peer, b->o->peer, im->s->dir, b->threads, about,
                        sizeof about, err));
    cf_tell_peer(b, about);
    return CF_OK;
}

/* One thread last, where there are more. */
static void list_ways(struct image *im)
{
    int threads = im->b->threads;

    im->way[im->ways++] = (struct way){.name = "all threads", .threads = threads};
    im->way[im->ways++] = (struct way){
        .name = "all threads, approximations", .threads = threads, .approx = true};
    if (threads > 1)
        im->way[im->ways++] = (struct way){.name = "1 thread", .threads = 1};
}

enum cf_status cf_bench_image(struct cf_bench *b, struct cf_error *err)
{
    struct image *im = cf_calloc(1, sizeof *im, err);
    struct cf_subject *s;
    enum cf_status st;

    if (!im)
        return CF_ENOMEM;
    im->b = b;
    list_ways(im);
    cf_gen_params_default(&im->params);
    st = open_all(im, &s, err);
    if (st == CF_OK)
        st = rounds(im, err);
    cf_peer_close(im->peer);
    cf_engine_close(im->engine);
    if (cf_dnn_set_threads(b->dnn, b->threads, err) != CF_OK && st == CF_OK)
        st = err->status;
    cf_free(im);
    return st;
}
