#include "bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { UNKNOWN = 32 << 20, ROOM = 64 << 20, CACHES = 8 };

/* One line of a file, without its end; empty where there is none. */
static void read_line(char *line, size_t size, const char *path)
{
    FILE *f = fopen(path, "r");

    if (!f || !fgets(line, (int)size, f))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (f)
        fclose(f);
}

static size_t size_of(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);

    return (size_t)(n << (*end == 'K' ? 10 : *end == 'M' ? 20 : 0));
}

static void find_caches(struct cf_machine *m)
{
    for (int i = 0; i < CACHES; i++) {
        char path[96], level[16], type[32], size[32];
        size_t bytes;

        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level",
                 i);
        read_line(level, sizeof level, path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        read_line(type, sizeof type, path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        read_line(size, sizeof size, path);
        if (!level[0] || strcmp(type, "Instruction") == 0)
            continue;
        bytes = size_of(size);
        if (level[0] == '1')
            m->l1 = bytes;
        if (level[0] == '2')
            m->l2 = bytes;
        if (bytes > m->last)
            m->last = bytes;
    }
    if (m->last == 0)
        m->last = UNKNOWN;
}

static void find_model(struct cf_machine *m)
{
    static const char key[] = "model name";
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(m->model, sizeof m->model, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, key, sizeof key - 1) == 0 && colon) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(m->model, sizeof m->model, "%.90s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

enum cf_status cf_machine_open(struct cf_machine *m, size_t last, struct cf_error *err)
{
    *m = (struct cf_machine){0};
    find_model(m);
    find_caches(m);
    if (last)
        m->last = last;
    m->floats = (m->last + m->last / 2 + ROOM) / sizeof(float);
    m->block = cf_alloc(m->floats, sizeof *m->block, err);
    if (!m->block)
        return CF_ENOMEM;
    for (size_t i = 0; i < m->floats; i++)
        m->block[i] = 1.0f;
    return CF_OK;
}

void cf_machine_close(struct cf_machine *m)
{
    cf_free(m->block);
    *m = (struct cf_machine){0};
}

int cf_machine_copies(const struct cf_machine *m, size_t bytes)
{
    return 2 + (int)((m->last + m->last / 4) / (bytes ? bytes : 1));
}

/* A line "key: number kB" of our own status. */
static double status_bytes(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtod(line + strlen(key) + 1, NULL);
    if (f)
        fclose(f);
    return kib * 1024;
}

double cf_machine_resident(void)
{
    return status_bytes("VmRSS");
}

double cf_machine_resident_peak(void)
{
    return status_bytes("VmHWM");
}

bool cf_machine_resident_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    bool ok = f && fputs("5", f) >= 0;

    return f && fclose(f) == 0 && ok;
}
