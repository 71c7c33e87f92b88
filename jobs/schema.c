/* The tables, and why they are so.
 *
 *   prompt   each distinct text once, also negatives; wide rows away from the hot ones.
 *            Row 0 is the empty text and stands for "no negative": NULLs would not
 * collide in the UNIQUE of job, and with it a foreign key holds. recipe   what changes
 * pixels and is no column of job, as canonical JSON; never updated. model    files that
 * made outputs, by hash. batch    where jobs came from: one row per import that added
 * something. job      UNIQUE over what identifies it makes import idempotent. Three
 * counters: attempts are charged to the job, crashes (a worker died over it) go against a
 *            limit of their own, releases (signals, full disk) are never charged.
 *            seed holds the bits of an unsigned 64-bit number.
 *   lease    one row per running job and no others, so it stays tiny. The token is
 * random: whoever finishes a job must show it. worker   liveness: lock_path is a file
 * that the worker keeps locked, beat a counter that moves. ended is NULL for as long as
 * nobody saw it end. attempt  history; may be pruned. ended is NULL for the attempt that
 * runs. output   one row per done job and no others. delay    jobs in state 4. seconds is
 * the backoff that was asked for: until never lies further ahead than that, so a clock
 * that was set back costs one backoff. stat     number of jobs per state, kept by
 * trigger: counting ten million rows takes seconds, reading seven takes none.
 *
 * States: 0 ready, 1 running, 2 done, 3 failed, 4 delayed, 5 cancelled, 6 held.
 * Facts that hold after every transaction (cf_queue_check proves them):
 *   a running job has a lease; a leased job is running;
 *   a done job has an output; a job with an output is done;
 *   a failed job has a failure, which says why; a job with a failure is failed.
 * Times are Unix milliseconds by the wall clock, for people and for backoff; no decision
 * about who lives is taken from them.
 *
 * job_ready is partial: finished jobs leave it, so the price of a claim does not grow
 * with what was done before. */
#include "jobs/schema.h"

#include <stdio.h>

#include "jobs/sql.h"

