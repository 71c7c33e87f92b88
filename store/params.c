#include "base/json.h"
#include "config.h"

#include "store/params.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/fields.h"

/* "Key: value" of the last line; false without memory. */
static bool pair(FILE *out, bool *first, const char *key, const char *value,
                 struct cf_error *err)
{
    json_t *v = NULL;
    char *quoted = NULL;

    if (!value)
        return true;
    if (value[strcspn(value, ",:\n")]) {
        v = cf_field_json(NULL, value, err);
        quoted = v ? cf_json_text(v, JSON_ENCODE_ANY, err) : NULL;
        json_decref(v);
        if (!quoted)
            return false;
    }
    fprintf(out, "%s%s: %s", *first ? "" : ", ", key, quoted ? quoted : value);
    *first = false;
    cf_free(quoted);
    return true;
}

static bool settings(FILE *out, const struct cf_record *r, struct cf_error *err)
{
    char steps[16], seed[24], size[32], hash[11];
    bool first = true;

    snprintf(steps, sizeof steps, "%d", r->steps);
    snprintf(seed, sizeof seed, "%" PRIu64, r->seed);
    snprintf(size, sizeof size, "%dx%d", r->width, r->height);
    snprintf(hash, sizeof hash, "%.10s", r->model_sha256 ? r->model_sha256 : "");
    return pair(out, &first, "Steps", r->steps ? steps : NULL, err) &&
           pair(out, &first, "Sampler", r->sampler, err) &&
           pair(out, &first, "CFG scale", r->guidance, err) &&
           pair(out, &first, "Seed", seed, err) &&
           pair(out, &first, "Size", r->width && r->height ? size : NULL, err) &&
           pair(out, &first, "Model hash", hash[0] ? hash : NULL, err) &&
           pair(out, &first, "Model", r->model_name, err) &&
           pair(out, &first, "Version", "cfgen " PACKAGE_VERSION, err);
}

char *cf_params_text(const struct cf_record *r, struct cf_error *err)
{
    char *text = NULL, *copy = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool ok = out != NULL;

    if (ok) {
        fprintf(out, "%s\n", r->prompt ? r->prompt : "");
        if (r->negative && r->negative[0])
            fprintf(out, "Negative prompt: %s\n", r->negative);
        ok = settings(out, r, err) && !ferror(out);
        ok = fclose(out) == 0 && ok;
    }
    if (ok)
        copy = cf_strndup(text, len, err);
    else
        cf_fail(err, CF_ENOMEM, "generation text: out of memory");
    free(text);
    return copy;
}
