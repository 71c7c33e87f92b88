/* cpu.c - levels of instructions: what exists, what it is called, what is missing.
 *
 * A feature counts only when the operating system saves its registers too:
 * __builtin_cpu_supports asks XGETBV for that before it reports AVX or AVX-512. */
#include "dnn/cpu.h"

#include <string.h>

#include "config.h"

static const char *const names[] = {
    [CF_CPU_AUTO] = "auto",
    [CF_CPU_C] = "c",
    [CF_CPU_AVX2] = "avx2",
    [CF_CPU_AVX512] = "avx512",
};

/* The first feature that level needs and this machine lacks; NULL if it has them all. */
static const char *lacks(enum cf_cpu level)
{
#ifdef CF_HAVE_X86
    __builtin_cpu_init();
    if (level >= CF_CPU_AVX2) {
        if (!__builtin_cpu_supports("avx2"))
            return "AVX2";
        if (!__builtin_cpu_supports("fma"))
            return "FMA";
        if (!__builtin_cpu_supports("f16c"))
            return "F16C";
    }
    if (level >= CF_CPU_AVX512) {
        if (!__builtin_cpu_supports("avx512f"))
            return "AVX512F";
        if (!__builtin_cpu_supports("avx512bw"))
            return "AVX512BW";
        if (!__builtin_cpu_supports("avx512dq"))
            return "AVX512DQ";
        if (!__builtin_cpu_supports("avx512vl"))
            return "AVX512VL";
    }
    return NULL;
#else
    return level > CF_CPU_C ? "x86-64" : NULL;
#endif
}

enum cf_cpu cf_cpu_best(void)
{
    enum cf_cpu level = CF_CPU_AVX512;

    while (level > CF_CPU_C && lacks(level))
        level--;
    return level;
}

const char *cf_cpu_name(enum cf_cpu level)
{
    return names[level];
}

enum cf_status cf_cpu_parse(enum cf_cpu *level, const char *word, struct cf_error *err)
{
    *level = CF_CPU_AUTO;
    if (!word || !*word)
        return CF_OK;
    for (enum cf_cpu i = CF_CPU_C; i <= CF_CPU_AVX512; i++) {
        if (strcmp(word, names[i]) == 0) {
            *level = i;
            return CF_OK;
        }
    }
    return cf_fail(err, CF_EUSAGE,
                   "processor level: \"%.40s\", expected c, avx2 or avx512", word);
}

enum cf_status cf_cpu_resolve(enum cf_cpu *level, struct cf_error *err)
{
    const char *missing;

    if (*level == CF_CPU_AUTO)
        *level = cf_cpu_best();
    if (*level < CF_CPU_C || *level > CF_CPU_AVX512)
        return cf_fail(err, CF_EUSAGE, "processor level: number %d is none", (int)*level);
    missing = lacks(*level);
    if (missing)
        return cf_fail(err, CF_ECPU, "processor level %s: this machine lacks %s",
                       names[*level], missing);
    return CF_OK;
}
