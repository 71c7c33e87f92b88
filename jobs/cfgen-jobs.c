/* cfgen-jobs - the queue from the command line: one table of commands. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/cli.h"

static const struct cf_cmd *const command[] = {
    &cf_cmd_init,    &cf_cmd_add,   &cf_cmd_status, &cf_cmd_list,
    &cf_cmd_show,    &cf_cmd_retry, &cf_cmd_cancel, &cf_cmd_hold,
    &cf_cmd_release, &cf_cmd_reap,  &cf_cmd_check,  &cf_cmd_export,
};
enum { NCOMMAND = sizeof command / sizeof command[0] };

static int help(void)
{
    printf("Usage: cfgen-jobs COMMAND [OPTION]... [OPERAND]...\n"
           "Fill, watch and read out a queue of images to make.\n\n");
    for (int i = 0; i < NCOMMAND; i++)
        printf("  %-10s %s\n", command[i]->name, command[i]->summary);
    printf("\n      --help     print this help\n"
           "      --version  print the version\n"
           "\n'cfgen-jobs COMMAND --help' tells the options of a command.\n");
    return 0;
}

static int run(int argc, char **argv)
{
    struct cf_cli cli = {.db = getenv("CFGEN_DB")};
    int status = -1;

    if (argc < 2)
        return cf_cli_usage(&cli, "a command is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("cfgen-jobs (cfgen) %s\n", PACKAGE_VERSION);
        return 0;
    }
    for (int i = 0; i < NCOMMAND && status < 0; i++) {
        if (strcmp(argv[1], command[i]->name) != 0)
            continue;
        cli.cmd = command[i];
        cli.argc = argc - 1;
        cli.argv = argv + 1;
        status = command[i]->run(&cli);
        cf_queue_close(cli.q);
    }
    return status >= 0
               ? status
               : cf_cli_usage(&cli, "%s %s",
                              argv[1][0] == '-' ? "unknown option" : "unknown command",
                              argv[1]);
}

/* A closed descriptor 0, 1 or 2 would be given to the database, and the next message
 * would be written into it. Occupy them with what fails on use. */
static void occupy_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    int status;

    occupy_standard_files();
    status = run(argc, argv);
    if (ferror(stdout) | (fclose(stdout) != 0)) {
        fprintf(stderr, "cfgen-jobs: standard output: %s\n", strerror(errno));
        if (status == 0)
            status = cf_status_exit(CF_EIO);
    }
    return status;
}
