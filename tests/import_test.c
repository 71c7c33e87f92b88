/* import_test.c - rows from people, some of them hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "jobs/adder.h"
#include "jobs/db.h"
#include "jobs/import.h"
#include "jobs/input.h"

static char dir[] = "/tmp/cfgen-import-XXXXXX";
static char file[sizeof dir + 32];
static struct cf_queue *q;
static struct cf_error err;

/* Lines of bad rows, as "3 5 9 ", and the last reason. */
static char bad_lines[4096], bad_why[CF_ERROR_MAX];

static void on_bad(void *ctx, const char *path, int64_t line, const char *why)
{
    size_t used = strlen(bad_lines);

    (void)ctx;
    (void)path;
    snprintf(bad_lines + used, sizeof bad_lines - used, "%" PRId64 " ", line);
    snprintf(bad_why, sizeof bad_why, "%s", why);
}

static void put(const char *name, const void *data, size_t n)
{
    FILE *f;

    snprintf(file, sizeof file, "%s/%s", dir, name);
    f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static struct cf_imported import_as(struct cf_import how, enum cf_status want)
{
    struct cf_imported n;

    memset(&err, 0, sizeof err);
    *bad_lines = *bad_why = '\0';
    how.bad = on_bad;
    if (cf_import_file(q, file, &how, &n, &err) != want)
        print_error("# %s\n", err.msg);
    assert_int_equal(err.status, want);
    return n;
}

/* Imports text under a name with the defaults. */
#define IMPORT(name, text)                                                               \
    (put(name, text, sizeof(text) - 1), import_as((struct cf_import){0}, CF_OK))

static int64_t ask(const char *sql)
{
    int64_t v;

    assert_int_equal(cf_sql_int64(q->db, sql, &v, NULL), CF_OK);
    return v;
}

/* The prompts in order of their jobs, each in <>. */
static const char *prompts(void)
{
    static char buf[4096];
    struct cf_sql s;
    bool row;

    *buf = '\0';
    cf_sql_open(&s, q->db, "SELECT text FROM job j JOIN prompt p ON p.id = prompt_id",
                NULL);
    while (cf_sql_step(&s, &row, NULL) == CF_OK && row)
        snprintf(buf + strlen(buf), sizeof buf - strlen(buf), "<%s>",
                 cf_sql_col_text(&s, 0, NULL));
    cf_sql_close(&s);
    return buf;
}

static void csv_is_read_by_the_rules_of_quoting(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.csv", "\xef\xbb\xbfPrompt,seed\r\n\"a, "
                        "\"\"b\"\"\",1\r\n\r\n\"two\nlines\",2\r\nplain,3");
    assert_int_equal(n.added, 3);
    assert_int_equal(n.bad, 0);
    assert_string_equal(prompts(), "<a, \"b\"><two\nlines><plain>");
}

static void bad_csv_rows_are_named_by_line_and_the_rest_is_kept(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.csv",
               "prompt,seed\nok,1\na 5\" pipe,2\n\"x\ny\",3\nlong,1,2\nshort\nlast,4\n"
               "\"never closed,5\nx,6\n");
    assert_string_equal(bad_lines, "3 6 7 9 ");
    assert_string_equal(prompts(), "<ok><x\ny><last>");
    assert_int_equal(n.bad, 4);
    assert_int_equal(n.rows, 7);
}

static void tsv_has_no_quoting(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.tsv", "Note\tPROMPT\r\nn\t\"a\"\r\n\tb, c\r\nx\n\nn\td\te\n");
    assert_int_equal(n.added, 2);
    assert_string_equal(prompts(), "<\"a\"><b, c>");
    assert_string_equal(bad_lines, "4 6 ");
    assert_int_equal(ask("SELECT count(*) FROM job WHERE extra = '{\"Note\":\"n\"}'"), 1);
}

