/* golden_fixture.h - a fixture is NAME.json beside NAME.safetensors: finding, reading,
 * comparing. Every recorded tensor must be compared with something; one that nothing was
 * compared with fails the fixture. */
#ifndef CF_TESTS_GOLDEN_FIXTURE_H
#define CF_TESTS_GOLDEN_FIXTURE_H

#include <stdint.h>

#include "base/json.h"
#include "dnn/dnn.h"
#include "models/gen.h"
#include "models/infinity.h"
#include "models/schedule.h"
#include "models/vae.h"
#include "tests/golden.h"
#include "weights/checkpoint.h"

struct cf_fixture {
    char dir[2048], name[256];
    const json_t *json;
    struct cf_ckpt *file;
    uint8_t *checked; /* per tensor of file */
    struct cf_dnn *dnn;
    struct cf_golden_form form; /* of generate fixtures */
    struct cf_error err;
    /* the tensor that came nearest to its tolerance, or went furthest beyond */
    char worst[160];
    double ratio, error, tolerance;
    char why[400]; /* first reason to fail; "" */
};

/* Calls each for every *.json object under dir that has a "kind", in sorted order;
 * returns how many of the calls returned non-zero. */
int cf_fixture_walk(const char *dir,
                    int (*each)(void *ctx, const char *dir, const char *base,
                                json_t *json),
                    void *ctx);

/* Tensors of dir/file; f->why tells a failure. base is the name of the .json. */
void cf_fixture_open(struct cf_fixture *f, const char *dir, const char *base,
                     const json_t *json, int threads);
/* Fails on tensors nobody looked at, reports, frees. */
void cf_fixture_close(struct cf_fixture *f, struct cf_golden *g);

void cf_fixture_fail(struct cf_fixture *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Tensor by printf name; NULL if absent. Marks it as looked at. */
const struct cf_view *cf_fixture_find(struct cf_fixture *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* As above, absent or of another shape (-1: any extent): fails. */
const struct cf_view *cf_fixture_need(struct cf_fixture *f, int ndim, const int64_t *dim,
                                      const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A fresh copy as floats (cf_free); NULL and failed otherwise. */
float *cf_fixture_floats(struct cf_fixture *f, const struct cf_view *v);

/* Compares n floats with elements from start on; tolerance by the table of the README. */
void cf_fixture_floats_are(struct cf_fixture *f, const char *name, const float *got,
                           const struct cf_view *want, int64_t start, int64_t n,
                           double tolerance);
/* Compares by |got - want|_2 / |want|_2. */
void cf_fixture_floats_are_near(struct cf_fixture *f, const char *name, const float *got,
                                const struct cf_view *want, double tolerance);
/* Exact bytes. */
void cf_fixture_bytes_are(struct cf_fixture *f, const char *name, const uint8_t *got,
                          const struct cf_view *want, int64_t start, int64_t n);
/* Off by at most 1, in fewer than 0.1 % of the values. */
void cf_fixture_pixels_are(struct cf_fixture *f, const char *name, const uint8_t *got,
                           const struct cf_view *want, int64_t start, int64_t n);

/* The README's tolerance for an intermediate; 0 (and failed) for an unknown name. */
double cf_fixture_tolerance(struct cf_fixture *f, const char *name);

/* A probe that compares whatever has a recorded tensor of the same name. image: which of
 * the batch "img" belongs to. */
struct cf_fixture_probe {
    struct cf_fixture *f;
    int image, batch;
};
void cf_fixture_see(void *ctx, const char *name, const float *v, const uint8_t *u8,
                    int ndim, const int64_t *dim);

/* JSON fields; a missing one fails. */
int cf_fixture_int(struct cf_fixture *f, const json_t *obj, const char *key);
/* [[t, h, w] ...] */
int cf_fixture_schedule(struct cf_fixture *f, const json_t *list, struct cf_scale *scale);

/* NAME.json of a weights fixture beside this one; NULL and failed if absent. Caller
 * frees. */
json_t *cf_fixture_other(struct cf_fixture *f, const char *key, char path[2304]);
/* The "vae" and "infinity" objects of model.json, from the recorded configurations. */
json_t *cf_fixture_vae_json(struct cf_fixture *f, const json_t *config);
json_t *cf_fixture_infinity_json(struct cf_fixture *f, const json_t *config,
                                 const struct cf_ckpt *weights);

/* kinds: each fills f->worst or f->why */
void cf_golden_rope(struct cf_fixture *f);
void cf_golden_sampling(struct cf_fixture *f);
void cf_golden_codec(struct cf_fixture *f);
void cf_golden_bsc(struct cf_fixture *f);

/* Kind "model": a model directory of the source tree against recorded tensors. */
int cf_golden_model(struct cf_golden *g, const char *dir);

#endif
