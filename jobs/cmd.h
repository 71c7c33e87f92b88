/* cmd.h - what the commands of cfgen-jobs share: the call, the queue it opens, its end.
 *
 * A command is one const struct cf_cmd with a table of options (base/cli.h). Commands
 * that need nothing but the queue are in jobs/; the program and those that look at the
 * images too are in pipeline/. */
#ifndef CF_JOBS_CMD_H
#define CF_JOBS_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cli.h"
#include "jobs/queue.h"

/* The options that every command has; first in each table. A command numbers its own long
 * options from CF_CMD_OWN on. */
enum { CF_CMD_DB = 'd', CF_CMD_HELP = 'h', CF_CMD_UNSAFE = 256, CF_CMD_OWN };
#define CF_CMD_COMMON                                                                    \
    {CF_CMD_DB, "db", "FILE", "the queue (default: $CFGEN_DB)"},                         \
        {CF_CMD_UNSAFE, "unsafe-shared-db", NULL,                                        \
         "allow a file system shared between machines"},                                 \
    {                                                                                    \
        CF_CMD_HELP, "help", NULL, "print this help"                                     \
    }

struct cf_call;

struct cf_cmd {
    const char *name, *args, *summary;
    const struct cf_option *options;
    int (*run)(struct cf_call *call); /* the exit status */
};

struct cf_call {
    const struct cf_cmd *cmd;
    struct cf_cli line;
    char **operand; /* n of them, once cf_cmd_next gave 0 */
    int n;
    const char *db;
    bool unsafe;
    struct cf_queue *q; /* closed by main */
    struct cf_error err;
};

/* The command's next option: its key, 0 at the end; *value is its argument. -1 where the
 * command is over, by a wrong option or by --help: return cf_cmd_end. */
int cf_cmd_next(struct cf_call *call, const char **value);

/* Opens call->q; operands fewer than lo or more than hi (-1: any) are a usage error. */
enum cf_status cf_cmd_open(struct cf_call *call, enum cf_queue_mode mode, int lo, int hi);

/* The exit status that call->err stands for; an error is told to stderr. */
int cf_cmd_end(struct cf_call *call);

/* User text to stdout so that it can do nothing to a terminal; at most max bytes. */
void cf_cmd_print(const char *text, size_t len, size_t max);

/* The same as one word of a shell: plain, in '', or in $'' where it holds bytes that
 * could harm a terminal. */
void cf_cmd_quote(const char *text);
void cf_cmd_quote_to(FILE *to, const char *text);

extern const struct cf_cmd cf_cmd_init, cf_cmd_add, cf_cmd_status, cf_cmd_list,
    cf_cmd_show, cf_cmd_retry, cf_cmd_cancel, cf_cmd_hold, cf_cmd_release, cf_cmd_reap,
    cf_cmd_check, cf_cmd_export, cf_cmd_plan, cf_cmd_merge, cf_cmd_backup, cf_cmd_prune,
    cf_cmd_migrate;
/* Of pipeline/: */
extern const struct cf_cmd cf_cmd_verify, cf_cmd_gallery, cf_cmd_rerun;

#endif
