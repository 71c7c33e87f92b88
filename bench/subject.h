/* subject.h - the model whose images are timed: a directory, or random weights of a known
 * geometry, made in a temporary directory that goes with them. */
#ifndef CF_BENCH_SUBJECT_H
#define CF_BENCH_SUBJECT_H

#include "models/gen.h"
#include "models/vae.h"
#include "weights/model.h"

struct cf_subject {
    char *dir;              /* owned */
    char *made;             /* owned; directory to remove, NULL: none */
    struct cf_model *model; /* owned */
    const struct cf_gen_ops *ops;
    struct cf_vae_shape vae;
    struct cf_text text; /* features such as an encoder gives; owned */
};

/* geometry NULL: model, a name or directory (NULL: the default). */
enum cf_status cf_subject_open(struct cf_subject **subject, const char *model,
                               const char *geometry, struct cf_dnn *dnn,
                               struct cf_error *err);
void cf_subject_close(struct cf_subject *s); /* NULL is fine; removes what was made */

/* Files of its generator, as a worker would hold them. */
struct cf_gen_files cf_subject_files(const struct cf_subject *s);

/* A fresh directory in $TMPDIR (cf_free). */
char *cf_subject_mktemp(struct cf_error *err);
/* With all that is in it. */
void cf_subject_remove(const char *dir);

#endif
