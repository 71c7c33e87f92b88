/* model.h - a model directory: model.json binds the parts of a model by SHA-256.
 *
 * The commonest failure of the published code is pairing files wrongly. A model directory
 * therefore names its transformer, tokenizer/VAE, text encoder and vocabulary with their
 * hashes, the flags they were trained with and the sizes they allow; anything else is
 * refused with the reason.
 *
 * model.json, format "cfgen-model", version 1 (models/emoji-64/model.json is an example):
 *
 *   name          string, for people and metadata
 *   generator     "infinity"
 *   parts         transformer, vae, text_encoder, tokenizer: each { file, sha256 }, or
 * for a directory { dir, files: [ { file, sha256 } ... ] }. A file or dir is a plain
 *                 relative path: no "..", no leading "/". The files of a directory part
 *                 lie directly in it, and it holds no others (hidden ones apart): a
 * reader of the directory would take them without their having been compared. A file may
 * have "bytes", its size, and then "sample" (cf_model_sample), which stand in for the
 * whole hash where gigabytes are loaded hold          optional: "pack" (small models,
 * where absent) or "map": the matrices are widened to floats and packed when loaded, or
 * read where they lie in the files, in their type source        optional object about
 * where the parts came from; for people alone infinity      embed_dim, depth, num_heads,
 * mlp_hidden, bits (per tokenizer position), text_width, text_maxlen, pool_heads,
 * block_chunks, spatial_patchify, level_embed_first_block_only, norm_eps           (read
 * by models/infinity) vae           base_channels, ch_mult, num_res_blocks, bits, patch
 * (read by models/vae) sizes         { scales: [[h, w] ...], rope_grid: [H, W] }: one own
 * schedule, or { templates: "released", classes: ["0.06M", ...], trained: ["1M"] }: the
 *                 15 aspect ratios of the paper; classes allowed, classes trained
 *   text          tokenizer: { type: "sentencepiece" | "bpe", lowercase, max_tokens,
 *                 append_eos, append_bos, parse_special }; encoder: { features: "last" |
 *                 { taps: [...] }, rows: "valid" | "all", prefix: text, pad_to,
 *                 padding_side }                                    (read by textenc/)
 *   sampling      defaults: cfg, tau (number or list per step), top_k, top_p,
 *                 cfg_insertion_layer, and optional kv_type ("f32" or "bf16")
 *
 * Keys unknown to this version are refused, with their name. */
#ifndef CF_WEIGHTS_MODEL_H
#define CF_WEIGHTS_MODEL_H

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

/* The model that is used when none is named. */
#define CF_DEFAULT_MODEL "emoji-64"

enum cf_part { CF_PART_TRANSFORMER, CF_PART_VAE, CF_PART_TEXT, CF_PART_VOCAB, CF_NPART };

struct cf_model {
    char *dir;                            /* absolute */
    const char *name;                     /* borrowed from json */
    const char *generator;                /* borrowed from json */
    char *path[CF_NPART];                 /* file or directory of each part */
    char sha256[CF_NPART][CF_DIGEST_HEX]; /* of the file; of a directory part: over its
                                             "sha256  name\n" lines in listed order */
    char hash[CF_DIGEST_HEX];             /* of model.json itself: names the whole */
    bool map;                             /* "hold" is "map" */
    json_t *json;                         /* the manifest; borrow its objects */
};

/* How well the parts are compared with the manifest. */
enum cf_model_check {
    CF_MODEL_TRUST, /* they exist and have their stated sizes */
    CF_MODEL_QUICK, /* and their samples; files without one are hashed */
    CF_MODEL_FULL   /* and every file is hashed */
};

/* Reads and checks dir/model.json and compares every part. CF_EMISMATCH names file, what
 * was found and what was expected. Of the sections infinity ... sampling it is only
 * checked that they are objects; who reads one checks its keys (weights/config.h).
 * CF_EUNSUP for another version or generator. */
enum cf_status cf_model_open(struct cf_model **model, const char *dir,
                             enum cf_model_check check, struct cf_error *err);
void cf_model_close(struct cf_model *model);

/* Files above this many bytes get "bytes" and "sample" in a manifest. */
enum { CF_MODEL_SAMPLED = 64 << 20, CF_MODEL_BLOCK = 64 << 10, CF_MODEL_BLOCKS = 256 };

/* SHA-256 over the file's size (8 bytes, little-endian) and its 256 blocks of 64 KiB at
 * the offsets floor(i * (size - 65536) / 255), i = 0 .. 255: a download that broke off,
 * another checkpoint or a block of zeros changes it, at the cost of 16 MiB read. A single
 * changed byte in gigabytes it may miss. CF_ERANGE for a file below 64 KiB. */
enum cf_status cf_model_sample(const char *path, char hex[CF_DIGEST_HEX],
                               struct cf_error *err);

/* Where models are looked for when a name and not a path is given: path itself if it
 * holds a slash or is a directory with model.json, else $CFGEN_MODEL_PATH (given by the
 * caller, may be NULL, colon-separated), then CF_DATADIR "/models/". name NULL: the
 * default model. *dir is fresh (cf_free). CF_ENOENT lists the places that were looked at.
 */
enum cf_status cf_model_find(char **dir, const char *name, const char *search,
                             struct cf_error *err);

#endif
