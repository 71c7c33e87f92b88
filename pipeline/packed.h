/* packed.h - packed weights of one process (dnn/packs.h): shared by its machines, and
 * kept in files between runs where that was asked for.
 *
 *     DIR/generator-avx512-0123456789ab.cfpack      transformer and decoder
 *     DIR/text-avx512-ba9876543210.cfpack           text encoder
 *
 * DIR is the model's own directory or another one. The name ends in the first digits of
 * the key: SHA-256 of the parts' hashes, their sections of the manifest, instruction set,
 * build and layout. So hosts that differ never share a file, and one that is no longer of
 * use is never opened again; any of them may be removed at any time. A file that is not
 * what it should be is told, not used, and made again. */
#ifndef CF_PIPELINE_PACKED_H
#define CF_PIPELINE_PACKED_H

#include "base/log.h"
#include "dnn/dnn.h"
#include "weights/model.h"

struct cf_packed;

/* "auto", "off" or a directory, kept as it is; CF_EUSAGE for an empty word. where names
 * the option. */
enum cf_status cf_packed_parse(const char **cache, const char *word, const char *where,
                               struct cf_error *err);

struct cf_packed_options {
    int threads; /* that pack, >= 1; no more than there are processors are used */
    const char
        *cache; /* "auto": beside the model; a directory; "off", "" or NULL: no files */
    /* What became of a file: "packed weights mapped", with why NULL unless something went
     * wrong; from any thread. NULL: nobody wants to know. */
    void (*tell)(void *ctx, enum cf_log_level level, const char *what, const char *path,
                 const char *why);
    void *ctx;
};

/* cache stays borrowed. */
enum cf_status cf_packed_open(struct cf_packed **packed,
                              const struct cf_packed_options *o, struct cf_error *err);
void cf_packed_close(struct cf_packed *packed); /* after all layers; NULL is fine */

enum cf_packed_part { CF_PACKED_GENERATOR, CF_PACKED_TEXT };

/* The layers that dnn opens until the end are those of this part of the model. packed
 * NULL: each packs for itself, and nothing is to be done. */
enum cf_status cf_packed_begin(struct cf_packed *packed, struct cf_dnn *dnn,
                               const struct cf_model *model, enum cf_packed_part part,
                               struct cf_error *err);
/* well: all were opened, so that what was packed may be kept. Never fails: without a file
 * the next run packs again. */
void cf_packed_end(struct cf_packed *packed, struct cf_dnn *dnn,
                   const struct cf_model *model, enum cf_packed_part part, bool well);

/* Where the file of a part lies, whether there is one or not; fresh (cf_free). key is
 * compared with what it says. CF_ENOENT where no files are kept. */
enum cf_status cf_packed_path(char **path, char key[CF_DIGEST_HEX], const char *cache,
                              enum cf_cpu level, const struct cf_model *model,
                              enum cf_packed_part part, struct cf_error *err);

/* The same for this process's own cache. */
enum cf_status cf_packed_file(char **path, char key[CF_DIGEST_HEX],
                              const struct cf_packed *packed, enum cf_cpu level,
                              const struct cf_model *model, enum cf_packed_part part,
                              struct cf_error *err);

/* The first file that could not be written, for those who opened a model for its sake;
 * the reason was told. */
enum cf_status cf_packed_lost(const struct cf_packed *packed, struct cf_error *err);

/* Compares the files of a model's directory that this build would map. *found of them are
 * whole; CF_EMISMATCH or CF_EFORMAT for one that is not. */
enum cf_status cf_packed_check(int *found, const struct cf_model *model,
                               struct cf_error *err);

/* Files of packed weights in a model's directory, as an array of objects: "file",
 * "bytes", and "isa", the instruction set for which this build would map it today;
 * without that it is of no use to this build. Fresh. */
enum cf_status cf_packed_list(json_t **list, const struct cf_model *model,
                              struct cf_error *err);

#endif
