#include "base/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPTIONS = 60 };

void cf_cli_start(void)
{
    int fd;

    do /* open takes the lowest free number */
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}


enum cf_status cf_cli_parse(int argc, char **argv, const struct cf_option *table,
                            enum cf_status (*set)(void *ctx, int key, const char *value,
                                                  struct cf_error *err),
                            void *ctx, int *first, struct cf_error *err)
{
    struct option longs[MAX_OPTIONS + 1];
    char shorts[2 * MAX_OPTIONS + 2] = ":";
    size_t at = 1;
    int n, c;

    memset(longs, 0, sizeof longs);
    for (n = 0; table[n].name && n < MAX_OPTIONS; n++) {
        longs[n].name = table[n].name;
        longs[n].has_arg = table[n].arg ? required_argument : no_argument;
        longs[n].val = table[n].key;
        if (table[n].key < 256) {
            shorts[at++] = (char)table[n].key;
            if (table[n].arg)
                shorts[at++] = ':';
        }
    }
    opterr = 0;
    optind = 0; /* start anew, also for a second table in one process */
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (c == '?')
            return cf_fail(err, CF_EUSAGE,
                           "option '%s' is unknown or ambiguous; see --help",
                           argv[optind - 1]);
        if (c == ':')
            return cf_fail(err, CF_EUSAGE, "option '%s' needs a value; see --help",
                           argv[optind - 1]);
        CF_TRY(set(ctx, c, optarg, err));
    }
    *first = optind;
    return CF_OK;
}

void cf_cli_print(FILE *out, const struct cf_option *table)
{
    enum { COLUMN = 30 };

    for (; table->name; table++) {
        const char *help = table->help, *nl;
        int used = table->key < 256 ? fprintf(out, "  -%c, ", table->key)
                                    : fprintf(out, "      ");

        used += fprintf(out, "--%s%s%s", table->name, table->arg ? "=" : "",
                        table->arg ? table->arg : "");
        if (used > COLUMN - 2) {
            fputc('\n', out);
            used = 0;
        }
        while ((nl = strchr(help, '\n')) != NULL) {
            fprintf(out, "%*s%.*s\n", COLUMN - used, "", (int)(nl - help), help);
            help = nl + 1;
            used = 0;
        }
        fprintf(out, "%*s%s\n", COLUMN - used, "", help);
    }
}

enum cf_status cf_cli_flush(struct cf_error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return cf_fail(err, CF_EIO, "standard output: %s", strerror(errno));
    return CF_OK;
}
