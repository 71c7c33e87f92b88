/* onednn_pack.h - weights from a file, in whatever type, straight into a blocked layout
 * of oneDNN: read once, by all threads, without a copy as floats in between. For
 * onednn.c. */
#ifndef CF_DNN_ONEDNN_PACK_H
#define CF_DNN_ONEDNN_PACK_H

#include "base/tensor.h"
#include "dnn/dnn.h"
#include "dnn/onednn_api.h"

struct cf_one_source {
    struct cf_dnn *dnn;
    const struct cf_view *v; /* [o, i, ...]: any number of taps */
    size_t bytes;            /* of the layout, padding included */
    struct cf_md_blocks blocks;
};

/* A cf_pack_fill; arg is a struct cf_one_source. CF_EUNSUP for a type that is not of
 * floats, CF_ENOMEM. */
enum cf_status cf_one_fill(void *data, void *arg, struct cf_error *err);

#endif