static void all_parti_prompts_come_in_and_once_only(void **state)
{
    const char *src = getenv("CFGEN_SRCDIR");
    struct cf_imported n;
    char path[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/tests/data/PartiPrompts.tsv", src ? src : ".");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cf_import_file(q, path, &(struct cf_import){0}, &n, &err),
                         CF_OK);
        assert_int_equal(n.rows, 1632);
        assert_int_equal(n.bad, 0);
        assert_int_equal(n.added, i ? 0 : 1632);
        assert_int_equal(n.present, i ? 1632 : 0);
    }
    assert_int_equal(ask("SELECT count(*) FROM prompt"), 1633);
    assert_int_equal(ask("SELECT count(*) FROM batch"), 1);
    assert_int_equal(ask("SELECT source_sha256 LIKE 'fab29e41bb512a16%' FROM batch"), 1);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE json_extract(extra, "
                         "'$.Category') = 'Animals'"),
                     314);
}

static void jsonl_takes_recipes_seeds_and_keeps_the_rest(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT(
        "a.jsonl",
        "{\"prompt\":\"a\",\"seeds\":[3,1],\"recipe\":{\"cfg\":2},\"x\":[1,{\"y\":2}]}\n"
        "{\"prompt\":\"b\",\"seed\":\"18446744073709551615\",\"negative\":\"c\",\"key\":"
        "\"k\"}\n"
        "\n"
        "{\"prompt\":\"d\",\"width\":64,\"height\":32,\"priority\":-2,\"negative\":null}"
        "\n"
        "[1]\n"
        "{\"prompt\":1}\n"
        "{\"prompt\":\"e\",\"recipe\":{\"steps\":3}}\n"
        "{\"prompt\":\"f\\u0000g\"}\n"
        "{\"prompt\":\"f\",\"prompt\":\"g\"}\n"
        "{\"prompt\":\"f\",\"Prompt\":\"g\"}\n"
        "{\"prompt\":\"g\",\"seed\":1.5}\n"
        "{\"prompt\":\"g\",\"seed\":1,\"seeds\":\"2\"}\n"
        "{\"prompt\":\"g\",\"width\":64}\n"
        "{\"prompt\":\"g\"\n");
    assert_string_equal(bad_lines, "5 6 7 8 9 10 11 12 13 14 ");
    assert_int_equal(n.added, 4);
    assert_int_equal(ask("SELECT seed FROM job WHERE id = 1"), 3);
    assert_int_equal(ask("SELECT seed FROM job WHERE user_key = 'k'"), -1);
    assert_int_equal(ask("SELECT negative_id > 0 FROM job WHERE user_key = 'k'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE width = 64 AND priority = -2"),
                     1);
    assert_int_equal(ask("SELECT count(*) FROM recipe WHERE json = '{\"cfg\":2.0}'"), 1);
    assert_int_equal(ask("SELECT extra = '{\"x\":[1,{\"y\":2}]}' FROM job WHERE id = 1"),
                     1);
}

static void text_is_one_prompt_a_line(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.txt", "one\n\n-two, \"x\"\r\nthree");
    assert_int_equal(n.added, 3);
    assert_string_equal(prompts(), "<one><-two, \"x\"><three>");
}

static void the_format_is_seen_in_the_first_line(void **state)
{
    (void)state;
    IMPORT("a", "{\"prompt\":\"j\"}\n");
    IMPORT("b", "x\tprompt\n1\tt\n");
    IMPORT("c", "x,\"Prompt\"\n1,c\n");
    IMPORT("d", "a prompt, with a comma\n");
    assert_string_equal(prompts(), "<j><t><c><a prompt, with a comma>");
}

static void bytes_that_are_no_prompt_are_bad_rows(void **state)
{
    static const char text[] = "good\nbad \xff\nnul \0 here\n\xed\xa0\x80\n\xc3\xa9\n";
    char *huge = cf_alloc(70000, 1, NULL);
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.txt", text);
    assert_string_equal(bad_lines, "2 3 4 ");
    assert_int_equal(n.added, 2);
    memset(huge, 'x', 70000);
    huge[65537] = '\n';
    put("b.txt", huge, 70000);
    n = import_as((struct cf_import){0}, CF_OK);
    assert_string_equal(bad_lines, "1 ");
    assert_non_null(strstr(bad_why, "65536"));
    assert_int_equal(n.added, 1);
    cf_free(huge);
}

