/* vae_part.h - inside of struct cf_vae, for the files of the tokenizer alone.
 *
 * Encoder and decoder are straight lists of convolutions, residual blocks and changes of
 * size. vae.c makes the lists, finds their tensors in the file and packs them; vae_run.c
 * sends a picture through a list, band by band. */
#ifndef CF_MODELS_VAE_PART_H
#define CF_MODELS_VAE_PART_H

#include "dnn/layer.h"
#include "models/params.h"
#include "models/vae.h"

struct cf_ckpt;

enum cf_vae_kind {
    CF_VAE_CONV, /* 3x3 */
    CF_VAE_RES,
    CF_VAE_UP,   /* every pixel twice, 3x3 */
    CF_VAE_DOWN, /* zeros right and bottom, 3x3 with stride 2 */
    CF_VAE_OUT,  /* group norm, swish, 3x3 */
};

struct cf_vae_op {
    enum cf_vae_kind kind;
    char name[48]; /* up to the parts of a block: "decoder.up.3.block.0" */
    int in, out;   /* channels */
    int deep;      /* what it reads is as small as the latent */
    struct cf_view norm[2][2], conv[3][2]; /* gain and shift; weight and bias */
};

/* What runs an op: conv1, conv2 and the shortcut of a block; else the first alone. */
struct cf_vae_layer {
    const float *gain[2], *shift[2], *bias[3];
    struct cf_conv *conv[3];
};

/* Two ends and two blocks in the middle; per level num_res + 1 blocks and a resize. */
enum {
    CF_VAE_MAX_RES = 16,
    CF_VAE_MAX_OPS = 5 + CF_VAE_MAX_LEVELS * (CF_VAE_MAX_RES + 2)
};

struct cf_vae_list {
    struct cf_vae_op op[CF_VAE_MAX_OPS];
    int n;
};

struct cf_vae {
    struct cf_vae_shape shape;
    struct cf_dnn *dnn;
    struct cf_ckpt *ckpt; /* NULL: there is no file, sizes are all that is asked for */
    struct cf_vae_list decoder, encoder;       /* encoder.n == 0: the file has none */
    struct cf_vae_layer layer[CF_VAE_MAX_OPS]; /* of the decoder */
    struct cf_params params;
    int band; /* rows of a band; 0: chosen by the size of a row. No value depends on it */
};

/* Groups of a norm over c channels; 0 where there is no such norm. */
int cf_vae_groups(int c);

/* How convolution i of an op, a 3x3, is computed. */
enum cf_conv_how cf_vae_how(enum cf_cpu level, const struct cf_vae_op *op, int i);

/* Packs the layers of an op; the vectors go to params. After a failure what there is is
 * still to be closed. */
enum cf_status cf_vae_layer_open(struct cf_vae_layer *layer, const struct cf_vae_op *op,
                                 struct cf_params *params, struct cf_dnn *dnn,
                                 struct cf_error *err);
void cf_vae_layer_close(struct cf_vae_layer *layer); /* a zeroed layer is fine */

#endif
