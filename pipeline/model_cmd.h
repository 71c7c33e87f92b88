/* model_cmd.h - the commands of cfgen-model: a static entry each, one file a command. */
#ifndef CF_PIPELINE_MODEL_CMD_H
#define CF_PIPELINE_MODEL_CMD_H

#include "base/cli.h"

struct cf_model_cmd {
    const char *name;
    const char *operands;            /* "DIR", for the first line of --help */
    const char *summary;             /* one line */
    const struct cf_option *options; /* ends with a row whose name is NULL */
    /* Reads options and operands from cli (its table is set), does the work and writes
     * results to stdout, hints to stderr. -h is answered before. The status becomes the
     * exit status, the error is told by the caller. */
    enum cf_status (*run)(struct cf_cli *cli, struct cf_error *err);
};

extern const struct cf_model_cmd cf_model_cmd_convert;
extern const struct cf_model_cmd cf_model_cmd_hash;
extern const struct cf_model_cmd cf_model_cmd_inspect;
extern const struct cf_model_cmd cf_model_cmd_pack;
extern const struct cf_model_cmd cf_model_cmd_quantize;
extern const struct cf_model_cmd cf_model_cmd_synth;
extern const struct cf_model_cmd cf_model_cmd_verify;

#endif