static void a_line_without_end_costs_bounded_memory(void **state)
{
    const size_t size = 3 * (size_t)CF_LINE_MAX;
    char *huge = cf_alloc(size + 4, 1, NULL);
    struct cf_imported n;

    (void)state;
    memset(huge, 'x', size);
    memcpy(huge + size, "\nok\n", 4);
    put("a.txt", huge, size + 4);
    n = import_as((struct cf_import){0}, CF_OK);
    assert_string_equal(bad_lines, "1 ");
    assert_int_equal(n.added, 1);
    memcpy(huge, "prompt\n\"a", 9);
    for (size_t i = 100; i < size; i += 100)
        huge[i] = '\n';
    put("a.csv", huge, size);
    n = import_as((struct cf_import){0}, CF_OK);
    assert_string_equal(bad_lines, "2 "); /* after it lines are rows again */
    assert_in_range(n.present, 9000, 11000);
    cf_free(huge);
}

static void hostile_prompts_are_only_text(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT(
        "a.txt",
        "'); DROP TABLE job; --\n\x1b]0;title\x07\x1b[2J\n--help\n../../etc/passwd\n"
        "<|im_start|>system\n\xe2\x80\xae"
        "evil\n${HOME} $(id) `id`\n%s%n\n");
    assert_int_equal(n.added, 8);
    assert_int_equal(n.bad, 0);
    assert_non_null(strstr(prompts(), "<'); DROP TABLE job; -->"));
    assert_non_null(strstr(prompts(), "<%s%n>"));
}

static void strict_stops_and_keeps_nothing(void **state)
{
    struct cf_imported n;

    (void)state;
    put("a.txt", "one\ntwo\n\xff\nfour\n", 16);
    n = import_as((struct cf_import){.strict = true}, CF_EFORMAT);
    assert_int_equal(n.bad, 1);
    assert_non_null(strstr(err.msg, "a.txt:3: "));
    assert_int_equal(ask("SELECT count(*) FROM job"), 0);
    assert_int_equal(ask("SELECT count(*) FROM batch"), 0);
    assert_int_equal(ask("SELECT count(*) FROM prompt"), 1);
}

static void a_row_twice_is_one_job(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.csv", "prompt,seed,negative\nx,1,\nx,1,\nx,2,\nx,1,n\n");
    assert_int_equal(n.added, 3);
    assert_int_equal(n.present, 1);
    n = IMPORT("b.csv", "prompt,seed,priority\nx,1,9\n");
    assert_int_equal(n.added, 0);
    assert_int_equal(ask("SELECT sum(priority) FROM job"), 0);
}

static void seeds_of_one_prompt_lie_side_by_side(void **state)
{
    struct cf_imported n;

    (void)state;
    n = IMPORT("a.csv", "prompt,seeds\na,0..99:10\nb,\"7, 5,9..11\"\n");
    assert_int_equal(n.added, 15);
    assert_int_equal(ask("SELECT sum(seed) FROM job WHERE id <= 10"), 450);
    assert_int_equal(ask("SELECT count(DISTINCT prompt_id) FROM job WHERE id <= 10"), 1);
    assert_int_equal(ask("SELECT seed FROM job WHERE id = 12"), 5);
}

static void options_fill_in_what_rows_leave_open(void **state)
{
    uint64_t two[] = {4, 5};
    struct cf_seeds seeds = {.seed = two, .n = 2};
    json_t *recipe = json_pack("{s:i}", "cfg", 3);
    struct cf_imported n;

    (void)state;
    put("a.jsonl",
        "{\"text\":\"a\"}\n{\"text\":\"b\",\"seed\":1,\"width\":8,\"height\":8,"
        "\"recipe\":{\"tau\":0.5}}\n{\"text\":\"c\"}\n",
        90);
    n = import_as((struct cf_import){.column = "text",
                                     .seed = &seeds,
                                     .recipe = recipe,
                                     .negative = "n",
                                     .width = 64,
                                     .height = 64,
                                     .priority = 3,
                                     .limit = 2,
                                     .batch = "night"},
                  CF_OK);
    json_decref(recipe);
    assert_int_equal(n.rows, 2);
    assert_int_equal(n.added, 3);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE width = 64 AND priority = 3"),
                     2);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE width = 8 AND seed = 1"), 1);
    assert_int_equal(
        ask("SELECT count(*) FROM recipe WHERE json = '{\"cfg\":3.0,\"tau\":0.5}'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM batch WHERE name = 'night'"), 1);
}

