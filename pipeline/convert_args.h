/* convert_args.h - the command line of cfgen-model convert. */
#ifndef CF_PIPELINE_CONVERT_ARGS_H
#define CF_PIPELINE_CONVERT_ARGS_H

#include "base/cli.h"
#include "models/schedule.h"
#include "pipeline/convert_take.h"

enum cf_convert_role { CF_ROLE_TRANSFORMER, CF_ROLE_VAE, CF_ROLE_TEXT, CF_NROLE };

enum { CF_CONVERT_IGNORE = 64 };

struct cf_convert_args {
    const char *path[CF_NROLE]; /* what to convert */
    const char *key[CF_NROLE];  /* NULL: the rule of convert_state.h */
    const char *tokenizer;      /* NULL: beside the text encoder */
    const char *prefix;         /* file of a system prompt; NULL: none */
    const char *out;
    const char *ignore[CF_CONVERT_IGNORE + 1]; /* patterns, NULL behind the last */
    int n_ignore;
    struct cf_take_type type, text_type;
    /* What the geometry would choose; "asked" where an option did. */
    const char *name;       /* NULL: not asked */
    const char *kv_type;    /* NULL: not asked */
    int hold;               /* 0 pack, 1 map, -1: not asked */
    double cfg, tau, top_p; /* < 0: not asked */
    int top_k;              /* < 0: not asked */
    bool has_classes, has_trained;
    int classes[CF_CLASSES], trained[CF_CLASSES];
    struct cf_schedule own; /* n 0: not asked */
    int max_tokens;         /* end token included; 0: not asked */
    bool lowercase, accept_pairing, force;
    int threads; /* 0: auto */
};

extern const struct cf_option cf_convert_options[];

/* CF_EUSAGE for options that make no sense or operands that are missing. */
enum cf_status cf_convert_args_read(struct cf_convert_args *args, struct cf_cli *cli,
                                    struct cf_error *err);

/* "transformer", "vae", "text-encoder": the option of a role and its word in messages. */
const char *cf_convert_role_name(enum cf_convert_role role);

#endif
