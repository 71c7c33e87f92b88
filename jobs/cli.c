#include "jobs/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { OPT_MAX = 40, DONE_HELP = -1, DONE_USAGE = -2 };

static void help(const struct cf_cmd *cmd)
{
    printf("Usage: cfgen-jobs %s [OPTION]...%s%s\n%s.\n\n", cmd->name,
           *cmd->args ? " " : "", cmd->args, cmd->summary);
    for (const struct cf_cmd_opt *o = cmd->opt; o->id; o++) {
        char left[64], letter[8] = "   ";

        if (o->id < 128)
            snprintf(letter, sizeof letter, "-%c,", o->id);
        snprintf(left, sizeof left, "%s --%s%s%s", letter, o->name, o->arg ? "=" : "",
                 o->arg ? o->arg : "");
        printf("  %-28s %s\n", left, o->help);
    }
}

static void tables(const struct cf_cmd *cmd, char *shorts, struct option *longs)
{
    *shorts++ = ':';
    for (const struct cf_cmd_opt *o = cmd->opt; o->id; o++) {
        *longs++ = (struct option){o->name, o->arg ? required_argument : no_argument,
                                   NULL, o->id};
        if (o->id < 128) {
            *shorts++ = (char)o->id;
            if (o->arg)
                *shorts++ = ':';
        }
    }
    *longs = (struct option){0};
    *shorts = '\0';
}

/* The option that getopt refused, as it was written. */
static const char *refused(const struct cf_cli *cli)
{
    static char letter[3] = "-?";
    const char *last = cli->argv[optind - 1];

    if (strncmp(last, "--", 2) == 0)
        return last;
    letter[1] = (char)optopt;
    return letter;
}

int cf_cli_next(struct cf_cli *cli, const char **value)
{
    struct option longs[OPT_MAX];
    char shorts[2 * OPT_MAX + 2];

    tables(cli->cmd, shorts, longs);
    opterr = 0;
    for (;;) {
        int id = getopt_long(cli->argc, cli->argv, shorts, longs, NULL);

        *value = optarg;
        switch (id) {
        case -1:
            cli->first = optind;
            return 0;
        case '?':
            cf_cli_usage(cli, "unknown option, or a value it does not take: %s",
                         refused(cli));
            return DONE_USAGE;
        case ':':
            cf_cli_usage(cli, "a value is missing: %s", refused(cli));
            return DONE_USAGE;
        case CF_CLI_DB:
            cli->db = optarg;
            break;
        case CF_CLI_UNSAFE:
            cli->unsafe = true;
            break;
        case CF_CLI_HELP:
            help(cli->cmd);
            return DONE_HELP;
        default:
            return id;
        }
    }
}

int cf_cli_done(int next)
{
    return next == DONE_HELP ? 0 : cf_status_exit(CF_EUSAGE);
}

enum cf_status cf_cli_open(struct cf_cli *cli, enum cf_queue_mode mode, int lo, int hi)
{
    int n = cli->argc - cli->first;

    if (n < lo)
        return cf_fail(&cli->err, CF_EUSAGE, "an operand is missing: %s", cli->cmd->args);
    if (hi >= 0 && n > hi)
        return cf_fail(&cli->err, CF_EUSAGE, "unexpected operand %s",
                       cli->argv[cli->first + hi]);
    if (!cli->db || !*cli->db)
        return cf_fail(&cli->err, CF_EUSAGE, "no queue: give --db=FILE or set CFGEN_DB");
    if (cli->unsafe)
        mode = (enum cf_queue_mode)(mode | CF_QUEUE_UNSAFE_SHARED);
    return cf_queue_open(&cli->q, cli->db, mode, &cli->err);
}

static void complain(struct cf_cli *cli, const char *msg)
{
    fflush(stdout);
    fprintf(stderr, "cfgen-jobs%s%s: %s\n", cli->cmd ? " " : "",
            cli->cmd ? cli->cmd->name : "", msg);
}

int cf_cli_fail(struct cf_cli *cli)
{
    if (cli->err.status == CF_EUSAGE)
        return cf_cli_usage(cli, "%s", cli->err.msg);
    complain(cli, cli->err.msg);
    return cf_status_exit(cli->err.status);
}

int cf_cli_usage(struct cf_cli *cli, const char *fmt, ...)
{
    struct cf_error err = {0};
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cf_fail(&err, CF_EUSAGE, "%s", text); /* makes control bytes harmless */
    complain(cli, err.msg);
    fprintf(stderr, "Try 'cfgen-jobs%s%s --help'.\n", cli->cmd ? " " : "",
            cli->cmd ? cli->cmd->name : "");
    return cf_status_exit(CF_EUSAGE);
}

enum cf_status cf_cli_int(const char *text, const char *what, int64_t lo, int64_t hi,
                          int64_t *v, struct cf_error *err)
{
    char *end;

    errno = 0;
    *v = strtoll(text, &end, 10);
    if (errno || end == text || *end || *text == ' ' || *v < lo || *v > hi)
        return cf_fail(err, CF_EUSAGE, "%s is \"%s\", expected a number in %lld..%lld",
                       what, text, (long long)lo, (long long)hi);
    return CF_OK;
}

void cf_cli_print(const char *text, size_t len, size_t max)
{
    char *p = cf_utf8_printable(text, len, max, NULL);

    fputs(p ? p : "?", stdout);
    cf_free(p);
}

static const char *const state_name[CF_NJOBSTATE] = {
    "ready", "running", "done", "failed", "delayed", "cancelled", "held",
};

const char *cf_state_name(int state)
{
    return state >= 0 && state < CF_NJOBSTATE ? state_name[state] : "unknown";
}

int cf_state_of(const char *name)
{
    for (int i = 0; i < CF_NJOBSTATE; i++)
        if (strcmp(name, state_name[i]) == 0)
            return i;
    return -1;
}
