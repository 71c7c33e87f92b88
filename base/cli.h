/* cli.h - one table of options per program: getopt_long and --help both read it. */
#ifndef CF_BASE_CLI_H
#define CF_BASE_CLI_H

#include <stdio.h>

#include "base/error.h"

struct cf_option {
    int key;          /* a letter for -x, or a number above 255 for a long option alone */
    const char *name; /* "model" for --model */
    const char *arg;  /* "DIR" when it takes a value, else NULL */
    const char *help; /* one line; lines after '\n' are indented */
};

/* First call of a program: descriptors 0, 1 and 2 that were closed by the caller are opened
 * on /dev/null, so that no file of ours ever takes their place and receives log lines. */
void cf_cli_start(void);

/* Calls set(ctx, key, value) per option in order; value is NULL for options without one.
 * *first is the index of the first operand in argv. CF_EUSAGE for an unknown, ambiguous
 * or incomplete option. The table ends with a row whose name is NULL; at most 60 rows. */
enum cf_status cf_cli_parse(int argc, char **argv, const struct cf_option *table,
                            enum cf_status (*set)(void *ctx, int key, const char *value,
                                                  struct cf_error *err),
                            void *ctx, int *first, struct cf_error *err);

/* The option lines of --help. */
void cf_cli_print(FILE *out, const struct cf_option *table);

/* Flush stdout and see that all of it arrived: CF_EIO otherwise (full disk, closed). */
enum cf_status cf_cli_flush(struct cf_error *err);

#endif
