#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

enum { LEFT_ALONE = 16 /* one part of so many */ };

static void lower(struct cf_memory *m, int64_t bytes, const char *why)
{
    if (bytes > 0 && bytes < m->bytes) {
        m->bytes = bytes;
        m->why = why;
    }
}

/* A number in a file; "max" and what cannot be read are none. */
static int64_t read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    int64_t v = 0;

    if (f && fscanf(f, "%" SCNd64, &v) != 1)
        v = 0;
    if (f)
        fclose(f);
    return v;
}

/* The limits of a group and of all above it, from the inside out. */
static void by_groups(struct cf_memory *m, const char *root, char *group,
                      const char *file)
{
    char path[1200];

    for (;;) {
        char *slash = strrchr(group, '/');

        snprintf(path, sizeof path, "%s%s/%s", root, group, file);
        lower(m, read_number(path), "cgroup");
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Lines are "N:CONTROLLERS:PATH"; version 2 has no controllers there. Inside a container
 * the path may not be below our root: the root's own limit is read in any case. */
static void by_cgroup(struct cf_memory *m)
{
    char line[1024];
    FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof line, f)) {
        char *kind = strchr(line, ':'), *group = kind ? strchr(kind + 1, ':') : NULL;

        line[strcspn(line, "\n")] = '\0';
        if (!group)
            continue;
        *group++ = '\0';
        if (!kind[1])
            by_groups(m, "/sys/fs/cgroup", group, "memory.max");
        else if (strstr(kind, "memory"))
            by_groups(m, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    }
    if (f)
        fclose(f);
}

/* Slurm counts in MiB; 0 is all of the node, and so is what no node has (32 TiB): the
 * product with 65536 processors is still a number. */
static int64_t variable(const char *name)
{
    const char *s = getenv(name);
    int64_t v;

    return s && cf_parse_i64(s, 0, INT64_MAX >> 38, &v, name, NULL) == CF_OK ? v : 0;
}

void cf_memory_find(struct cf_memory *m, int64_t asked)
{
    int64_t cpus = variable("SLURM_CPUS_ON_NODE");

    if (asked > 0) {
        *m = (struct cf_memory){asked, "--memory"};
        return;
    }
    *m = (struct cf_memory){
        (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE), "physical"};
    by_cgroup(m);
    lower(m, variable("SLURM_MEM_PER_NODE") << 20, "Slurm");
    lower(m,
          (variable("SLURM_MEM_PER_CPU") * (cpus > 0 && cpus < 65536 ? cpus : 1)) << 20,
          "Slurm");
    m->bytes -= m->bytes / LEFT_ALONE;
}

int64_t cf_memory_peak(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    int64_t kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %" SCNd64, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return 1024 * kib;
}

const char *cf_bytes_text(char buf[CF_BYTES_TEXT], double bytes)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;

    for (; bytes >= 1024 && u + 1 < sizeof unit / sizeof unit[0]; u++)
        bytes /= 1024;
    snprintf(buf, CF_BYTES_TEXT, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return buf;
}
