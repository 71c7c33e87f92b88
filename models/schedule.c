#include "models/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "weights/config.h"

enum { MAX_SIDE = 1024 };

static const char *const class_name[CF_CLASSES] = {"0.06M", "0.25M", "0.60M", "1M"};
static const int class_scales[CF_CLASSES] = {7, 10, 12, 13};

const char *cf_class_name(int class)
{
    return class_name[class];
}

enum cf_status cf_class_parse(int *class, const char *name, struct cf_error *err)
{
    for (*class = 0; *class < CF_CLASSES; ++*class)
        if (strcmp(class_name[*class], name) == 0)
            return CF_OK;
    return cf_fail(err, CF_EUSAGE,
                   "size class \"%.40s\": expected 0.06M, 0.25M, 0.60M or 1M", name);
}

int cf_class_scales(int class)
{
    return class_scales[class];
}

static enum cf_status parse_grid(struct cf_scale *s, const json_t *pair,
                                 const char *where, struct cf_error *err)
{
    json_int_t v[2];

    if (!json_is_array(pair) || json_array_size(pair) != 2)
        return cf_fail(err, CF_EFORMAT, "%s: expected [height, width]", where);
    for (int i = 0; i < 2; i++) {
        const json_t *e = json_array_get(pair, (size_t)i);

        v[i] = json_integer_value(e);
        if (!json_is_integer(e) || v[i] < 1 || v[i] > MAX_SIDE)
            return cf_fail(err, CF_EFORMAT, "%s: expected two integers 1..%d", where,
                           MAX_SIDE);
    }
    s->h = (int)v[0];
    s->w = (int)v[1];
    return CF_OK;
}

static enum cf_status parse_own(struct cf_schedule *own, const json_t *json,
                                struct cf_error *err)
{
    json_t *list, *grid;

    CF_TRY(cf_config_only(json, "sizes", err, "scales", "rope_grid", NULL));
    CF_TRY(cf_json_arr(json, "scales", &list, "sizes", err));
    CF_TRY(cf_json_arr(json, "rope_grid", &grid, "sizes", err));
    CF_TRY(parse_grid(&own->rope, grid, "sizes.rope_grid", err));
    if (json_array_size(list) < 1 || json_array_size(list) > CF_MAX_SCALES)
        return cf_fail(err, CF_EFORMAT, "sizes.scales: %zu scales, expected 1..%d",
                       json_array_size(list), CF_MAX_SCALES);
    own->n = (int)json_array_size(list);
    for (int i = 0; i < own->n; i++) {
        struct cf_scale *s = &own->scale[i];
        char where[32];

        snprintf(where, sizeof(where), "sizes.scales[%d]", i);
        CF_TRY(parse_grid(s, json_array_get(list, (size_t)i), where, err));
        if (i == 0 ? s->h != 1 || s->w != 1 : s->h < s[-1].h || s->w < s[-1].w)
            return cf_fail(err, CF_EFORMAT, "%s: %d x %d, expected %s", where, s->h, s->w,
                           i == 0 ? "1 x 1" : "no side smaller than before");
    }
    return CF_OK;
}

static enum cf_status parse_classes(int *flag, const json_t *json, const char *key,
                                    struct cf_error *err)
{
    json_t *list;

    CF_TRY(cf_json_arr(json, key, &list, "sizes", err));
    if (json_array_size(list) < 1)
        return cf_fail(err, CF_EFORMAT, "sizes.%s: empty", key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        int c = 0;

        while (c < CF_CLASSES && (name == NULL || strcmp(name, class_name[c]) != 0))
            c++;
        if (c == CF_CLASSES)
            return cf_fail(err, CF_EFORMAT,
                           "sizes.%s[%zu]: expected \"0.06M\", \"0.25M\", \"0.60M\" or "
                           "\"1M\"",
                           key, i);
        flag[c] = 1;
    }
    return CF_OK;
}

enum cf_status cf_sizes_parse(struct cf_sizes *sizes, const json_t *json,
                              struct cf_error *err)
{
    const char *which;

    memset(sizes, 0, sizeof(*sizes));
    if (json_object_get(json, "templates") == NULL)
        return parse_own(&sizes->own, json, err);
    sizes->released = 1;
    CF_TRY(cf_config_only(json, "sizes", err, "templates", "classes", "trained", NULL));
    CF_TRY(cf_json_str(json, "templates", &which, "sizes", err));
    if (strcmp(which, "released") != 0)
        return cf_fail(err, CF_EFORMAT,
                       "sizes.templates: \"%.40s\", expected \"released\"", which);
    CF_TRY(parse_classes(sizes->allowed, json, "classes", err));
    CF_TRY(parse_classes(sizes->trained, json, "trained", err));
    for (int c = 0; c < CF_CLASSES; c++)
        if (sizes->trained[c] && !sizes->allowed[c])
            return cf_fail(err, CF_EFORMAT, "sizes.trained: %s is not in sizes.classes",
                           class_name[c]);
    return CF_OK;
}

int cf_template_nearest(double ratio)
{
    int best = 0;

    for (int i = 1; i < CF_TEMPLATES; i++)
        if (fabs(cf_templates[i].ratio - ratio) < fabs(cf_templates[best].ratio - ratio))
            best = i;
    return best;
}

/* The allowed class whose number of pixels is nearest, as a factor; the largest trained
 * one when no size was asked for. */