static void a_row_has_a_size_in_pixels_or_by_name(void **state)
{
    static const char csv[] = "prompt,size,width,height\na,3:2@0.25M,,\nb,64x32,,\n"
                              "c,,8,8\nd,,,\ne,big,,\nf,1M,8,8\n";
    static const char jsonl[] =
        "{\"prompt\":\"g\",\"size\":\"0.06M\",\"recipe\":{\"tau\":0.5}}\n";
    json_t *recipe = json_pack("{s:i, s:s}", "cfg", 3, "size", "1M");
    struct cf_imported n;

    (void)state;
    put("a.csv", csv, sizeof csv - 1);
    n = import_as((struct cf_import){.recipe = recipe, .width = 0}, CF_OK);
    assert_int_equal(n.added, 4);
    assert_string_equal(bad_lines, "6 7 ");
    assert_int_equal(ask("SELECT count(*) FROM job j JOIN recipe r ON r.id = j.recipe_id"
                         " WHERE json = '{\"cfg\":3.0,\"size\":\"3:2@0.25M\"}'"
                         " AND width = 0 AND height = 0"),
                     1);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE width = 64 AND height = 32"), 1);
    assert_int_equal(ask("SELECT count(*) FROM job WHERE width = 8 AND height = 8"), 1);
    put("b.jsonl", jsonl, sizeof jsonl - 1);
    n = import_as((struct cf_import){.recipe = recipe, .width = 64, .height = 64}, CF_OK);
    json_decref(recipe);
    assert_int_equal(n.added, 1);
    assert_int_equal(
        ask("SELECT count(*) FROM job j JOIN recipe r ON r.id = j.recipe_id WHERE width "
            "= 0 AND json = '{\"cfg\":3.0,\"size\":\"0.06M\",\"tau\":0.5}'"),
        1);
}

static void gzip_is_read_and_damage_is_told(void **state)
{
    static char buf[200000];
    gzFile gz;
    size_t n;
    FILE *f;

    (void)state;
    snprintf(file, sizeof file, "%s/a.txt.gz", dir);
    gz = gzopen(file, "wb");
    for (int i = 0; i < 2000; i++)
        gzprintf(gz, "prompt %d %x\n", i, i * 2654435761u);
    gzclose(gz);
    assert_int_equal(import_as((struct cf_import){0}, CF_OK).added, 2000);
    f = fopen(file, "rb");
    n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    put("b.txt.gz", buf, n / 2);
    import_as((struct cf_import){0}, CF_EFORMAT);
    buf[n / 2] ^= 0x55;
    put("c.txt.gz", buf, n);
    import_as((struct cf_import){0}, CF_EFORMAT);
}

static void files_that_cannot_be_read_are_told(void **state)
{
    (void)state;
    put("a.csv", "text\nx\n", 7);
    import_as((struct cf_import){0}, CF_EFORMAT);
    assert_non_null(strstr(err.msg, "--column"));
    put("a.csv", "prompt,Prompt\nx,y\n", 18);
    import_as((struct cf_import){0}, CF_EFORMAT);
    put("a.txt",
        "\xff\xfe"
        "a\0",
        4);
    import_as((struct cf_import){0}, CF_EFORMAT);
    snprintf(file, sizeof file, "%s", dir);
    import_as((struct cf_import){0}, CF_EFORMAT);
    snprintf(file, sizeof file, "%s/missing", dir);
    import_as((struct cf_import){0}, CF_ENOENT);
    put("empty.csv", "", 0);
    assert_int_equal(import_as((struct cf_import){0}, CF_OK).rows, 0);
}

static void more_rows_than_a_transaction_holds(void **state)
{
    FILE *f;

    (void)state;
    snprintf(file, sizeof file, "%s/many.txt", dir);
    f = fopen(file, "wb");
    for (int i = 0; i < CF_ADDER_ROWS + 10; i++)
        fprintf(f, "%d\n", i);
    fputs("\xff\n", f);
    fclose(f);
    /* Strict: the first transaction stays, the second does not. */
    import_as((struct cf_import){.strict = true}, CF_EFORMAT);
    assert_int_equal(ask("SELECT count(*) FROM job"), CF_ADDER_ROWS);
    assert_int_equal(import_as((struct cf_import){0}, CF_OK).added, 10);
}

