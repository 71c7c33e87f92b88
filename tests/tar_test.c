/* tar_test.c - many images in one file: what is there after a cut and after a kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/owner.h"
#include "tests/tar_util.h"

/* ---- the way it should go ---- */

static void gnu_tar_lists_and_extracts_what_went_in(void **state)
{
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 2);
    assert_false(cf_tar_finished(tar));
    finish(tar);
    assert_int_equal(size_of("00007.tar"), 2 * SAMPLE + END);
    assert_int_equal(count("-name '*.part'"), 0);
    assert_int_equal(sh("LC_ALL=C tar --numeric-owner --utc -tvf 00007.tar >list 2>&1\n"
                        "awk '{ print $1, $2, $3, $4, $6 }' list >is; cat >want <<'X'\n"
                        "-rw-r--r-- 0/0 12 1970-01-01 000070000.json\n"
                        "-rw-r--r-- 0/0 12 1970-01-01 000070000.txt\n"
                        "-rw-r--r-- 0/0 600 1970-01-01 000070000.webp\n"
                        "-rw-r--r-- 0/0 12 1970-01-01 000070001.json\n"
                        "-rw-r--r-- 0/0 12 1970-01-01 000070001.txt\n"
                        "-rw-r--r-- 0/0 601 1970-01-01 000070001.webp\n"
                        "X\n"
                        "diff want is"),
                     0);
    assert_int_equal(sh("mkdir x && tar -C x -xf 00007.tar 2>said && test ! -s said\n"
                        "test \"$(cat x/000070001.txt)\" = 'a cat, no. 1' &&\n"
                        "test \"$(cat x/000070000.json)\" = '{\"sample\":0}' &&\n"
                        "test \"$(tr -d b <x/000070001.webp | wc -c)\" = 0"),
                     0);
    assert_int_equal(sh("printf '{\"line\":0,\"offset\":2560}\\n"
                        "{\"line\":1,\"offset\":6144}\\n' | cmp - 00007.jsonl"),
                     0);
}

/* What a reader in shell needs: names and sizes from the headers, nothing else. */
static void a_reader_that_knows_headers_alone_finds_samples_side_by_side(void **state)
{
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 3);
    finish(tar);
    assert_int_equal(
        sh("at=0; while name=$(tail -c +$((at + 1)) 00007.tar | head -c 9) &&\n"
           "[ -n \"$name\" ]; do\n"
           "size=$(tail -c +$((at + 125)) 00007.tar | head -c 11)\n"
           "echo $name $((0$size)); at=$((at + 512 + (0$size + 511) / 512 * 512))\n"
           "done >is 2>said; uniq -w 9 -c is | awk '{ print $1, $2 }' >groups\n"
           "printf '3 000070000\\n3 000070001\\n3 000070002\\n' | diff - groups"),
        0);
}

static void the_same_samples_give_the_same_bytes(void **state)
{
    struct cf_tar *tar;
    struct cf_tar_size at = {0};

    (void)state;
    undisturbed();
    for (int i = 0; i < 3; i++) { /* a process per sample */
        tar = tar_at(&at);
        at = grow(tar, i, i + 1);
        cf_tar_close(tar);
    }
    finish(tar_at(&at));
    expect_undisturbed();
}

static void all_is_on_disk_before_a_size_is_told_or_a_name_given(void **state)
{
    struct cf_error err = {0};
    struct cf_tar *tar;
    struct cf_tar_size size;

    (void)state;
    mkdir(root, 0777);
    fault_arm(NULL, 0, 0);
    tar = tar_at(&zero);
    assert_string_equal(fault.trace,
                        "open create flock create ftruncate ftruncate fsync ");
    fault_arm(NULL, 0, 0);
    assert_int_equal(add(tar, 0, &err), CF_OK);
    assert_int_equal(cf_tar_sync(tar, &size, &err), CF_OK);
    assert_int_equal(cf_tar_sync(tar, &size, &err), CF_OK); /* nothing new */
    assert_string_equal(fault.trace, "pwrite pwrite fdatasync fdatasync ");
    fault_arm(NULL, 0, 0);
    assert_int_equal(cf_tar_finish(tar, &err), CF_OK);
    assert_string_equal(fault.trace, "pwrite fdatasync renameat renameat fsync ");
    cf_tar_close(tar);
}

