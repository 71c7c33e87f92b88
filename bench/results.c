/* results.c - result files of a plan as if every shard had been worked through.
 *
 *     results PLAN
 *
 * Each shard's file is made by the library and then filled by SQL: of fifty jobs one
 * failed, the others are done and lie in tars of 10,000, which are not made. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cli.h"
#include "jobs/db.h"
#include "jobs/shard.h"

/* Counters are set once in the end: the triggers that keep them are off. */
static const char fill[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
    "BEGIN EXCLUSIVE;"
    "INSERT INTO model(id, kind, sha256) VALUES(1000, 'model', 'bench');"
    "INSERT INTO worker(id, host, boot_id, pid, started, ended, build, cpu)"
    "  SELECT 1, 'node' || value, 'b', 100, 1000, 2000, '', '' FROM meta"
    "  WHERE key = 'plan_shard';"
    "CREATE TEMP TABLE place AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM"
    "  job WHERE id % 50;"
    "CREATE TEMP TABLE base AS SELECT CAST(value AS INTEGER) AS first FROM meta"
    "  WHERE key = 'tar_first';"
    "INSERT INTO output(job_id, path, offset, bytes, file_sha256, pixel_sha256, width,"
    "    height, ended, build, isa, threads, model_id, stage_ms)"
    "  SELECT id, printf('%05d.tar', first + n / 10000), n % 10000 * 43520 + 2560, 40000,"
    "    printf('%064x', id), printf('%064x', -id), 256, 256, 1700000000000 + n * 280, "
    "'',"
    "    'avx512', 2, 1000, printf('{\"encode\":%d,\"generate\":%d,\"decode\":%d,"
    "\"webp\":%d}', id % 9, 60 + id % 7, 20 + id % 5, 3) FROM temp.place, temp.base;"
    "INSERT INTO attempt(job_id, n, worker_id, started, ended, outcome, code, message)"
    "  SELECT id, 1, 1, 1000, 1000 + id, iif(id % 50, 'done', 'failed'),"
    "    iif(id % 50, NULL, 'EFORMAT'), iif(id % 50, NULL, 'as told') FROM job;"
    "INSERT INTO failure(job_id, code, message)"
    "  SELECT id, 'EFORMAT', 'as told' FROM job WHERE id % 50 = 0;"
    "UPDATE job SET state = iif(id % 50, 2, 3);"
    "UPDATE stat SET n = (SELECT count(*) FROM job WHERE state = stat.state);"
    "INSERT INTO cause(code, n) SELECT code, count(*) FROM failure GROUP BY 1;"
    "INSERT INTO tar(number, members, bytes, manifest_bytes, closed)"
    "  SELECT first + n / 10000, count(*), count(*) * 43520 + 1024, count(*) * 300, 1"
    "  FROM temp.place, temp.base GROUP BY 1;"
    "COMMIT;";

static enum cf_status make(const char *plan, int i, struct cf_error *err)
{
    struct cf_shard shard;
    sqlite3 *db = NULL;
    enum cf_status st;

    CF_TRY(cf_shard_open(&shard, plan, i, NULL, err));
    st = cf_db_look(&db, shard.results, "mode=rw", SQLITE_OPEN_READWRITE, err);
    if (st == CF_OK) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
        st = cf_sql_exec(db, fill, err);
    }
    sqlite3_close(db);
    cf_shard_close(&shard);
    return st;
}

int main(int argc, char **argv)
{
    struct cf_error err = {0};
    struct cf_plan_info info;

    if (argc != 2)
        cf_fail(&err, CF_EUSAGE, "usage: results PLAN");
    else if (cf_plan_read(argv[1], &info, &err) == CF_OK)
        for (int i = 0; i < info.shards && err.status == CF_OK; i++)
            make(argv[1], i, &err);
    return err.status == CF_OK ? 0 : cf_cli_complain("results", &err);
}
