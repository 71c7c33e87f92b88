/* replay.c - what a power cut would have left on the disk.
 *
 *     replay LOG BEFORE LIST              prints how many syncs and changes the log holds
 *     replay LOG BEFORE LIST K MODEL OUT  makes the directory OUT
 *
 * LOG is of record.c; BEFORE a copy of the directory as it was before the run; LIST its
 * entries then, one "INODE TYPE PATH" a line (find -printf '%i %y %P\n'). The power goes
 * just before sync number K + 1 (K = 0, 1, ...), and of what was asked since each file's
 * and directory's last sync MODEL says what is left:
 *
 *   synced  nothing: neither bytes nor names
 *   names   the names, not the bytes: a renamed file whose bytes were not synced is empty
 *   torn    the names, and some of the writes: which ones depends on K
 *   careless  as if nobody had synced the images: for a test that the test can fail
 *
 * A file system may do any of these; the first is the least that POSIX promises. */
#include "record.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes {
    unsigned char *p;
    size_t n;
};

struct change { /* of a file, since its last sync */
    uint64_t at, size;
    unsigned char *data; /* NULL: a truncation to size */
};

struct entry {
    char *name;
    int node;
};

struct names {
    struct entry *e;
    int n;
};

struct node {
    uint64_t ino;
    bool is_dir;
    struct bytes now, synced;
    struct change *change;
    int n_change;
    struct names names, synced_names;
};

static struct node *node;
static int n_node;

static void *grown(void *p, size_t n, size_t size)
{
    p = realloc(p, n * size + 1);
    if (!p)
        err(99, "memory");
    return p;
}

/* The newest of that number: inodes are used again. */
static int find(uint64_t ino)
{
    for (int i = n_node; i-- > 0;)
        if (node[i].ino == ino)
            return i;
    return -1;
}

static int add(uint64_t ino, bool is_dir)
{
    node = grown(node, (size_t)n_node + 1, sizeof *node);
    node[n_node] = (struct node){.ino = ino, .is_dir = is_dir};
    return n_node++;
}

static void set_bytes(struct bytes *b, uint64_t at, const void *data, size_t size)
{
    if (b->n < at + size) {
        b->p = grown(b->p, at + size, 1);
        memset(b->p + b->n, 0, at + size - b->n);
        b->n = at + size;
    }
    if (size)
        memcpy(b->p + at, data, size);
}

static void resize(struct bytes *b, uint64_t size)
{
    if (size < b->n)
        b->n = size;
    else
        set_bytes(b, size, "", 0);
}

static void copy_bytes(struct bytes *to, const struct bytes *from)
{
    to->n = 0;
    set_bytes(to, 0, from->p, from->n);
}

static int at_name(const struct names *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (strcmp(d->e[i].name, name) == 0)
            return i;
    return -1;
}

static void unset_name(struct names *d, const char *name)
{
    int i = at_name(d, name);

    if (i >= 0)
        d->e[i] = d->e[--d->n];
}

static void set_name(struct names *d, const char *name, int which)
{
    unset_name(d, name);
    d->e = grown(d->e, (size_t)d->n + 1, sizeof *d->e);
    d->e[d->n++] = (struct entry){strdup(name), which};
}

static void copy_names(struct names *to, const struct names *from)
{
    to->n = 0;
    for (int i = 0; i < from->n; i++)
        set_name(to, from->e[i].name, from->e[i].node);
}

/* ---- before the run ---- */

static void read_file(struct bytes *b, const char *path)
{
    unsigned char buf[65536];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        err(99, "%s", path);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        set_bytes(b, b->n, buf, n);
    fclose(f);
}

static void read_before(const char *dir, const char *list)
{
    char line[4096], path[8192], type;
    FILE *f = fopen(list, "r");
    unsigned long long ino;
    int skip;

    if (!f)
        err(99, "%s", list);
    while (fgets(line, sizeof line, f)) {
        char *slash, *name;
        int which, above = 0;

        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%llu %c %n", &ino, &type, &skip) < 2)
            errx(99, "%s: %s", list, line);
        name = line + skip;
        which = add(ino, type == 'd');
        if (!*name) /* the root, the first line */
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (type != 'd') {
            read_file(&node[which].now, path);
            copy_bytes(&node[which].synced, &node[which].now);
        }
        while ((slash = strchr(name, '/'))) { /* parents stand before their children */
            *slash = '\0';
            above = node[above].names.e[at_name(&node[above].names, name)].node;
            name = slash + 1;
        }
        set_name(&node[above].names, name, which);
        set_name(&node[above].synced_names, name, which);
    }
    fclose(f);
}

/* ---- the run ---- */

static void change(struct node *f, struct change c)
{
    if (c.data)
        set_bytes(&f->now, c.at, c.data, c.size);
    else
        resize(&f->now, c.size);
    f->change = grown(f->change, (size_t)f->n_change + 1, sizeof *f->change);
    f->change[f->n_change++] = c;
}

