#include "jobs/cmd.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

static void help(const struct cf_cmd *cmd)
{
    printf("Usage: cfgen-jobs %s [OPTION]...%s%s\n%s.\n\n", cmd->name,
           *cmd->args ? " " : "", cmd->args, cmd->summary);
    cf_cli_help(cmd->options);
}

int cf_cmd_next(struct cf_call *call, const char **value)
{
    int key;

    while ((key = cf_cli_next(&call->line, &call->err)) > 0) {
        *value = call->line.value;
        switch (key) {
        case CF_CMD_DB:
            call->db = *value;
            break;
        case CF_CMD_UNSAFE:
            call->unsafe = true;
            break;
        case CF_CMD_HELP:
            help(call->cmd);
            return -1;
        default:
            return key;
        }
    }
    call->operand = call->line.argv + call->line.first;
    call->n = call->line.argc - call->line.first;
    return key;
}

enum cf_status cf_cmd_open(struct cf_call *call, enum cf_queue_mode mode, int lo, int hi)
{
    if (call->n < lo)
        return cf_fail(&call->err, CF_EUSAGE, "an operand is missing: %s",
                       call->cmd->args);
    if (hi >= 0 && call->n > hi)
        return cf_fail(&call->err, CF_EUSAGE, "unexpected operand '%.80s'",
                       call->operand[hi]);
    if (!call->db || !*call->db)
        return cf_fail(&call->err, CF_EUSAGE, "no queue: give --db=FILE or set CFGEN_DB");
    return cf_queue_open(&call->q, call->db, cf_queue_mode(mode, call->unsafe),
                         &call->err);
}

int cf_cmd_end(struct cf_call *call)
{
    char program[40];

    if (call->err.status == CF_OK)
        return 0;
    snprintf(program, sizeof program, "cfgen-jobs %s", call->cmd->name);
    return cf_cli_complain(program, &call->err);
}

void cf_cmd_print(const char *text, size_t len, size_t max)
{
    char *p = cf_utf8_printable(text, len, max, NULL);

    fputs(p ? p : "?", stdout);
    cf_free(p);
}

void cf_cmd_quote(const char *text)
{
    cf_cmd_quote_to(stdout, text);
}

void cf_cmd_quote_to(FILE *to, const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789_./,:@%+-";
    char *shown = cf_utf8_printable(text, strlen(text), SIZE_MAX, NULL);
    bool harmless = shown && strcmp(shown, text) == 0;

    cf_free(shown);
    if (*text && text[strspn(text, safe)] == '\0') {
        fputs(text, to);
        return;
    }
    fputs(harmless ? "'" : "$'", to);
    for (; *text; text++)
        if (*text == '\'')
            fputs(harmless ? "'\\''" : "\\'", to);
        else if (!harmless && !(*text >= ' ' && *text <= '~' && *text != '\\'))
            fprintf(to, "\\%03o", (unsigned char)*text);
        else
            putc(*text, to);
    putc('\'', to);
}
