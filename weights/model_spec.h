/* model_spec.h - write model.json, the file that makes a directory a model (model.h).
 *
 * Whoever makes model files (a converter, a quantizer) fills struct cf_model_spec, the
 * hashes having been computed while the parts were written or by cf_model_spec_file, and
 * writes it last: a directory without model.json is no model. The text is canonical, keys
 * in the order of model.h, so that equal models have equal hashes. */
#ifndef CF_WEIGHTS_MODEL_SPEC_H
#define CF_WEIGHTS_MODEL_SPEC_H

#include "weights/model.h"

struct cf_model_spec_file {
    char *file; /* path inside the model; owned, cf_model_spec_close */
    char sha256[CF_DIGEST_HEX];
    int64_t bytes;              /* -1: not written */
    char sample[CF_DIGEST_HEX]; /* "": not written */
};

struct cf_model_spec_part {
    const char *dir; /* borrowed; NULL: a single file */
    struct cf_model_spec_file *file;
    size_t n, cap;
};

struct cf_model_spec {
    const char *name, *generator;
    bool map;       /* write "hold": "map" */
    json_t *source; /* borrowed; NULL: none */
    struct cf_model_spec_part part[CF_NPART];
    json_t *infinity, *vae, *sizes, *text, *sampling; /* borrowed objects */
};

/* Adds dir/file, hashed now, and sampled if it is large (CF_MODEL_SAMPLED). */
enum cf_status cf_model_spec_file(struct cf_model_spec_part *part, const char *dir,
                                  const char *file, struct cf_error *err);

/* The same with a hash that the caller knows; the sample is still read from the file. */
enum cf_status cf_model_spec_hashed(struct cf_model_spec_part *part, const char *dir,
                                    const char *file, const char *sha256,
                                    struct cf_error *err);

/* Frees what was added to the parts. */
void cf_model_spec_close(struct cf_model_spec *m);

/* dir/model.json, whole and on disk or as it was before: temporary file, fsync, rename,
 * fsync of the directory. CF_EBUG for a part without files. */
enum cf_status cf_model_spec_write(const struct cf_model_spec *m, const char *dir,
                                   struct cf_error *err);

#endif
