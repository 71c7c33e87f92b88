/* cfgen-jobs - the queue from the command line: one table of commands. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/cmd.h"

static const struct cf_cmd *const command[] = {
    &cf_cmd_init,
    &cf_cmd_add,
    &cf_cmd_status,
    &cf_cmd_list,
    &cf_cmd_show,
    &cf_cmd_retry,
    &cf_cmd_cancel,
    &cf_cmd_hold,
    &cf_cmd_release,
    &cf_cmd_reap,
    &cf_cmd_check,
    &cf_cmd_export,
    &cf_cmd_plan,
    &cf_cmd_merge,
    &cf_cmd_backup,
    &cf_cmd_prune,
    &cf_cmd_migrate,
    /* of pipeline/ */
    &cf_cmd_verify,
    &cf_cmd_gallery,
    &cf_cmd_rerun,
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

static int wrong_call(const char *what, const char *word)
{
    struct cf_error err = {0};

    cf_fail(&err, CF_EUSAGE, "%s%.80s", what, word);
    return cf_cli_complain("cfgen-jobs", &err);
}

static int run(int argc, char **argv)
{
    struct cf_call call = {.line = {.argc = argc - 1, .argv = argv + 1}};
    int status;

    if (argc < 2)
        return wrong_call("a command is missing", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("cfgen-jobs (cfgen) %s\n", PACKAGE_VERSION);
        return 0;
    }
    for (int i = 0; i < NCOMMAND && !call.cmd; i++)
        if (strcmp(argv[1], command[i]->name) == 0)
            call.cmd = command[i];
    if (!call.cmd)
        return wrong_call(argv[1][0] == '-' ? "options come after the command, not "
                                            : "unknown command ",
                          argv[1]);
    call.db = getenv("CFGEN_DB");
    call.line.table = call.cmd->options;
    status = call.cmd->run(&call);
    cf_queue_close(call.q);
    return status;
}

int main(int argc, char **argv)
{
    struct cf_error err = {0};
    int status;

    cf_cli_start();
    status = run(argc, argv);
    if (cf_cli_flush(&err) != CF_OK) {
        int lost = cf_cli_complain("cfgen-jobs", &err);

        status = status ? status : lost;
    }
    return status;
}
