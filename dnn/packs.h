/* packs.h - packed weights: where a layer keeps the copy of its weights that its kernel
 * reads, and how machines of one process share such copies.
 *
 * A layer asks for a block by what it will hold (a format and a number of bytes) and says
 * how to fill it; the block is read-only from then on. Alone that is all. Between
 * cf_packs_begin and cf_packs_end the blocks are numbered in the order in which they are
 * asked for, which for one model is always the same; the machine that first asks for
 * block i of a key fills it, and every other of its NUMA node (cf_dnn_settle) that opens
 * the same key finds it. Blocks may
 * also lie ready, in a file of an earlier run:
 *
 *     key "generator 4f1a..."   block 0  "onednn f32 3072x768x1x1 16i16o"
 *                               block 1  ...
 *
 * All blocks of a key live as long as any of its layers. */
#ifndef CF_DNN_PACKS_H
#define CF_DNN_PACKS_H

#include <stddef.h>
#include <stdint.h>

#include "dnn/dnn.h"

/* Raised whenever a fill writes other bytes under a format's old text. */
enum { CF_PACK_LAYOUT = 1 };
enum { CF_PACK_FORMAT = 96 }; /* bytes of a format's text, NUL included */

struct cf_packs; /* blocks of one process, by key; calls from any thread */

struct cf_pack {
    const void *data; /* 64-byte aligned; NULL: none */
    size_t bytes;
    void *shelf; /* of all blocks of its key; NULL: its own memory */
};

/* Writes all of data; loops of its own go through cf_pack_split. */
typedef enum cf_status cf_pack_fill(void *data, void *arg, struct cf_error *err);

/* format says kernel, layout and sizes in a few words ("panel32 f32 2048x8192"): blocks
 * of equal format and equal weights are equal. bytes > 0. CF_ENOMEM and what fill
 * returns; pack is empty then. */
enum cf_status cf_pack_get(struct cf_pack *pack, struct cf_dnn *dnn, const char *format,
                           size_t bytes, cf_pack_fill *fill, void *arg,
                           struct cf_error *err);
void cf_pack_put(struct cf_pack *pack); /* an empty one is fine */

/* Within a fill: fn(arg, first, last) over parts of [0, n), each but the last a multiple
 * of grain, by all threads there are, also where the machine has one only because its
 * process will fork. Subnormals are zero in all of them. */
void cf_pack_split(struct cf_dnn *dnn, int64_t n, int64_t grain,
                   void (*fn)(void *arg, int64_t first, int64_t last), void *arg);

/* threads: that fill blocks, >= 1; those beyond a machine's own live from begin to end.
 */
enum cf_status cf_packs_open(struct cf_packs **packs, int threads, struct cf_error *err);
/* After the last layer with a block of it. NULL is fine. */
void cf_packs_close(struct cf_packs *packs);

struct cf_pack_block {
    char format[CF_PACK_FORMAT];
    const void *data;
    size_t bytes; /* as asked for, rounded up to 64; zeros at the end */
};

/* Blocks that lie ready, asked for once for each time a key comes into memory. */
struct cf_packs_ready {
    void *ctx;
    /* n blocks, which stay until drop(held); 0: none. *block is read at once. */
    int (*find)(void *ctx, const struct cf_pack_block **block, void **held);
    void (*drop)(void *held);
};

/* What dnn opens from here on belongs to key, up to cf_packs_end. key holds all that the
 * blocks depend on: files, instruction set, build. ready may be NULL. CF_ENOMEM, also
 * where threads cannot be started. */
enum cf_status cf_packs_begin(struct cf_packs *packs, struct cf_dnn *dnn, const char *key,
                              const struct cf_packs_ready *ready, struct cf_error *err);

/* Before the end, after all went well: the blocks so far, where some of them were not
 * ready and nobody asked before: worth a file. *block [n] is the caller's (cf_free), what
 * it points to lives until the end. n 0: none. */
enum cf_status cf_packs_made(struct cf_dnn *dnn, struct cf_pack_block **block, int *n,
                             struct cf_error *err);
void cf_packs_end(struct cf_dnn *dnn); /* also without a begin */

#endif
