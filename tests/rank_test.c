/* Which shard a launcher's variables mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/shard.h"

static const struct {
    const char *env[4]; /* NAME, value, NAME, value; see `third` */
    const char *third[2];
    int index; /* -1: refused */
    const char *from;
} row[] = {
    {{"SLURM_ARRAY_TASK_ID", "7"}, {0}, 7, "SLURM_ARRAY_TASK_ID"},
    /* a partial resubmission does not move the shards */
    {{"SLURM_ARRAY_TASK_ID", "7", "SLURM_ARRAY_TASK_MIN", "3"}, {0}, 7, NULL},
    {{"SLURM_ARRAY_TASK_ID", "7", "SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, 7, NULL},
    {{"SLURM_ARRAY_TASK_ID", "7", "PMI_RANK", "0"}, {"PMI_SIZE", "1"}, 7, NULL},
    {{"SLURM_ARRAY_TASK_ID", "7", "PMI_RANK", "1"}, {"PMI_SIZE", "2"}, -1, NULL},
    {{"SLURM_ARRAY_TASK_ID", "7", "SLURM_PROCID", "1"},
     {"SLURM_STEP_NUM_TASKS", "2"},
     -1,
     NULL},
    {{"SLURM_PROCID", "3", "SLURM_NTASKS", "4"}, {0}, 3, "SLURM_PROCID"},
    {{"SLURM_PROCID", "0", "SLURM_NTASKS", "1"}, {0}, -1, NULL},
    {{"SLURM_PROCID", "0", "SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "1"}, -1, NULL},
    /* mpirun inside a job of Slurm: the inner launcher counts */
    {{"SLURM_PROCID", "0", "SLURM_NTASKS", "4"},
     {"OMPI_COMM_WORLD_RANK", "2"},
     2,
     "OMPI_COMM_WORLD_RANK"},
    {{"PMIX_RANK", "5"}, {0}, 5, "PMIX_RANK"},
    {{"PMI_RANK", "5", "PMIX_RANK", "5"}, {0}, 5, NULL},
    {{"PMI_RANK", "5", "PMIX_RANK", "4"}, {0}, -1, NULL},
    {{"PBS_ARRAY_INDEX", "0"}, {0}, 0, "PBS_ARRAY_INDEX"},
    {{"PBS_ARRAYID", "9"}, {0}, 9, "PBS_ARRAYID"},
    {{"LSB_JOBINDEX", "1"}, {0}, 0, "LSB_JOBINDEX"},
    {{"LSB_JOBINDEX", "0"}, {0}, -1, NULL},
    {{"SGE_TASK_ID", "64", "SGE_TASK_FIRST", "64"}, {0}, 63, "SGE_TASK_ID"},
    {{"SGE_TASK_ID", "undefined"}, {0}, -1, NULL},
    {{"HQ_TASK_ID", "12"}, {0}, 12, "HQ_TASK_ID"},
    {{"HQ_TASK_ID", "12", "SLURM_ARRAY_TASK_ID", "3"}, {0}, -1, NULL},
    {{"SLURM_ARRAY_TASK_ID", "seven"}, {0}, -1, NULL},
    {{"SLURM_ARRAY_TASK_ID", "-1"}, {0}, -1, NULL},
    {{"SLURM_ARRAY_TASK_ID", ""}, {0}, -1, NULL},
    {{0}, {0}, -1, NULL},
};

/* Not clearenv: the test harness has variables too. */
static void no_launcher(void)
{
    static const char *const name[] = {
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_MIN",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_STEP_NUM_TASKS",
        "PBS_ARRAY_INDEX",
        "PBS_ARRAYID",
        "LSB_JOBINDEX",
        "SGE_TASK_ID",
        "SGE_TASK_FIRST",
        "HQ_TASK_ID",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "PMIX_RANK",
        "PMI_RANK",
        "PMI_SIZE",
    };

    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        unsetenv(name[i]);
}

static void an_index_is_told_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct cf_error err = {0};
        const char *from = NULL;
        int index = -1;

        no_launcher();
        for (int k = 0; k < 4 && row[i].env[k]; k += 2)
            setenv(row[i].env[k], row[i].env[k + 1], 1);
        if (row[i].third[0])
            setenv(row[i].third[0], row[i].third[1], 1);
        cf_shard_rank(&index, &from, &err);
        if (index != row[i].index)
            print_error("row %d: %d, %s\n", (int)i, index, err.msg);
        assert_int_equal(index, row[i].index);
        assert_int_equal(err.status, index < 0 ? CF_ECONFIG : CF_OK);
        if (row[i].from)
            assert_string_equal(from, row[i].from);
    }
}

static void an_ambiguity_is_named_with_its_values(void **state)
{
    struct cf_error err = {0};
    const char *from;
    int index;

    (void)state;
    no_launcher();
    setenv("HQ_TASK_ID", "12", 1);
    setenv("SLURM_ARRAY_TASK_ID", "3", 1);
    assert_int_equal(cf_shard_rank(&index, &from, &err), CF_ECONFIG);
    assert_non_null(strstr(err.msg, "HQ_TASK_ID=12"));
    assert_non_null(strstr(err.msg, "SLURM_ARRAY_TASK_ID=3"));
}

static void a_shard_is_parsed_against_the_plan(void **state)
{
    static const struct {
        const char *text;
        int shard;
        enum cf_status st;
    } t[] = {
        {"0", 0, CF_OK},
        {"63", 63, CF_OK},
        {"5/64", 5, CF_OK},
        {"auto", 9, CF_OK},
        {"5/65", 0, CF_ECONFIG},
        {"64", 0, CF_ERANGE},
        {"", 0, CF_EUSAGE},
        {"-1", 0, CF_EUSAGE},
        {"1/", 0, CF_EUSAGE},
        {"1/64x", 0, CF_EUSAGE},
        {" 1", 0, CF_EUSAGE},
        {"/64", 0, CF_EUSAGE},
        {"99999999999", 0, CF_EUSAGE},
    };
    const struct cf_plan_info plan = {.shards = 64};

    (void)state;
    no_launcher();
    setenv("PBS_ARRAY_INDEX", "9", 1);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        int shard = -1;

        assert_int_equal(cf_shard_parse(t[i].text, &plan, &shard, NULL), t[i].st);
        if (t[i].st == CF_OK)
            assert_int_equal(shard, t[i].shard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_is_told_or_refused),
        cmocka_unit_test(an_ambiguity_is_named_with_its_values),
        cmocka_unit_test(a_shard_is_parsed_against_the_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
