/* fuzz_manifest.c - any bytes as the model.json of a directory with files t, v, k, te/a.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "weights/model.h"

static char dir[] = "/tmp/cfgen-fuzz-XXXXXX";
static const char *const part[] = {"t", "v", "k", "te/a"};
static int ready;

static const char *in_dir(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void clean(void)
{
    for (int i = 0; i < 4; i++)
        unlink(in_dir(part[i]));
    unlink(in_dir("model.json"));
    rmdir(in_dir("te"));
    rmdir(dir);
}

static void prepare(void)
{
    if (!mkdtemp(dir) || atexit(clean) != 0 || mkdir(in_dir("te"), 0700) != 0)
        abort();
    for (int i = 0; i < 4; i++)
        fuzz_write(in_dir(part[i]), "abc", 3);
    ready = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    struct cf_model *m;

    if (!ready)
        prepare();
    fuzz_write(in_dir("model.json"), bytes, n);
    if ((cf_model_open(&m, dir, CF_MODEL_FULL, &err) == CF_OK) != (m != NULL))
        abort();
    for (int i = 0; m && i < CF_NPART; i++) /* nothing outside the directory */
        if (strncmp(m->path[i], m->dir, strlen(m->dir)) != 0 || strstr(m->path[i], ".."))
            abort();
    cf_model_close(m);
    return 0;
}
