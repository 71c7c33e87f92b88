/* work.h - how much arithmetic an image is: multiplications and additions of the plain
 * algorithm, whatever ways around some of them a kernel knows. By it rates are told.
 *
 * With R rows of tokens (twice the images with guidance), N_s tokens up to scale s, T
 * text rows:
 *
 *     linear      R n_s depth 2 C (6 C + 2 F)
 *     self        R n_s depth 4 C N_s
 *     cross       R n_s depth 4 C T
 *     text        R T depth 4 C^2           keys and values of the text, once
 *
 * Head, embeddings, norms, pooling and sampling are a few thousandths and not counted.
 * The decoder is its convolutions. */
#ifndef CF_MODELS_WORK_H
#define CF_MODELS_WORK_H

#include "models/gen.h"

struct cf_inf_shape;
struct cf_vae;

/* Of one step, or of what begin (step -1) or decode (step plan->n_step) does, of the
 * whole group; all texts as long as the plan's longest. */
struct cf_work cf_inf_work(const struct cf_inf_shape *shape, const struct cf_vae *vae,
                           const struct cf_plan *plan, int step);

/* A latent of h x w. */
double cf_vae_work(const struct cf_vae *vae, int h, int w);

/* Floats of the largest picture on the way to its pixels. */
double cf_vae_largest(const struct cf_vae *vae, int h, int w);

/* The sum. */
double cf_work_flops(const struct cf_work *work);

#endif
