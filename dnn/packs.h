/* packs.h - packed weights: where a layer keeps the copy of its weights that its kernel
 * reads.
 *
 * A layer asks for a block by what it will hold (a format and a number of bytes) and says
 * how to fill it; the block is read-only from then on. */
#ifndef CF_DNN_PACKS_H
#define CF_DNN_PACKS_H

#include <stddef.h>

#include "dnn/dnn.h"

enum { CF_PACK_FORMAT = 96 }; /* bytes of a format's text, NUL included */

struct cf_pack {
    const void *data; /* 64-byte aligned; NULL: none */
    size_t bytes;
};

/* Writes all of data; may use the machine's team (cf_split). */
typedef enum cf_status cf_pack_fill(void *data, void *arg, struct cf_error *err);

/* format says kernel, layout and sizes in a few words ("panel32 f32 2048x8192"): blocks
 * of equal format and equal weights are equal. bytes > 0. CF_ENOMEM and what fill
 * returns; pack is empty then. */
enum cf_status cf_pack_get(struct cf_pack *pack, struct cf_dnn *dnn, const char *format,
                           size_t bytes, cf_pack_fill *fill, void *arg,
                           struct cf_error *err);
void cf_pack_put(struct cf_pack *pack); /* an empty one is fine */

#endif