/* ---- fault 23: cut at any byte ---- */

static void a_tail_that_was_not_counted_is_cut_off_at_any_byte(void **state)
{
    static struct content tar_part, lines_part;
    struct cf_tar *tar;
    struct cf_tar_size at;
    size_t lines, line;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    at = grow(tar, 0, 2);
    grow(tar, 2, 3);
    cf_tar_close(tar);
    load("00007.tar.part", &tar_part);
    load("00007.jsonl.part", &lines_part);
    lines = (size_t)at.manifest_bytes;
    line = lines_part.size - lines;
    for (size_t i = 0; i <= SAMPLE; i++) {
        save("00007.tar.part", &tar_part, 2 * SAMPLE + i);
        save("00007.jsonl.part", &lines_part, lines + i % (line + 1));
        tar = tar_at(&at);
        assert_int_equal(size_of("00007.tar.part"), at.bytes);
        assert_int_equal(size_of("00007.jsonl.part"), at.manifest_bytes);
        assert_int_equal(add(tar, 2, NULL), CF_OK);
        cf_tar_close(tar);
        expect_same("00007.tar.part", &tar_part);
        expect_same("00007.jsonl.part", &lines_part);
    }
    tar = tar_at(&at);
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static void a_file_that_lost_what_counts_is_refused_and_not_touched(void **state)
{
    static struct content tar_part, lines_part;
    struct cf_tar *tar = tar_at(&zero);
    struct cf_tar_size at = grow(tar, 0, 2);

    (void)state;
    cf_tar_close(tar);
    load("00007.tar.part", &tar_part);
    load("00007.jsonl.part", &lines_part);
    for (size_t i = 0; i < tar_part.size; i += 97) {
        save("00007.tar.part", &tar_part, i);
        no_tar_at(&at, CF_EFORMAT);
        assert_int_equal(size_of("00007.tar.part"), i);
        assert_int_equal(size_of("00007.jsonl.part"), lines_part.size);
    }
    save("00007.tar.part", &tar_part, tar_part.size);
    for (size_t i = 0; i < lines_part.size; i++) {
        save("00007.jsonl.part", &lines_part, i);
        no_tar_at(&at, CF_EFORMAT);
    }
    assert_int_equal(unlink(file("00007.jsonl.part")), 0);
    no_tar_at(&at, CF_EFORMAT);
    expect_same("00007.tar.part", &tar_part);
    assert_int_equal(unlink(file("00007.tar.part")), 0);
    no_tar_at(&at, CF_EFORMAT);
    assert_int_equal(count("-name '00*'"), 0);
}

/* ---- kills ---- */

static struct cf_tar_size kill_at; /* what the caller had committed */

static int killed_while_it_grows(void)
{
    struct cf_tar *tar = tar_at(&kill_at);

    fault.on = true;
    fault.errnum = -1;
    grow(tar, 2, 3);
    finish(tar);
    return 0;
}

static void a_kill_at_any_step_is_recovered(void **state)
{
    static const struct {
        const char *call;
        int nth;
        bool finishing; /* the third sample counts by then */
    } step[] = {{"pwrite", 1, false},    {"pwrite", 2, false},  {"fdatasync", 1, false},
                {"fdatasync", 2, false}, {"pwrite", 3, true},   {"fdatasync", 3, true},
                {"renameat", 1, true},   {"renameat", 2, true}, {"fsync", 1, true}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++) {
        struct cf_tar *tar = tar_at(&zero);

        kill_at = grow(tar, 0, 2);
        cf_tar_close(tar);
        fault.call = step[i].call;
        fault.nth = step[i].nth;
        assert_int_equal(in_child(killed_while_it_grows), -SIGKILL);
        memset(&fault, 0, sizeof fault);
        if (step[i].finishing)
            kill_at = (struct cf_tar_size){3, 3 * SAMPLE, (int64_t)want_lines.size};
        tar = tar_at(&kill_at);
        assert_int_equal(cf_tar_finished(tar), i == 8);
        if (!step[i].finishing)
            grow(tar, 2, 3);
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void every_pair_of_names_that_a_power_cut_can_keep_is_opened(void **state)
{
    static const struct {
        const char *tar, *lines;
        bool finished;
    } pair[] = {{"00007.tar", "00007.jsonl", true},
                {"00007.tar", "00007.jsonl.part", true},
                {"00007.tar.part", "00007.jsonl", false},
                {"00007.tar.part", "00007.jsonl.part", false}};
    struct cf_tar_size at;

    (void)state;
    undisturbed();
    at = (struct cf_tar_size){3, 3 * SAMPLE, (int64_t)want_lines.size};
    for (size_t i = 0; i < 4; i++) {
        struct cf_error err = {0};
        struct cf_tar *tar;

        save(pair[i].tar, &want_tar, want_tar.size);
        save(pair[i].lines, &want_lines, want_lines.size);
        tar = tar_at(&at);
        assert_int_equal(cf_tar_finished(tar), pair[i].finished);
        if (pair[i].finished) {
            assert_int_equal(add(tar, 3, &err), CF_EBUG);
            assert_int_equal(cf_tar_cut(tar, &zero, &err), CF_EBUG);
            assert_int_equal(cf_tar_sync(tar, &at, NULL), CF_OK);
            assert_int_equal(at.members, 3);
        }
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void a_tar_of_another_queue_is_never_touched(void **state)
{
    struct cf_tar_size less = {2, 2 * SAMPLE, 0}, same;

    (void)state;
    undisturbed();
    same = (struct cf_tar_size){3, 3 * SAMPLE, (int64_t)want_lines.size};
    less.manifest_bytes = same.manifest_bytes / 3 * 2;
    save("00007.tar", &want_tar, want_tar.size);
    save("00007.jsonl", &want_lines, want_lines.size);
    no_tar_at(&zero, CF_ELOST);
    no_tar_at(&less, CF_ELOST);
    expect_undisturbed();
    want_tar.data[want_tar.size - 1] = 'x'; /* as long, but no end */
    save("00007.tar", &want_tar, want_tar.size);
    no_tar_at(&same, CF_ELOST);
    assert_int_equal(unlink(file("00007.tar")), 0); /* taken elsewhere by its owner */
    no_tar_at(&zero, CF_ECREAT);
    expect_same("00007.jsonl", &want_lines);
}

/* ---- order of calls ---- */

static void a_sample_is_whole_with_its_line_and_not_before(void **state)
{
    uint8_t byte = 'x';
    struct cf_blob webp = {.data = &byte, .size = 1};
    const struct cf_tar_sample s = {
        .webp = &webp, .prompt = "", .prompt_len = 0, .json = "{}"};
    struct cf_tar *tar = tar_at(&zero);
    struct cf_tar_size at = grow(tar, 0, 1), size;
    char path[CF_TAR_PATH];
    int64_t offset;

    (void)state;
    assert_int_equal(cf_tar_line(tar, "{}", NULL), CF_EBUG); /* of no sample */
    assert_int_equal(cf_tar_add(tar, &s, &offset, path, NULL), CF_OK);
    assert_int_equal(cf_tar_add(tar, &s, &offset, path, NULL), CF_EBUG);
    assert_int_equal(cf_tar_line(tar, "{}\n{}", NULL), CF_EBUG);
    assert_int_equal(cf_tar_sync(tar, &size, NULL), CF_EBUG);
    assert_int_equal(cf_tar_finish(tar, NULL), CF_EBUG);
    assert_int_equal(cf_tar_cut(tar, &at, NULL), CF_OK); /* not wanted after all */
    assert_int_equal(size_of("00007.tar.part"), at.bytes);
    assert_int_equal(add(tar, 1, NULL), CF_OK);
    assert_int_equal(cf_tar_finish(tar, NULL), CF_EBUG); /* nobody counted it yet */
    grow(tar, 2, 2);
    cf_tar_close(tar);
}

static void a_cut_goes_back_to_a_size_that_was_told(void **state)
{
    struct cf_tar *tar;
    struct cf_tar_size one, two, odd;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    one = grow(tar, 0, 1);
    assert_int_equal(add(tar, 9, NULL), CF_OK);
    assert_int_equal(cf_tar_cut(tar, &one, NULL), CF_OK);
    two = grow(tar, 1, 2);
    assert_int_equal(cf_tar_cut(tar, &one, NULL), CF_OK); /* also what was synced */
    assert_int_equal(cf_tar_cut(tar, &two, NULL), CF_EBUG);
    odd = (struct cf_tar_size){1, SAMPLE - 1, one.manifest_bytes};
    assert_int_equal(cf_tar_cut(tar, &odd, NULL), CF_ERANGE);
    grow(tar, 1, 3);
    finish(tar);
    expect_undisturbed();
}

static void a_tar_without_samples_leaves_no_file(void **state)
{
    (void)state;
    finish(tar_at(&zero));
    assert_int_equal(count("-type f"), 0);
    cf_tar_close(tar_at(&zero)); /* a later one begins anew */
}

static void a_full_tar_takes_no_more(void **state)
{
    uint8_t byte = 'x';
    struct cf_blob webp = {.data = &byte, .size = 1};
    const struct cf_tar_sample s = {.webp = &webp, .prompt = "", .json = "{}"};
    struct cf_tar_size at = {CF_TAR_SAMPLES - 1, 2048LL * (CF_TAR_SAMPLES - 1),
                             3LL * (CF_TAR_SAMPLES - 1)};
    char path[CF_TAR_PATH];
    struct cf_error err = {0};
    struct cf_tar *tar;
    int64_t offset;

    (void)state;
    mkdir(root, 0777);
    assert_int_equal(sh("truncate -s 20477952 00007.tar.part &&"
                        " truncate -s 29997 00007.jsonl.part"),
                     0);
    tar = tar_at(&at);
    assert_int_equal(cf_tar_add(tar, &s, &offset, path, &err), CF_OK);
    assert_int_equal(cf_tar_line(tar, "{}", &err), CF_OK);
    assert_int_equal(
        sh("tail -c 2560 00007.tar.part | head -c 14 | grep -qx 000079999.json"), 0);
    assert_int_equal(cf_tar_add(tar, &s, &offset, path, &err), CF_ERANGE);
    cf_tar_close(tar);
}

static int lock_asked_by_another(void)
{
    struct cf_error err = {0};
    struct cf_tar *tar;

    return cf_tar_open(&tar, root, NUMBER, &zero, &err) == CF_EBUSY ? 0 : 1;
}

static void one_process_appends_to_one_tar(void **state)
{
    struct cf_tar *tar = tar_at(&zero);
    struct cf_tar_size at = grow(tar, 0, 2);

    (void)state;
    assert_int_equal(in_child(lock_asked_by_another), 0);
    assert_int_equal(size_of("00007.tar.part"), at.bytes); /* not cut by it */
    grow(tar, 2, 3);
    cf_tar_close(tar);
}

/* ---- two queues in one directory ---- */

static void a_directory_of_tars_belongs_to_the_queue_that_came_first(void **state)
{
    struct cf_error err = {0};

    (void)state;
    mkdir(root, 0777);
    assert_int_equal(cf_owner_claim(root, "first", &err), CF_OK);
    assert_int_equal(cf_owner_claim(root, "first", &err), CF_OK);
    assert_int_equal(cf_owner_claim(root, "second", &err), CF_ECONFIG);
    assert_non_null(strstr(err.msg, root));
    assert_non_null(strstr(err.msg, "first"));
    assert_int_equal(sh("echo first | cmp - .cfgen-queue"), 0);
    assert_int_equal(cf_owner_claim(root, "", NULL), CF_EUSAGE);
    assert_int_equal(cf_owner_claim(root, "a\nb", NULL), CF_EUSAGE);
}

static void an_owner_that_a_crash_left_unfinished_counts_as_none(void **state)
{
    (void)state;
    mkdir(root, 0777);
    assert_int_equal(sh("printf fir >.cfgen-queue"), 0);
    assert_int_equal(cf_owner_claim(root, "2nd", NULL), CF_OK);
    assert_int_equal(sh("echo 2nd | cmp - .cfgen-queue"), 0);
    fault_arm("fsync", 2, EIO); /* its name may not be on disk */
    assert_int_equal(sh("rm .cfgen-queue"), 0);
    assert_int_equal(cf_owner_claim(root, "2nd", NULL), CF_EIO);
    assert_int_equal(cf_owner_claim(root, "2nd", NULL), CF_OK);
    assert_int_equal(fault.seen, 3);
    fault_arm(NULL, 0, 0);
    assert_int_equal(sh("ln -sf ../x .cfgen-queue"), 0);
    assert_int_equal(cf_owner_claim(root, "2nd", NULL), CF_ECREAT);
}

/* ---- hostile sizes and names ---- */

static void sizes_that_cannot_be_are_refused_before_a_file_is_opened(void **state)
{
    static const struct cf_tar_size bad[] = {{-1, 0, 0},
                                             {0, 512, 0},
                                             {0, 0, 1},
                                             {1, 0, 10},
                                             {1, 2047, 10},
                                             {1, 2048, 0},
                                             {1, -2048, 10},
                                             {1, 2048, -1},
                                             {1, INT64_MAX, 10},
                                             {1, 2048, INT64_MAX},
                                             {INT32_MIN, INT64_MIN, INT64_MIN},
                                             {CF_TAR_SAMPLES + 1, 1 << 30, 1 << 30}};

    (void)state;
    mkdir(root, 0777);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        no_tar_at(&bad[i], CF_ERANGE);
    for (int i = 0; i < 3; i++) {
        static const int number[] = {-1, 100000, INT32_MAX};
        struct cf_error err = {0};
        struct cf_tar *tar;

        assert_int_equal(cf_tar_open(&tar, root, number[i], &zero, &err), CF_ERANGE);
    }
    assert_int_equal(count("-type f"), 0);
}

static void what_is_no_plain_file_is_not_appended_to(void **state)
{
    static const char *const make[] = {"mkdir 00007.tar.part",
                                       "ln -s ../victim 00007.tar.part",
                                       "mkfifo 00007.tar.part",
                                       "mkdir 00007.jsonl.part",
                                       "ln -s ../victim 00007.jsonl.part",
                                       "mkfifo 00007.jsonl.part"};

    (void)state;
    mkdir(root, 0777);
    assert_int_equal(sh("echo precious >../victim"), 0);
    for (size_t i = 0; i < sizeof make / sizeof make[0]; i++) {
        assert_int_equal(sh(make[i]), 0);
        no_tar_at(&zero, CF_ECREAT);
        assert_int_equal(sh("rm -rf 00*"), 0);
    }
    assert_int_equal(sh("mkdir 00007.tar"), 0);
    no_tar_at(&zero, CF_EFORMAT);
    assert_int_equal(sh("grep -qx precious ../victim"), 0);
    assert_int_equal(sh("rm -rf 00*; cd ..; rmdir out"), 0);
    no_tar_at(&zero, CF_ECREAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gnu_tar_lists_and_extracts_what_went_in),
        TEST(a_reader_that_knows_headers_alone_finds_samples_side_by_side),
        TEST(the_same_samples_give_the_same_bytes),
        TEST(all_is_on_disk_before_a_size_is_told_or_a_name_given),
        TEST(a_tail_that_was_not_counted_is_cut_off_at_any_byte),
        TEST(a_file_that_lost_what_counts_is_refused_and_not_touched),
        TEST(a_kill_at_any_step_is_recovered),
        TEST(every_pair_of_names_that_a_power_cut_can_keep_is_opened),
        TEST(a_tar_of_another_queue_is_never_touched),
        TEST(a_sample_is_whole_with_its_line_and_not_before),
        TEST(a_cut_goes_back_to_a_size_that_was_told),
        TEST(a_tar_without_samples_leaves_no_file),
        TEST(a_full_tar_takes_no_more),
        TEST(one_process_appends_to_one_tar),
        TEST(a_directory_of_tars_belongs_to_the_queue_that_came_first),
        TEST(an_owner_that_a_crash_left_unfinished_counts_as_none),
        TEST(sizes_that_cannot_be_are_refused_before_a_file_is_opened),
        TEST(what_is_no_plain_file_is_not_appended_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
