/* cfgen-model - models from the command line: one table of commands. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/team.h"
#include "pipeline/model_cmd.h"

static const struct cf_model_cmd *const command[] = {
    &cf_model_cmd_convert, &cf_model_cmd_hash,     &cf_model_cmd_inspect,
    &cf_model_cmd_pack,    &cf_model_cmd_quantize, &cf_model_cmd_synth,
    &cf_model_cmd_verify,
};
enum { NCOMMAND = sizeof command / sizeof command[0] };

static int help(void)
{
    printf("Usage: cfgen-model COMMAND [OPTION]... [OPERAND]...\n"
           "Make, look into and check model directories.\n\n");
    for (int i = 0; i < NCOMMAND; i++)
        printf("  %-10s %s\n", command[i]->name, command[i]->summary);
    printf("\n      --help     print this help\n"
           "      --version  print the version\n"
           "\n'cfgen-model COMMAND --help' tells the options of a command.\n");
    return 0;
}

static int help_command(const struct cf_model_cmd *cmd)
{
    printf("Usage: cfgen-model %s [OPTION]... %s\n%s.\n\n", cmd->name, cmd->operands,
           cmd->summary);
    cf_cli_help(cmd->options);
    return 0;
}

static int wrong_call(const char *what, const char *word)
{
    struct cf_error err = {0};

    cf_fail(&err, CF_EUSAGE, "%s%.80s", what, word);
    return cf_cli_complain("cfgen-model", &err);
}

static int run(int argc, char **argv)
{
    struct cf_cli cli = {.argc = argc - 1, .argv = argv + 1};
    const struct cf_model_cmd *cmd = NULL;
    struct cf_error err = {0};

    if (argc < 2)
        return wrong_call("a command is missing", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("cfgen-model (cfgen) %s\n", PACKAGE_VERSION);
        return 0;
    }
    for (int i = 0; i < NCOMMAND && !cmd; i++)
        if (strcmp(argv[1], command[i]->name) == 0)
            cmd = command[i];
    if (!cmd)
        return wrong_call(argv[1][0] == '-' ? "options come after the command, not "
                                            : "unknown command ",
                          argv[1]);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help_command(cmd);
    cli.table = cmd->options;
    return cmd->run(&cli, &err) == CF_OK ? 0 : cf_cli_complain("cfgen-model", &err);
}

int main(int argc, char **argv)
{
    struct cf_error err = {0};
    int status;

    cf_team_calm(argv);
    cf_cli_start();
    status = run(argc, argv);
    if (cf_cli_flush(&err) != CF_OK) {
        int lost = cf_cli_complain("cfgen-model", &err);

        status = status ? status : lost;
    }
    return status;
}
