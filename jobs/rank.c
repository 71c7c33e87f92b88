/* Which shard a launcher means, from the variables it sets. */
#include "jobs/shard.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

/* first: the lowest index that the launcher's arrays can have at all. none: what the
 * variable says outside an array. */
struct array {
    const char *name;
    int first;
    const char *none;
};
static const struct array array[] = {
    {"SLURM_ARRAY_TASK_ID", 0, NULL}, {"PBS_ARRAY_INDEX", 0, NULL},
    {"PBS_ARRAYID", 0, NULL},         {"LSB_JOBINDEX", 1, "0"},
    {"SGE_TASK_ID", 1, "undefined"},  {"HQ_TASK_ID", 0, NULL},
};

/* size: the variable that tells the number of tasks, or NULL for that of Slurm. */
struct rank {
    const char *name, *size;
};
static const struct rank rank[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMIX_RANK", NULL},
    {"PMI_RANK", "PMI_SIZE"},
};

struct found {
    const char *name, *text;
    int index;
};

static const char *set(const char *name)
{
    const char *text = getenv(name);

    return text && *text ? text : NULL;
}

/* Two of a kind may both be there when they agree. */
static enum cf_status note(struct found *f, const char *name, const char *text, int first,
                           struct cf_error *err)
{
    struct cf_error local = {0};
    int v;

    if (cf_parse_int(text, first, INT_MAX, &v, name, &local) != CF_OK)
        return cf_fail(err, CF_ECONFIG,
                       "%s is '%.40s', expected a number from %d on: give --shard=I",
                       name, text, first);
    if (f->name && f->index != v - first)
        return cf_fail(err, CF_ECONFIG,
                       "%s=%.40s and %s=%.40s mean different shards: give --shard=I",
                       f->name, f->text, name, text);
    if (!f->name)
        *f = (struct found){name, text, v - first};
    return CF_OK;
}

static enum cf_status find_array(struct found *f, struct cf_error *err)
{
    for (size_t i = 0; i < sizeof array / sizeof array[0]; i++) {
        const char *text = set(array[i].name);

        if (text && !(array[i].none && strcmp(text, array[i].none) == 0))
            CF_TRY(note(f, array[i].name, text, array[i].first, err));
    }
    return CF_OK;
}

/* A lone task has rank 0 whatever its place in an array is. */
static bool lone(const char *size)
{
    return size && strcmp(size, "1") == 0;
}

static enum cf_status find_rank(struct found *f, struct cf_error *err)
{
    const char *step = set("SLURM_STEP_NUM_TASKS");

    for (size_t i = 0; i < sizeof rank / sizeof rank[0]; i++) {
        const char *text = set(rank[i].name);

        if (text && !lone(rank[i].size ? set(rank[i].size) : step))
            CF_TRY(note(f, rank[i].name, text, 0, err));
    }
    return CF_OK;
}

/* Inside a batch script SLURM_PROCID is 0 and no step is: there it counts for a job of
 * several tasks, but does not stand against the index of an array. */
static enum cf_status find_procid(struct found *f, bool in_array, struct cf_error *err)
{
    const char *procid = set("SLURM_PROCID"), *step = set("SLURM_STEP_NUM_TASKS"),
               *size = step ? step : set("SLURM_NTASKS");

    if (!procid || !size || lone(size) || (in_array && !step))
        return CF_OK;
    return note(f, "SLURM_PROCID", procid, 0, err);
}

enum cf_status cf_shard_rank(int *index, const char **from, struct cf_error *err)
{
    struct found outer = {0}, inner = {0};

    CF_TRY(find_array(&outer, err));
    CF_TRY(find_rank(&inner, err));
    if (!inner.name)
        CF_TRY(find_procid(&inner, outer.name != NULL, err));
    if (outer.name && inner.name)
        return cf_fail(
            err, CF_ECONFIG,
            "%s=%.40s and %s=%.40s are both set: run one task per index of the "
            "array, or give --shard=I",
            outer.name, outer.text, inner.name, inner.text);
    if (!outer.name && !inner.name)
        return cf_fail(err, CF_ECONFIG,
                       "no launcher told an index (SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX, "
                       "LSB_JOBINDEX, SGE_TASK_ID, HQ_TASK_ID, OMPI_COMM_WORLD_RANK, "
                       "PMI_RANK, SLURM_PROCID of several tasks): give --shard=I");
    if (!outer.name)
        outer = inner;
    *index = outer.index;
    *from = outer.name;
    return CF_OK;
}
