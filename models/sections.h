/* sections.h - the sections of model.json that this module reads, written.
 *
 * What cf_inf_parse, cf_vae_parse, cf_sizes_parse and cf_inf_defaults_parse read back to
 * the same. Each result is a fresh object, the caller's; NULL where memory is out. */
#ifndef CF_MODELS_SECTIONS_H
#define CF_MODELS_SECTIONS_H

#include "models/geometry.h"

json_t *cf_inf_section(const struct cf_inf_shape *shape);
json_t *cf_vae_section(const struct cf_vae_shape *shape);

/* The released templates. */
json_t *cf_sizes_section(const int allowed[CF_CLASSES], const int trained[CF_CLASSES]);

/* kv_type: "f32" or "bf16"; NULL leaves it out. */
json_t *cf_sampling_section(double cfg, double tau, int top_k, double top_p, int insert,
                            const char *kv_type);

#endif
