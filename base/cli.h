/* cli.h - command lines: one table of options per program or command, read by the
 * iterator and by --help; the standard files; the end of a program.
 *
 *     cf_cli_start();
 *     while ((key = cf_cli_next(&cli, &err)) > 0)
 *         ... switch (key), cli.value ...
 *     ... operands: cli.argv[cli.first .. cli.argc - 1] ...
 *     cf_cli_flush(&err);
 *     return err.status ? cf_cli_complain("prog", &err) : 0; */
#ifndef CF_BASE_CLI_H
#define CF_BASE_CLI_H

#include "base/error.h"

struct cf_option {
    int key;          /* a letter for -x, or a number above 255 for a long option alone */
    const char *name; /* "model" for --model */
    const char *arg;  /* "DIR" when it takes a value, else NULL */
    const char *help; /* one line; lines after '\n' are indented */
};

/* A command line that is being read; one at a time, for getopt's state is global. The
 * caller fills in table, argc and argv and zeroes the rest. */
struct cf_cli {
    const struct cf_option *table; /* ends with a row whose name is NULL; at most 60 */
    int argc;
    char **argv;       /* argv[0] is a name; operands are moved behind the options */
    const char *value; /* of the option at hand; NULL for one without */
    int first;         /* the first operand, once cf_cli_next gave 0 */
};

/* The key of the next option; 0 after the last; -1 and CF_EUSAGE for one that is unknown,
 * ambiguous or incomplete. */
int cf_cli_next(struct cf_cli *cli, struct cf_error *err);

/* The option lines of --help, to stdout. */
void cf_cli_help(const struct cf_option *table);

/* First call of a program: descriptors 0, 1 and 2 that were closed by the caller are
 * opened on /dev/null, so that no file of ours ever takes their place and receives
 * messages; the wrong way round, so that what uses them still fails. */
void cf_cli_start(void);

/* A text from a file or a path to stdout: what a terminal would obey is shown as \xNN or
 * \u{NN} (base/utf8.h). */
void cf_cli_put(const char *text);

/* See that all of stdout so far arrived: CF_EIO otherwise (full disk, closed). */
enum cf_status cf_cli_flush(struct cf_error *err);

/* "program: message" to stderr, and where --help is when the usage was wrong. Returns the
 * exit status. */
int cf_cli_complain(const char *program, const struct cf_error *err);

#endif