static const char version_1000[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"

    "CREATE TABLE prompt("
    "  id INTEGER PRIMARY KEY,"
    "  sha256 BLOB NOT NULL UNIQUE CHECK(length(sha256) = 32),"
    "  text TEXT NOT NULL) STRICT;"
    "INSERT INTO prompt(id, sha256, text) VALUES(0,"
    "  x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', '');"

    "CREATE TABLE model("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL,"
    "  name TEXT NOT NULL DEFAULT '',"
    "  sha256 TEXT NOT NULL UNIQUE,"
    "  bytes INTEGER,"
    "  manifest TEXT) STRICT;"

    "CREATE TABLE recipe("
    "  id INTEGER PRIMARY KEY,"
    "  sha256 TEXT NOT NULL UNIQUE,"
    "  json TEXT NOT NULL,"
    "  model_id INTEGER REFERENCES model,"
    "  encoder_id INTEGER REFERENCES model,"
    "  vae_id INTEGER REFERENCES model) STRICT;"

    "CREATE TABLE batch("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL,"
    "  source TEXT NOT NULL,"
    "  source_sha256 TEXT,"
    "  added_at INTEGER NOT NULL,"
    "  extra TEXT) STRICT;"

    "CREATE TABLE job("
    "  id INTEGER PRIMARY KEY,"
    "  prompt_id INTEGER NOT NULL REFERENCES prompt,"
    "  negative_id INTEGER NOT NULL DEFAULT 0 REFERENCES prompt,"
    "  recipe_id INTEGER NOT NULL REFERENCES recipe,"
    "  seed INTEGER NOT NULL,"
    "  width INTEGER NOT NULL DEFAULT 0 CHECK(width BETWEEN 0 AND 16383),"
    "  height INTEGER NOT NULL DEFAULT 0 CHECK(height BETWEEN 0 AND 16383),"
    "  priority INTEGER NOT NULL DEFAULT 0,"
    "  state INTEGER NOT NULL DEFAULT 0 CHECK(state BETWEEN 0 AND 6),"
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  crashes INTEGER NOT NULL DEFAULT 0,"
    "  releases INTEGER NOT NULL DEFAULT 0,"
    "  max_attempts INTEGER," /* NULL: what the worker says */
    "  batch_id INTEGER REFERENCES batch,"
    "  user_key TEXT,"
    "  extra TEXT,"
    "  UNIQUE(prompt_id, negative_id, recipe_id, seed, width, height)) STRICT;"
    "CREATE INDEX job_ready ON job(priority DESC, id) WHERE state = 0;"
    "CREATE INDEX job_failed ON job(id) WHERE state = 3;"
    "CREATE INDEX job_batch ON job(batch_id);"

    "CREATE TABLE worker("
    "  id INTEGER PRIMARY KEY,"
    "  host TEXT NOT NULL,"
    "  boot_id TEXT NOT NULL,"
    "  pid INTEGER NOT NULL,"
    "  started INTEGER NOT NULL,"
    "  ended INTEGER,"
    "  lock_path TEXT,"
    "  slurm_job TEXT,"
    "  slurm_task TEXT,"
    "  restart INTEGER NOT NULL DEFAULT 0,"
    "  beat INTEGER NOT NULL DEFAULT 0,"
    "  build TEXT NOT NULL,"
    "  cpu TEXT NOT NULL) STRICT;"
    "CREATE INDEX worker_alive ON worker(id) WHERE ended IS NULL;"

    "CREATE TABLE lease("
    "  job_id INTEGER PRIMARY KEY REFERENCES job,"
    "  worker_id INTEGER NOT NULL REFERENCES worker,"
    "  token TEXT NOT NULL UNIQUE CHECK(length(token) = 32)) STRICT;"

    "CREATE TABLE attempt("
    "  job_id INTEGER NOT NULL REFERENCES job,"
    "  n INTEGER NOT NULL,"
    "  worker_id INTEGER NOT NULL REFERENCES worker,"
    "  started INTEGER NOT NULL,"
    "  ended INTEGER,"
    "  outcome TEXT CHECK(outcome IN ('done', 'failed', 'released', 'crashed')),"
    "  code TEXT,"
    "  message TEXT,"
    "  stage_ms TEXT,"
    "  PRIMARY KEY(job_id, n)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE output("
    "  job_id INTEGER PRIMARY KEY REFERENCES job,"
    "  path TEXT NOT NULL,"
    "  offset INTEGER NOT NULL DEFAULT 0," /* in a tar shard */
    "  bytes INTEGER NOT NULL,"
    "  file_sha256 TEXT NOT NULL,"
    "  pixel_sha256 TEXT NOT NULL,"
    "  width INTEGER NOT NULL,"
    "  height INTEGER NOT NULL,"
    "  ended INTEGER NOT NULL,"
    "  build TEXT NOT NULL,"
    "  isa TEXT NOT NULL,"
    "  threads INTEGER NOT NULL,"
    "  model_id INTEGER REFERENCES model,"
    "  stage_ms TEXT,"
    "  note TEXT) STRICT;"
    "CREATE INDEX output_ended ON output(ended);" /* the rate of the last minutes */

    "CREATE TABLE delay("
    "  job_id INTEGER PRIMARY KEY REFERENCES job,"
    "  until INTEGER NOT NULL,"
    "  seconds INTEGER NOT NULL) STRICT;"
    "CREATE INDEX delay_until ON delay(until);"

    "CREATE TABLE stat(state INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;"
    "INSERT INTO stat(state, n) VALUES(0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0);"
    "CREATE TRIGGER job_insert AFTER INSERT ON job BEGIN"
    "  UPDATE stat SET n = n + 1 WHERE state = new.state;"
    "END;"
    "CREATE TRIGGER job_update AFTER UPDATE OF state ON job WHEN old.state <> new.state "
    "BEGIN"
    "  UPDATE stat SET n = n - 1 WHERE state = old.state;"
    "  UPDATE stat SET n = n + 1 WHERE state = new.state;"
    "END;"
    "CREATE TRIGGER job_delete AFTER DELETE ON job BEGIN"
    "  UPDATE stat SET n = n - 1 WHERE state = old.state;"
    "END;";

/* failure  one row per failed job and no others: why, without a look at the history.
 * cause    number of failed jobs per code, kept by trigger as stat is.
 * tar      tar shards (jobs/tars.h). worker_id is who appends to it; a worker that ended
 *          appends to nothing, whatever the row says. */
static const char version_1001[] =
    "CREATE TABLE failure("
    "  job_id INTEGER PRIMARY KEY REFERENCES job,"
    "  code TEXT NOT NULL,"
    "  message TEXT) STRICT;"
    "CREATE INDEX failure_code ON failure(code);"
    "CREATE TABLE cause(code TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER failure_insert AFTER INSERT ON failure BEGIN"
    "  INSERT INTO cause(code, n) VALUES(new.code, 1)"
    "    ON CONFLICT(code) DO UPDATE SET n = n + 1;"
    "END;"
    "CREATE TRIGGER failure_delete AFTER DELETE ON failure BEGIN"
    "  UPDATE cause SET n = n - 1 WHERE code = old.code;"
    "  DELETE FROM cause WHERE code = old.code AND n = 0;"
    "END;"
    "CREATE TRIGGER job_recovers AFTER UPDATE OF state ON job"
    "  WHEN old.state = 3 AND new.state <> 3 BEGIN"
    "  DELETE FROM failure WHERE job_id = new.id;"
    "END;"
    "INSERT INTO failure(job_id, code, message)"
    "  SELECT j.id, coalesce(a.code, 'UNKNOWN'), a.message FROM job j LEFT JOIN attempt a"
    "  ON a.job_id = j.id AND a.n = (SELECT max(b.n) FROM attempt b WHERE b.job_id = "
    "j.id)"
    "  WHERE j.state = 3;"

    "CREATE TABLE tar("
    "  id INTEGER PRIMARY KEY,"
    "  number INTEGER NOT NULL UNIQUE CHECK(number BETWEEN 0 AND 99999),"
    "  worker_id INTEGER REFERENCES worker,"
    "  members INTEGER NOT NULL DEFAULT 0,"
    "  bytes INTEGER NOT NULL DEFAULT 0,"
    "  manifest_bytes INTEGER NOT NULL DEFAULT 0,"
    "  closed INTEGER NOT NULL DEFAULT 0,"
    "  origin TEXT) STRICT;" /* PLAN_ID/SHARD it was merged from; NULL: made here */
    "CREATE INDEX tar_open ON tar(number) WHERE closed = 0;"

    /* Claims and lists of one batch among many. */
    "DROP INDEX job_batch;"
    "CREATE INDEX job_batch ON job(batch_id, state, priority DESC, id);";

/* Each step brings the tables from the version before it. */
static const struct {
    int version;
    const char *text;
} step[] = {
    {1000, version_1000},
    {1001, version_1001},
};

enum cf_status cf_schema_usable(int version, bool write, struct cf_error *err)
{
    if (version <= 0)
        return cf_fail(err, CF_EFORMAT, "schema version %d, expected 1..%d", version,
                       CF_SCHEMA_VERSION);
    if (version / 1000 > CF_SCHEMA_VERSION / 1000 ||
        (write && version > CF_SCHEMA_VERSION))
        return cf_fail(
            err, CF_ECONFIG,
            "schema version %d.%d, this program knows %d.%d: use a newer cfgen",
            version / 1000, version % 1000, CF_SCHEMA_VERSION / 1000,
            CF_SCHEMA_VERSION % 1000);
    return CF_OK;
}

enum cf_status cf_schema_migrate(sqlite3 *db, int version, struct cf_error *err)
{
    char text[160];

    if (version == CF_SCHEMA_VERSION)
        return CF_OK;
    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++)
        if (step[i].version > version)
            CF_TRY(cf_sql_exec(db, step[i].text, err));
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             CF_SCHEMA_ID, CF_SCHEMA_VERSION);
    return cf_sql_exec(db, text, err);
}
