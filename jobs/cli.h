/* cli.h - what the commands of cfgen-jobs share: options from a table, help, errors.
 *
 * A command is one const struct cf_cmd. Its options are written once; getopt's arrays and
 * the text of --help are made from them. */
#ifndef CF_JOBS_CLI_H
#define CF_JOBS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/queue.h"

struct cf_cli;

struct cf_cmd_opt {
    int id;           /* a letter, or any other value from 256 on; 0 ends the table */
    const char *name; /* without the dashes */
    const char *arg;  /* what its value is called; NULL: takes none */
    const char *help;
};

struct cf_cmd {
    const char *name, *args, *summary;
    const struct cf_cmd_opt *opt;
    int (*run)(struct cf_cli *cli); /* the exit status */
};

enum { CF_CLI_DB = 'd', CF_CLI_HELP = 'h', CF_CLI_UNSAFE = 255 };

/* The options that every command has; first in each table. */
#define CF_CLI_COMMON                                                                    \
    {CF_CLI_DB, "db", "FILE", "the queue (default: $CFGEN_DB)"},                         \
        {CF_CLI_UNSAFE, "unsafe-shared-db", NULL,                                        \
         "allow a file system shared between machines"},                                 \
    {                                                                                    \
        CF_CLI_HELP, "help", NULL, "print this help"                                     \
    }

struct cf_cli {
    const struct cf_cmd *cmd;
    int argc; /* of the command: argv[0] is its name */
    char **argv;
    int first; /* operand, once cf_cli_next gave 0 */
    const char *db;
    bool unsafe;
    struct cf_queue *q; /* closed by main */
    struct cf_error err;
};

/* Next option: its id, 0 at the end; *value is its argument. A negative value is the end
 * of the command: return cf_cli_done(that). */
int cf_cli_next(struct cf_cli *cli, const char **value);
int cf_cli_done(int next);

/* Opens cli->q; operands fewer than lo or more than hi (-1: any) are a usage error. */
enum cf_status cf_cli_open(struct cf_cli *cli, enum cf_queue_mode mode, int lo, int hi);

/* Prints cli->err to stderr and returns the exit status it stands for. */
int cf_cli_fail(struct cf_cli *cli);
/* A usage error with the hint where help is found. */
int cf_cli_usage(struct cf_cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A decimal number in lo..hi, the whole text; CF_EUSAGE names what. */
enum cf_status cf_cli_int(const char *text, const char *what, int64_t lo, int64_t hi,
                          int64_t *v, struct cf_error *err);

/* User text to stdout so that it can do nothing to a terminal; at most max bytes. */
void cf_cli_print(const char *text, size_t len, size_t max);

/* "ready", "running", ...; -1 for another name. */
const char *cf_state_name(int state);
int cf_state_of(const char *name);

extern const struct cf_cmd cf_cmd_init, cf_cmd_add, cf_cmd_status, cf_cmd_list,
    cf_cmd_show, cf_cmd_retry, cf_cmd_cancel, cf_cmd_hold, cf_cmd_release, cf_cmd_reap,
    cf_cmd_check, cf_cmd_export;

#endif