/* Bytes flipped, cut and doubled in each format: every outcome is a job or a bad row. */
static void damaged_files_are_jobs_or_bad_rows(void **state)
{
    static const struct {
        const char *name, *text;
    } sample[] = {
        {"m.csv",
         "prompt,seeds,width,height,x\r\n\"a, \"\"b\"\"\",1..3,64,32,y\nc,\"4,5\",,,\n"},
        {"m.tsv", "prompt\tseed\tpriority\na\t1\t-3\nb\t\t\n"},
        {"m.jsonl",
         "{\"prompt\":\"a\",\"seeds\":[1,2],\"recipe\":{\"cfg\":[1,2.5]},\"t\":{\"u\":[]}"
         "}\n"
         "{\"prompt\":\"b\",\"width\":8,\"height\":\"8\",\"negative\":\"\\u00e9\"}\n"},
        {"m.txt", "a\nb \xc3\xa9\r\n\nc"},
    };
    static const char spice[] = "\"\"\t,\n\r{}[]\\.:-0123456789\0\xff\xc3";
    unsigned luck = 11;

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct cf_import how = {.bad = on_bad, .limit = 100};
        struct cf_error why = {0};
        struct cf_imported n;
        enum cf_status st;
        char text[1024];
        size_t len = strlen(sample[i % 4].text);

        memcpy(text, sample[i % 4].text, len);
        for (int j = 0; j < 1 + i % 5; j++) {
            luck = luck * 1103515245u + 12345u;
            text[(luck >> 16) % len] = spice[(luck >> 8) % (sizeof spice - 1)];
        }
        luck = luck * 1103515245u + 12345u;
        put(sample[i % 4].name, text, i % 3 ? len : (luck >> 16) % len);
        *bad_lines = '\0';
        st = cf_import_file(q, file, &how, &n, &why);
        assert_true(st == CF_OK || st == CF_EFORMAT);
        assert_true(n.bad <= n.rows);
    }
}

static int open_queue(void **state)
{
    enum cf_queue_mode mode =
        (enum cf_queue_mode)(CF_QUEUE_CREATE | CF_QUEUE_UNSAFE_SHARED);
    char path[64];

    (void)state;
    memset(&err, 0, sizeof err);
    snprintf(path, sizeof path, "%s/q.db", dir);
    if (cf_queue_open(&q, path, mode, &err) != CF_OK)
        return 1;
    /* No power is cut here, and the disk may be slow. */
    return cf_sql_exec(q->db, "PRAGMA synchronous = OFF", &err);
}

static int close_queue(void **state)
{
    struct cf_error why = {0};
    char path[64];

    (void)state;
    if (cf_queue_check(q, &why) != CF_OK)
        print_error("# %s\n", why.msg);
    cf_queue_close(q);
    snprintf(path, sizeof path, "%s/q.db", dir);
    unlink(path);
    return why.status;
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

#define WITH_QUEUE(test) cmocka_unit_test_setup_teardown(test, open_queue, close_queue)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_QUEUE(csv_is_read_by_the_rules_of_quoting),
        WITH_QUEUE(bad_csv_rows_are_named_by_line_and_the_rest_is_kept),
        WITH_QUEUE(tsv_has_no_quoting),
        WITH_QUEUE(all_parti_prompts_come_in_and_once_only),
        WITH_QUEUE(jsonl_takes_recipes_seeds_and_keeps_the_rest),
        WITH_QUEUE(text_is_one_prompt_a_line),
        WITH_QUEUE(the_format_is_seen_in_the_first_line),
        WITH_QUEUE(bytes_that_are_no_prompt_are_bad_rows),
        WITH_QUEUE(a_line_without_end_costs_bounded_memory),
        WITH_QUEUE(hostile_prompts_are_only_text),
        WITH_QUEUE(strict_stops_and_keeps_nothing),
        WITH_QUEUE(a_row_twice_is_one_job),
        WITH_QUEUE(seeds_of_one_prompt_lie_side_by_side),
        WITH_QUEUE(options_fill_in_what_rows_leave_open),
        WITH_QUEUE(a_row_has_a_size_in_pixels_or_by_name),
        WITH_QUEUE(gzip_is_read_and_damage_is_told),
        WITH_QUEUE(files_that_cannot_be_read_are_told),
        WITH_QUEUE(more_rows_than_a_transaction_holds),
        WITH_QUEUE(damaged_files_are_jobs_or_bad_rows),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
