/* model.h - a model directory: model.json binds the parts of a model by SHA-256.
 *
 * The commonest failure of the published code is pairing files wrongly. A model directory
 * therefore names its transformer, tokenizer/VAE, text encoder and vocabulary with their
 * hashes, the flags they were trained with and the sizes they allow; anything else is
 * refused with the reason.
 *
 * model.json, format "cfgen-model", version 1:
 *   name          string, for people and metadata
 *   generator     "infinity"
 *   parts         { transformer, vae, text_encoder, tokenizer: { file, sha256 } }; file is
 *                 a plain relative path below the directory without "..", a directory part
 *                 has files: [ { file, sha256 } ... ] instead
 *   infinity      geometry and flags of the transformer (read by models/)
 *   vae           geometry of the tokenizer (read by models/)
 *   text          how a prompt becomes features (read by textenc/)
 *   sampling      defaults: cfg, tau, top_k, top_p, ...
 *   sizes         allowed sizes: "schedule" names or one own scale list (read by models/)
 *   recipe keys unknown to this version are refused. */
#ifndef CF_WEIGHTS_MODEL_H
#define CF_WEIGHTS_MODEL_H

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

enum cf_part { CF_PART_TRANSFORMER, CF_PART_VAE, CF_PART_TEXT, CF_PART_VOCAB, CF_NPART };

struct cf_model {
    char *dir;                        /* absolute */
    const char *name;                 /* borrowed from json */
    const char *generator;            /* borrowed from json */
    char *path[CF_NPART];             /* file or directory of each part */
    char sha256[CF_NPART][CF_DIGEST_HEX]; /* of the file; of a directory part: over its
                                             "sha256  name\n" lines in listed order */
    char hash[CF_DIGEST_HEX];         /* of model.json itself: names the whole */
    json_t *json;                     /* the manifest; borrow its objects */
};

/* Reads and checks dir/model.json and that every part exists. With verify, every part is
 * hashed and compared: CF_EMISMATCH names file, hash found and hash expected. */
enum cf_status cf_model_open(struct cf_model **model, const char *dir, bool verify,
                             struct cf_error *err);
void cf_model_close(struct cf_model *model);

/* Where models are looked for when a name and not a path is given: path itself if it holds
 * a slash or is a directory with model.json, else $CFGEN_MODEL_PATH (given by the caller,
 * may be NULL, colon-separated), then CF_DATADIR "/models/". name NULL: the default model.
 * *dir is fresh (cf_free). CF_ENOENT lists the places that were looked at. */
enum cf_status cf_model_find(char **dir, const char *name, const char *search,
                             struct cf_error *err);

#endif