static int pick_class(const struct cf_sizes *sizes, const struct cf_template *t,
                      double pixels, int px)
{
    double nearest = INFINITY;
    int best = 0;

    for (int c = 0; c < CF_CLASSES; c++) {
        const struct cf_scale *last = &t->scale[class_scales[c] - 1];
        double off = pixels > 0.0
                         ? fabs(log((double)last->h * last->w * px * px / pixels))
                         : -(double)c;

        if (pixels > 0.0 ? !sizes->allowed[c] : !sizes->trained[c])
            continue;
        if (off < nearest) {
            nearest = off;
            best = c;
        }
    }
    return best;
}

enum cf_status cf_schedule_pick(struct cf_schedule *sched, const struct cf_sizes *sizes,
                                int width, int height, int px, int strict, char *note,
                                int note_size, struct cf_error *err)
{
    const struct cf_scale *last;
    int asked = width != 0 || height != 0, untrained = -1;

    note[0] = '\0';
    if (asked && (width < 1 || height < 1))
        return cf_fail(err, CF_ERANGE, "size %d x %d: expected two positive numbers",
                       width, height);
    if (sizes->released) {
        double ratio = asked ? (double)height / width : 1.0;
        const struct cf_template *t = &cf_templates[cf_template_nearest(ratio)];
        int c = pick_class(sizes, t, asked ? (double)width * height : 0.0, px);

        sched->n = class_scales[c];
        memcpy(sched->scale, t->scale, (size_t)sched->n * sizeof(t->scale[0]));
        sched->rope = t->scale[CF_TEMPLATE_SCALES - 1];
        if (!sizes->trained[c])
            untrained = c;
    } else {
        *sched = sizes->own;
    }
    last = &sched->scale[sched->n - 1];
    if (asked && (last->w * px != width || last->h * px != height)) {
        if (strict)
            return cf_fail(err, CF_ERANGE,
                           "size %d x %d is none of the model's; the nearest is %d x %d",
                           width, height, last->w * px, last->h * px);
        snprintf(note, (size_t)note_size,
                 "asked for %d x %d, nearest size of the model is %d x %d%s", width,
                 height, last->w * px, last->h * px,
                 untrained >= 0 ? ", for which it was not trained" : "");
    } else if (untrained >= 0) {
        snprintf(note, (size_t)note_size, "the model was not trained for the %s sizes",
                 class_name[untrained]);
    }
    return CF_OK;
}

static enum cf_status class_named(const struct cf_sizes *sizes, const char *pixels,
                                  int *class, struct cf_error *err)
{
    char known[64] = "";
    size_t at = 0;

    *class = -1;
    for (int c = 0; c < CF_CLASSES; c++) {
        if (*pixels ? sizes->allowed[c] && strcmp(pixels, class_name[c]) == 0
                    : sizes->trained[c])
            *class = c;
        if (sizes->allowed[c])
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "",
                                   class_name[c]);
    }
    return *class >= 0 ? CF_OK
                       : cf_fail(err, CF_ERANGE, "size %s: the model has the classes %s",
                                 pixels, known);
}

enum cf_status cf_sizes_named(const struct cf_sizes *sizes,
                              const struct cf_size_name *name, int *width, int *height,
                              struct cf_error *err)
{
    double ratio = name->w ? (double)name->h / name->w : 1.0, side, off;
    const struct cf_template *t = &cf_templates[cf_template_nearest(ratio)];
    const struct cf_scale *last;
    int class;

    if (!sizes->released)
        return cf_fail(err, CF_ERANGE, "size by name: the model has one size of its own");
    CF_TRY(class_named(sizes, name->pixels, &class, err));
    last = &t->scale[class_scales[class] - 1];
    *width = last->w * CF_TOKEN_PIXELS;
    *height = last->h * CF_TOKEN_PIXELS;
    off = t->ratio - ratio;
    if (fabs(off) >
        0.002) { /* templates are rounded to three digits: 2:3 is 1.5, 0.666 */
        side = sqrt((double)*width * *height);
        *width = (int)lround(side / sqrt(ratio));
        *height = (int)lround(side * sqrt(ratio));
        *width = *width < 1 ? 1 : *width;
        *height = *height < 1 ? 1 : *height;
    }
    return CF_OK;
}

void cf_sizes_smallest(const struct cf_sizes *sizes, int *width, int *height)
{
    int class = 0;

    *width = *height = 0;
    while (class < CF_CLASSES && !sizes->allowed[class])
        class ++;
    if (sizes->released && class < CF_CLASSES)
        *width = *height =
            CF_TOKEN_PIXELS * cf_templates[0].scale[class_scales[class] - 1].w;
}

const char *cf_sizes_untrained(const struct cf_sizes *sizes, int n)
{
    for (int c = 0; sizes->released && c < CF_CLASSES; c++)
        if (class_scales[c] == n && !sizes->trained[c])
            return class_name[c];
    return NULL;
}

int64_t cf_schedule_tokens(const struct cf_schedule *sched, int s)
{
    int64_t n = 0;

    for (int i = 0; i < s; i++)
        n += (int64_t)sched->scale[i].h * sched->scale[i].w;
    return n;
}

int cf_rope_index(int i, int n, int full)
{
    float stretch = (float)((double)full / n);
    float at = (float)i * stretch;

    return (int)nearbyintf(at); /* to even on ties, the default rounding of C */
}
