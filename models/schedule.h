/* schedule.h - which token grids an image goes through, and where their tokens stand.
 *
 * A schedule is a list of grids, coarse to fine, the first of one token. The released
 * models share 15 lists of 13 grids, one per aspect ratio h/w ("templates"); a size class
 * takes the first 7 (0.06M pixels), 10 (0.25M), 12 (0.60M) or all 13 (1M) of a list, and
 * a token covers 16 x 16 pixels. Other models bring one list of their own.
 *
 * Rotary positions are not row numbers: row y of a grid of h rows is stretched to the
 * finest grid of its aspect ratio, H rows, whatever class is generated:
 *
 *     iy = round_half_even(float32(y) * float32(H / h))
 *
 * float32 matters: in double one index of one grid would differ.
 * Infinity, arXiv 2412.04431, "Infinite-vocabulary ... Transformer", dynamic resolution;
 * tables of infinity/utils/dynamic_resolution.py. */
#ifndef CF_MODELS_SCHEDULE_H
#define CF_MODELS_SCHEDULE_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

enum { CF_TEMPLATES = 15, CF_TEMPLATE_SCALES = 13, CF_MAX_SCALES = 32, CF_CLASSES = 4 };

struct cf_scale {
    int h, w; /* tokens, not pixels; both >= 1 */
};

struct cf_template {
    double ratio; /* height over width */
    struct cf_scale scale[CF_TEMPLATE_SCALES];
};

/* In the order of the reference: among equally near ratios the first is taken. */
extern const struct cf_template cf_templates[CF_TEMPLATES];

struct cf_schedule {
    int n;
    struct cf_scale scale[CF_MAX_SCALES];
    struct cf_scale rope; /* grid that rotary positions are stretched to */
};

/* The "sizes" object of model.json. */
struct cf_sizes {
    int released;            /* 1: templates; 0: own */
    int allowed[CF_CLASSES]; /* size classes, smallest first */
    int trained[CF_CLASSES];
    struct cf_schedule own;
};

/* Reads { scales: [[h, w] ...], rope_grid: [H, W] } or { templates: "released", classes:
 * [...], trained: [...] }. CF_EFORMAT unless the own list starts with 1 x 1, never
 * shrinks and has at most CF_MAX_SCALES entries of at most 1024 a side. */
enum cf_status cf_sizes_parse(struct cf_sizes *sizes, const json_t *json,
                              struct cf_error *err);

/* The schedule for an image of width x height pixels, token covering px x px.
 *   width, height  0 both: the default (own list; else square of the largest trained
 * class) strict         1: a size that no schedule gives exactly is CF_ERANGE note
 * [note_size] why another size was taken, or a warning that the model was not trained for
 * it; "" otherwise One of the two zero or any negative is CF_ERANGE. */
enum cf_status cf_schedule_pick(struct cf_schedule *sched, const struct cf_sizes *sizes,
                                int width, int height, int px, int strict, char *note,
                                int note_size, struct cf_error *err);

/* Pixels of a size by name (base/parse.h): the template of that ratio, or what is asked
 * for where there is none (to be told what cf_schedule_pick tells of any size); of that
 * class, or of the largest trained one. CF_ERANGE for a class that the model does not
 * have, or where sizes have no names. */
struct cf_size_name;
enum cf_status cf_sizes_named(const struct cf_sizes *sizes,
                              const struct cf_size_name *name, int *width, int *height,
                              struct cf_error *err);

/* The square of the smallest class allowed; 0 x 0, the model's own size, where it has but
 * one. */
void cf_sizes_smallest(const struct cf_sizes *sizes, int *width, int *height);

/* The class of a schedule of n scales if the model was not trained for it, else NULL. */
const char *cf_sizes_untrained(const struct cf_sizes *sizes, int n);

/* "0.06M", "0.25M", "0.60M", "1M". */
const char *cf_class_name(int class);
/* CF_EUSAGE lists the names. */
enum cf_status cf_class_parse(int *class, const char *name, struct cf_error *err);
/* Pixels of a token of a template, on each side, in every released model. */
enum { CF_TOKEN_PIXELS = 16 };
/* Scales of a template that a class takes. */
int cf_class_scales(int class);

/* Index of the template nearest to a ratio h/w. */
int cf_template_nearest(double ratio);

/* Tokens of scales 0 .. s-1. */
int64_t cf_schedule_tokens(const struct cf_schedule *sched, int s);

/* Rotary index of row (or column) i of a grid of n, stretched to full. */
int cf_rope_index(int i, int n, int full);

#endif
