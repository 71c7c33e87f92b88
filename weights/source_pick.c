#include "weights/source_pick.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

/* The names that the tools write, in the order of our liking. */
static const char *const usual[] = {
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
};

/* Endings of the only file of a folder, one class after the other. */
static const char *const endings[][5] = {
    {".index.json"},
    {".safetensors"},
    {".pth", ".pt", ".ckpt", ".bin"},
};

enum { CLASSES = sizeof endings / sizeof *endings };

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n > m && strcmp(s + n - m, tail) == 0;
}

static bool is_of_class(const char *name, int class)
{
    for (int i = 0; endings[class][i]; i++)
        if (ends_with(name, endings[class][i]))
            return true;
    return false;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* The only file of the first class that is there at all. */
static char *pick_lone(const char *dir, struct dirent **e, int n, struct cf_error *err)
{
    for (int class = 0; class < CLASSES; class ++) {
        const char *name[2] = {NULL, NULL};
        int found = 0;

        for (int i = 0; i < n; i++)
            if (is_of_class(e[i]->d_name, class)) {
                if (found < 2)
                    name[found] = e[i]->d_name;
                found++;
            }
        if (found == 1)
            return cf_format(err, "%s/%s", dir, name[0]);
        if (found > 1) {
            cf_fail(err, CF_EFORMAT,
                    "%.150s: holds %d files of weights, %s (%.100s, %.100s%s)", dir,
                    found,
                    strstr(name[0], "-of-") ? "shards without their .index.json?"
                                            : "which is meant?",
                    name[0], name[1], found > 2 ? ", ..." : "");
            return NULL;
        }
    }
    cf_fail(err, CF_ENOENT,
            "%.250s: holds no file of weights (.safetensors, .pth, .pt, .ckpt, .bin or "
            "an .index.json of these)",
            dir);
    return NULL;
}

static char *pick_usual(const char *dir, struct dirent **e, int n, struct cf_error *err)
{
    for (size_t u = 0; u < sizeof usual / sizeof *usual; u++)
        for (int i = 0; i < n; i++)
            if (strcmp(e[i]->d_name, usual[u]) == 0)
                return cf_format(err, "%s/%s", dir, usual[u]);
    return pick_lone(dir, e, n, err);
}

char *cf_source_pick(const char *path, struct cf_error *err)
{
    struct dirent **e;
    struct stat info;
    char *file;
    int n;

    if (stat(path, &info) != 0) {
        cf_fail_errno(err, errno, "%.300s", path);
        return NULL;
    }
    if (!S_ISDIR(info.st_mode))
        return cf_strdup(path, err);
    n = scandir(path, &e, visible, alphasort);
    if (n < 0) {
        cf_fail_errno(err, errno, "%.300s", path);
        return NULL;
    }
    file = pick_usual(path, e, n, err);
    for (int i = 0; i < n; i++)
        free(e[i]);
    free(e);
    return file;
}
