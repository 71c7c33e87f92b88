/* cfgen-jobs rerun - a done job made again and compared with its row.
 *
 * The engine is not in this program: cfgen has it, and is run in our place. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "jobs/cmd.h"

enum { CHECK = CF_CMD_OWN, KV_TYPE };

static const struct cf_option options[] = {
    CF_CMD_COMMON,
    {CHECK, "check", NULL, "only compare, write no file"},
    {'o', "output", "FILE", "write the new image here (default: job-ID.webp)"},
    {'m', "model", "NAME", "a model instead of the one that the job names"},
    {KV_TYPE, "kv-type", "f32|bf16",
     "of kept keys and values, as of the worker, where the\n"
     "job names none"},
    {'t', "threads", "N", "compute threads (default: auto)"},
    {0},
};

enum { MAX_ARGS = 11 };

struct args {
    const char *output, *model, *threads, *kv_type;
    bool check;
    char *argv[MAX_ARGS]; /* owned, but for the first */
    int n;
};

static void add(struct args *a, const char *option, const char *value,
                struct cf_error *err)
{
    if (value)
        a->argv[a->n++] = cf_format(err, "%s%s", option, value);
}

/* cfgen beside this program, else the one on PATH. */
static enum cf_status become(struct args *a, struct cf_error *err)
{
    char self[PATH_MAX + 8];
    ssize_t n = readlink("/proc/self/exe", self, PATH_MAX);
    char *slash;

    CF_TRY(cf_cli_flush(err));
    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        strcpy(slash ? slash + 1 : self, "cfgen");
        execv(self, a->argv);
    }
    execvp("cfgen", a->argv);
    return cf_fail(err, errno == ENOENT ? CF_ENOENT : CF_EIO,
                   "cfgen, which makes the image: %s; it belongs beside this program",
                   strerror(errno));
}

static enum cf_status rerun(struct cf_call *call, struct args *a)
{
    struct cf_error *err = &call->err;
    char id[24], *output;
    int64_t job;

    CF_TRY(cf_cmd_open(call, CF_QUEUE_READ, 1, 1));
    CF_TRY(cf_parse_i64(call->operand[0], 1, INT64_MAX, &job, "job", err));
    snprintf(id, sizeof id, "%" PRId64, job);
    output = a->output || a->check ? NULL : cf_format(err, "job-%s.webp", id);
    a->argv[a->n++] = (char *)"cfgen";
    add(a, "--db=", call->db, err);
    add(a, "--job=", id, err);
    add(a, "--check", a->check ? "" : NULL, err);
    add(a, "--unsafe-shared-db", call->unsafe ? "" : NULL, err);
    add(a, "--output=", a->output ? a->output : output, err);
    add(a, "--model=", a->model, err);
    add(a, "--kv-type=", a->kv_type, err);
    add(a, "--threads=", a->threads, err);
    cf_free(output);
    return err->status == CF_OK ? become(a, err) : err->status;
}

static int run(struct cf_call *call)
{
    struct args a = {0};
    const char *value;
    int o;

    while ((o = cf_cmd_next(call, &value)) > 0) {
        if (o == 'o')
            a.output = value;
        if (o == 'm')
            a.model = value;
        if (o == 't')
            a.threads = value;
        if (o == KV_TYPE)
            a.kv_type = value;
        a.check |= o == CHECK;
    }
    if (o == 0)
        rerun(call, &a);
    for (int i = 1; i < a.n; i++)
        cf_free(a.argv[i]);
    return cf_cmd_end(call);
}

const struct cf_cmd cf_cmd_rerun = {
    "rerun", "ID", "Make the image of a done job again and compare", options, run,
};
