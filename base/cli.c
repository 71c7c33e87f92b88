#include "base/cli.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { MAX_OPTIONS = 60, MAX_TEXT = 4096 };

/* What getopt_long wants, from our table. */
struct tables {
    struct option longs[MAX_OPTIONS + 1];
    char shorts[2 * MAX_OPTIONS + 2];
};

static void fill(struct tables *t, const struct cf_option *from)
{
    struct option *l = t->longs;
    char *s = t->shorts;

    *s++ = ':'; /* tell a missing value from an unknown option */
    for (; from->name; from++) {
        assert(l < t->longs + MAX_OPTIONS);
        *l++ = (struct option){
            .name = from->name,
            .has_arg = from->arg ? required_argument : no_argument,
            .val = from->key,
        };
        if (from->key < 256) {
            *s++ = (char)from->key;
            if (from->arg)
                *s++ = ':';
        }
    }
    *l = (struct option){0};
    *s = '\0';
}

/* Names the option as it was written: argv[optind - 1], but where letters share a word
 * (-Zq) the one that is wrong; getopt stays on such a word until its last letter. */
static int refuse(const struct cf_cli *cli, bool same_word, const char *why,
                  struct cf_error *err)
{
    const char *written = cli->argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    if ((same_word || strncmp(written, "--", 2) != 0) && optopt > 0 && optopt < 256)
        written = letter;
    cf_fail(err, CF_EUSAGE, "option '%.80s' %s", written, why);
    return -1;
}

int cf_cli_next(struct cf_cli *cli, struct cf_error *err)
{
    int key, before = cli->first ? cli->first : 1;
    struct tables t;

    fill(&t, cli->table);
    opterr = 0;
    if (!cli->first)
        optind = 0; /* forget an earlier command line */
    key = getopt_long(cli->argc, cli->argv, t.shorts, t.longs, NULL);
    cli->first = optind;
    cli->value = key == -1 ? NULL : optarg;
    if (key == '?')
        return refuse(cli, optind == before, "is unknown, ambiguous or takes no value",
                      err);
    if (key == ':')
        return refuse(cli, false, "needs a value", err);
    return key == -1 ? 0 : key;
}

void cf_cli_help(const struct cf_option *table)
{
    enum { COLUMN = 30 };

    for (; table->name; table++) {
        const char *help = table->help, *nl;
        int used = table->key < 256 ? printf("  -%c, ", table->key) : printf("      ");

        used += printf("--%s%s%s", table->name, table->arg ? "=" : "",
                       table->arg ? table->arg : "");
        if (used > COLUMN - 2) {
            putchar('\n');
            used = 0;
        }
        while ((nl = strchr(help, '\n')) != NULL) {
            printf("%*s%.*s\n", COLUMN - used, "", (int)(nl - help), help);
            help = nl + 1;
            used = 0;
        }
        printf("%*s%s\n", COLUMN - used, "", help);
    }
}

void cf_cli_start(void)
{
    for (int fd = 0; fd <= 2; fd++) /* open takes the lowest free number */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

void cf_cli_put(const char *text)
{
    char *inert = cf_utf8_printable(text, strlen(text), MAX_TEXT, NULL);

    fputs(inert ? inert : "?", stdout);
    cf_free(inert);
}

enum cf_status cf_cli_flush(struct cf_error *err)
{
    bool failed;
    int fd;

    errno = 0; /* after a write that failed earlier there is none to tell */
    failed = fflush(stdout) != 0 || ferror(stdout);
    /* NFS and quotas tell some failures only to the one who closes. */
    if (!failed && (fd = dup(STDOUT_FILENO)) >= 0)
        failed = close(fd) != 0;
    if (failed)
        return cf_fail(err, CF_EIO, "standard output: %s",
                       errno ? strerror(errno) : "a write failed");
    return CF_OK;
}

int cf_cli_complain(const char *program, const struct cf_error *err)
{
    fflush(stdout); /* what was told before stands before */
    fprintf(stderr, "%s: %s\n", program, err->msg);
    if (err->status == CF_EUSAGE)
        fprintf(stderr, "Try '%s --help'.\n", program);
    return cf_status_exit(err->status);
}
