#include "tests/golden_textenc.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16 };

bool golden_ends(const char *name, const char *tail)
{
    size_t n = strlen(name), m = strlen(tail);

    return n >= m && strcmp(name + n - m, tail) == 0;
}

bool golden_starts(const char *name, const char *head)
{
    return strncmp(name, head, strlen(head)) == 0;
}

bool golden_has(const struct golden_dir *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->name[i], name) == 0)
            return true;
    return false;
}

void golden_path(char buf[GOLDEN_PATH], const struct golden_dir *d, const char *name)
{
    snprintf(buf, GOLDEN_PATH, "%s/%s", d->path, name);
}

static void label(char buf[GOLDEN_PATH], const struct golden_dir *d, const char *name,
                  const char *detail)
{
    const char *rel = d->path + strlen(d->root);

    while (*rel == '/')
        rel++;
    snprintf(buf, GOLDEN_PATH, "%s%s%s%s%s%s", rel, *rel ? "/" : "", name,
             detail ? " (" : "", detail ? detail : "", detail ? ")" : "");
}

void golden_tell(struct golden_dir *d, const char *name, const char *detail, double worst,
                 double tolerance, const char *fail_or_null)
{
    char buf[GOLDEN_PATH];

    label(buf, d, name, detail);
    cf_golden_report(d->g, buf, worst, tolerance, fail_or_null);
    d->found++;
}

void golden_not_covered(struct golden_dir *d, const char *name, const char *why)
{
    char buf[GOLDEN_PATH];

    label(buf, d, name, NULL);
    printf("--    %s  not covered by this program: %s\n", buf, why);
}

json_t *golden_json(const char *path)
{
    return json_load_file(path, JSON_ALLOW_NUL, NULL);
}

json_t *golden_lines(const char *path)
{
    FILE *f = fopen(path, "r");
    json_t *all = json_array();
    size_t cap = 0;
    char *line = NULL;
    ssize_t n;

    while (f && all && (n = getline(&line, &cap, f)) > 0) {
        json_t *record;

        if (strspn(line, " \t\r\n") == (size_t)n)
            continue;
        record = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        if (!json_is_object(record) || json_array_append_new(all, record) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    free(line);
    if (f)
        fclose(f);
    else {
        json_decref(all);
        all = NULL;
    }
    return all;
}

void golden_wrong(struct golden_count *c, const char *fmt, ...)
{
    va_list ap;

    if (c->wrong++ > 0)
        return;
    va_start(ap, fmt);
    vsnprintf(c->first, sizeof(c->first), fmt, ap);
    va_end(ap);
}

void golden_tell_count(struct golden_dir *d, const char *name, const char *detail,
                       const struct golden_count *c)
{
    char why[GOLDEN_WHY + 64];

    snprintf(why, sizeof(why), "%d faults in %d records, first: %s", c->wrong, c->total,
             c->first);
    golden_tell(d, name, detail, c->wrong, 0, c->wrong ? why : NULL);
}

/* Files that are told apart by what they hold. */
static void look_at_json(struct golden_dir *d, const char *name)
{
    char path[GOLDEN_PATH];
    json_t *root;

    golden_path(path, d, name);
    root = golden_json(path);
    if (json_object_get(root, "good") && json_object_get(root, "refuse"))
        golden_configs(d, name, root);
    else if (json_is_array(root) && json_object_get(json_array_get(root, 0), "text"))
        golden_chats(d, name, root);
    json_decref(root);
}

static void look_at_files(struct golden_dir *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const char *name = d->name[i];

        if (golden_starts(name, "t5_") && golden_ends(name, ".safetensors"))
            golden_buckets(d, name);
        else if (golden_ends(name, ".json") && !golden_starts(name, "tokenizer") &&
                 strcmp(name, "vocab.json") != 0)
            look_at_json(d, name);
    }
    golden_tokenizers(d);
    if (golden_has(d, "config.json"))
        golden_encoder(d);
}

static int walk(struct cf_golden *g, const char *root, const char *path, int depth)
{
    struct golden_dir d = {g, root, path, NULL, 0, 0};
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort), found = 0;

    if (n < 0)
        return 0;
    d.name = calloc((size_t)n + 1, sizeof(*d.name));
    for (int i = 0; i < n; i++) {
        char sub[GOLDEN_PATH];
        struct stat st;

        golden_path(sub, &d, entry[i]->d_name);
        if (entry[i]->d_name[0] == '.' || stat(sub, &st) != 0)
            continue;
        if (S_ISREG(st.st_mode))
            d.name[d.n++] = entry[i]->d_name;
        else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            found += walk(g, root, sub, depth + 1);
    }
    look_at_files(&d);
    found += d.found;
    free(d.name);
    for (int i = 0; i < n; i++)
        free(entry[i]);
    free(entry);
    return found;
}

int cf_golden_textenc(struct cf_golden *g, const char *dir)
{
    return walk(g, dir, dir, 0);
}
