/* quant_report.h - what another weight type does to a model's answers.
 *
 * Greedy sampling is chaotic: one bit that differs at a coarse scale changes all that
 * follow, and two pictures tell nothing. Therefore both models walk the same road: the
 * reference samples greedily with its own settings, and the other is fed the reference's
 * bits at every scale (teacher forcing), so that its logits answer the same questions. Of
 * each scale is told
 *
 *     sqrt(sum (l - r)^2 / sum r^2)     over the guided logits l, reference r
 *     the share of bits that it would have chosen otherwise
 *
 * The reference computes with its floats as they are in f32. Each model encodes the
 * prompts itself: if the encoder changed, that is part of the answer. */
#ifndef CF_PIPELINE_QUANT_REPORT_H
#define CF_PIPELINE_QUANT_REPORT_H

#include "dnn/dnn.h"
#include "models/gen.h"

struct cf_report_scale {
    int h, w;         /* token grid */
    double diff, ref; /* sums of squares */
    int64_t changed, bits;
};

struct cf_report {
    int n_scale, prompts, width, height;
    struct cf_report_scale scale[CF_MAX_STEPS];
};

struct cf_report_options {
    const char *const *prompt; /* n_prompt of them; 0: four of our own */
    int n_prompt;
    int width, height; /* 0: the smallest that the model makes */
};

/* reference and other are directories of models of one geometry; only one is in memory at
 * a time. CF_EMISMATCH where they are of different geometry. */
enum cf_status cf_report_run(struct cf_report *report, const char *reference,
                             const char *other, const struct cf_report_options *o,
                             struct cf_dnn *dnn, struct cf_error *err);

/* As a Markdown section; type names the matrices. Fresh (cf_free), NULL: CF_ENOMEM. */
char *cf_report_text(const struct cf_report *report, const char *type,
                     struct cf_error *err);

#endif
