/* flatten.h - the tensors of a pickle by name: nested dictionaries joined by dots.
 *
 *     {"trainer": {"gpt_fsdp": {"pos_start": T}}, "step": 7}  ->
 * trainer.gpt_fsdp.pos_start
 *
 * Integer keys and places in lists and tuples become decimal numbers. Other values are
 * passed over. The memo makes one value stand in many places: what is walked and what is
 * named is bounded, a value within itself is an error. */
#ifndef CF_WEIGHTS_FLATTEN_H
#define CF_WEIGHTS_FLATTEN_H

#include "weights/pickle.h"

enum {
    CF_FLAT_MAX_DEPTH = 64,
    CF_FLAT_MAX_VISITS = 1 << 21, /* values met on the way */
    CF_FLAT_MAX_NAME = 512,       /* bytes, as a safetensors name */
};

struct cf_flat {
    char *name;
    const struct cf_pickle_tensor *tensor; /* borrowed from the pickle */
};

struct cf_flat_list {
    struct cf_flat *flat; /* in the byte order of the names */
    size_t count, cap;
};

/* CF_EFORMAT for a name that comes twice, is longer than CF_FLAT_MAX_NAME or holds a
 * control character, a tensor below a key that is neither text nor integer, or a tensor
 * without any name; CF_EUNSUP beyond the limits. *list is empty then. */
enum cf_status cf_flatten(struct cf_flat_list *list, const struct cf_pickle *p,
                          const char *where, struct cf_error *err);
void cf_flat_free(struct cf_flat_list *list); /* zeroed is fine */

#endif