static void sync_node(struct node *f)
{
    copy_bytes(&f->synced, &f->now);
    copy_names(&f->synced_names, &f->names);
    f->n_change = 0;
}

static void apply(const struct record *r, const char *name, const char *name2,
                  unsigned char *data)
{
    int dir = find(r->dir), dir2 = find(r->dir2), which = find(r->ino), i;

    switch (r->op) {
    case RECORD_CREATE:
    case RECORD_MKDIR:
        which = add(r->ino, r->op == RECORD_MKDIR);
        if (dir >= 0)
            set_name(&node[dir].names, name, which);
        break;
    case RECORD_RENAME:
        i = dir < 0 ? -1 : at_name(&node[dir].names, name);
        if (i < 0 || dir2 < 0)
            errx(99, "rename of %s: not known", name);
        which = node[dir].names.e[i].node;
        unset_name(&node[dir].names, name);
        set_name(&node[dir2].names, name2, which);
        break;
    case RECORD_UNLINK:
        if (dir >= 0)
            unset_name(&node[dir].names, name);
        break;
    case RECORD_WRITE:
        if (which >= 0)
            change(&node[which], (struct change){r->at, r->size, data});
        break;
    case RECORD_TRUNCATE:
        if (which >= 0)
            change(&node[which], (struct change){0, r->size, NULL});
        break;
    default:
        if (which >= 0)
            sync_node(&node[which]);
    }
}

static void *taken(FILE *f, size_t n)
{
    char *p = grown(NULL, n + 1, 1);

    if (fread(p, 1, n, f) != n)
        errx(99, "the log ends in the middle of a record");
    p[n] = '\0';
    return p;
}

/* Up to sync k + 1 without it; all where k is negative. Returns the syncs done and counts
 * all changes. */
static int replay(const char *log, int k, int *changes)
{
    FILE *f = fopen(log, "rb");
    struct record r;
    int syncs = 0;

    if (!f)
        err(99, "%s", log);
    while (fread(&r, sizeof r, 1, f) == 1) {
        char *name = taken(f, r.name), *name2 = taken(f, r.name2);
        unsigned char *data = taken(f, r.op == RECORD_WRITE ? r.size : 0);

        if (r.op == RECORD_SYNC && k >= 0 && syncs == k)
            break;
        syncs += r.op == RECORD_SYNC;
        ++*changes;
        apply(&r, name, name2, data);
    }
    fclose(f);
    return syncs;
}

/* ---- after the cut ---- */

static bool survives(int k, int which, int i)
{
    uint32_t h = (uint32_t)k * 2654435761u ^ (uint32_t)which * 40503u ^ (uint32_t)i * 97u;

    h ^= h >> 15;
    h *= 2246822519u;
    return (h >> 13 & 1) != 0;
}

static bool careless(const char *model, const char *path)
{
    const char *dot = strrchr(path, '.');

    return strcmp(model, "careless") == 0 && dot && strcmp(dot, ".webp") == 0;
}

static void write_file(struct node *f, int which, const char *path, int k,
                       const char *model)
{
    bool torn = strcmp(model, "torn") == 0;
    FILE *out = fopen(path, "wb");

    if (careless(model, path))
        f->synced.n = 0;
    for (int i = 0; torn && i < f->n_change; i++) {
        const struct change *c = &f->change[i];

        if (!survives(k, which, i))
            continue;
        if (c->data)
            set_bytes(&f->synced, c->at, c->data, c->size);
        else
            resize(&f->synced, c->size);
    }
    if (!out ||
        fwrite(f->synced.p ? f->synced.p : (void *)"", 1, f->synced.n, out) !=
            f->synced.n ||
        fclose(out) != 0)
        err(99, "%s", path);
}

static void write_dir(int which, const char *path, int k, const char *model)
{
    const struct names *d =
        strcmp(model, "synced") == 0 ? &node[which].synced_names : &node[which].names;

    if (mkdir(path, 0777) != 0)
        err(99, "%s", path);
    for (int i = 0; i < d->n; i++) {
        int below = d->e[i].node;
        char *p = NULL;

        if (asprintf(&p, "%s/%s", path, d->e[i].name) < 0)
            err(99, "memory");
        if (node[below].is_dir)
            write_dir(below, p, k, model);
        else
            write_file(&node[below], below, p, k, model);
        free(p);
    }
}

int main(int argc, char **argv)
{
    int syncs, changes = 0;

    if (argc != 4 && argc != 7)
        errx(99, "usage: replay LOG BEFORE LIST [K MODEL OUT]");
    read_before(argv[2], argv[3]);
    if (argc == 4) {
        syncs = replay(argv[1], -1, &changes);
        printf("%d %d\n", syncs, changes);
        return 0;
    }
    replay(argv[1], atoi(argv[4]), &changes);
    write_dir(0, argv[6], atoi(argv[4]), argv[5]);
    return 0;
}
