/* tar_test.c - many images in one file: what is there after a cut, a kill, a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>

#include "store/image_read.h"
#include "store/layout.h"
#include "store/tar.h"
#include "tests/store_calls.h"
#include "tests/store_fail.h"

enum { NUMBER = 7, FILE_MAX = 1 << 16 };
/* Of a sample below: three headers, one block for each text, two for the image. */
enum { SAMPLE = 7 * 512, IMAGE_AT = 5 * 512, END = 1024 };
static const struct cf_tar_size zero;

/* Sample n < 10: texts and bytes that no other has. */
static enum cf_status add(struct cf_tar *tar, int n, struct cf_error *err)
{
    char json[64], line[64], prompt[64], path[CF_TAR_PATH];
    uint8_t bytes[700];
    struct cf_blob webp = {.data = bytes, .size = 600 + (size_t)n};
    struct cf_tar_sample s = {.webp = &webp, .prompt = prompt, .json = json};
    int64_t offset;

    memset(bytes, 'a' + n, sizeof bytes);
    snprintf(json, sizeof json, "{\"sample\":%d}", n);
    s.prompt_len = (size_t)snprintf(prompt, sizeof prompt, "a cat, no. %d", n);
    CF_TRY(cf_tar_add(tar, &s, &offset, path, err));
    assert_string_equal(path, "00007.tar");
    assert_int_equal(offset % SAMPLE, IMAGE_AT);
    snprintf(line, sizeof line, "{\"line\":%d,\"offset\":%" PRId64 "}", n, offset);
    return cf_tar_line(tar, line, err);
}

static struct cf_tar *tar_at(const struct cf_tar_size *at)
{
    struct cf_error err = {0};
    struct cf_tar *tar;

    mkdir(root, 0777);
    if (cf_tar_open(&tar, root, NUMBER, at, &err) != CF_OK)
        print_message("# %s\n", err.msg);
    assert_non_null(tar);
    return tar;
}

/* An open that fails so. */
static void no_tar_at(const struct cf_tar_size *at, enum cf_status want)
{
    struct cf_error err = {0};
    struct cf_tar *tar;

    assert_int_equal(cf_tar_open(&tar, root, NUMBER, at, &err), want);
    assert_null(tar);
    assert_non_null(strstr(err.msg, root));
    assert_non_null(strstr(err.msg, "00007"));
}

/* Samples from .. to - 1 and a sync. */
static struct cf_tar_size grow(struct cf_tar *tar, int from, int to)
{
    struct cf_tar_size size = {0};
    struct cf_error err = {0};

    for (int i = from; i < to; i++)
        assert_int_equal(add(tar, i, &err), CF_OK);
    assert_int_equal(cf_tar_sync(tar, &size, &err), CF_OK);
    assert_int_equal(size.members, to);
    assert_int_equal(size.bytes, to * SAMPLE);
    return size;
}

static void finish(struct cf_tar *tar)
{
    struct cf_error err = {0};

    assert_int_equal(cf_tar_finish(tar, &err), CF_OK);
    assert_true(cf_tar_finished(tar));
    cf_tar_close(tar);
}

static const char *file(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static int64_t size_of(const char *name)
{
    struct stat st;

    return lstat(file(name), &st) == 0 ? st.st_size : -1;
}

struct content {
    char data[FILE_MAX];
    size_t size;
};

static void load(const char *name, struct content *c)
{
    FILE *in = fopen(file(name), "rb");

    assert_non_null(in);
    c->size = fread(c->data, 1, sizeof c->data, in);
    assert_true(c->size < sizeof c->data);
    fclose(in);
}

static void save(const char *name, const struct content *c, size_t size)
{
    FILE *out = fopen(file(name), "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(c->data, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void expect_same(const char *name, const struct content *want)
{
    static struct content is;

    load(name, &is);
    assert_int_equal(is.size, want->size);
    assert_memory_equal(is.data, want->data, is.size);
}

/* Commands in the root. */
static int sh(const char *commands)
{
    char all[2000];

    snprintf(all, sizeof all, "cd '%s' && {\n%s\n}", root, commands);
    return system(all);
}

/* What an undisturbed run of three samples leaves; the root is empty again. */
static struct content want_tar, want_lines;

static void undisturbed(void)
{
    struct cf_tar *tar = tar_at(&zero);

    grow(tar, 0, 3);
    finish(tar);
    load("00007.tar", &want_tar);
    load("00007.jsonl", &want_lines);
    assert_int_equal(sh("rm -f 00*"), 0);
}

static void expect_undisturbed(void)
{
    expect_same("00007.tar", &want_tar);
    expect_same("00007.jsonl", &want_lines);
    assert_int_equal(count("-name '00*'"), 2);
}

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
    no_tar_at(&zero, CF_ECREAT);
    no_tar_at(&less, CF_ECREAT);
    expect_undisturbed();
    want_tar.data[want_tar.size - 1] = 'x'; /* as long, but no end */
    save("00007.tar", &want_tar, want_tar.size);
    no_tar_at(&same, CF_ECREAT);
    assert_int_equal(unlink(file("00007.tar")), 0); /* taken elsewhere by its owner */
    no_tar_at(&zero, CF_ECREAT);
    expect_same("00007.jsonl", &want_lines);
}

/* ---- calls that fail ---- */

static void a_failed_write_leaves_whole_samples_and_may_be_tried_again(void **state)
{
    static const struct {
        int nth, errnum;
        enum cf_status status;
    } c[] = {{1, ENOSPC, CF_ENOSPC}, {1, EDQUOT, CF_ENOSPC}, {1, EIO, CF_EIO},
             {1, EROFS, CF_EPERM},   {1, EFBIG, CF_EIO},     {2, ENOSPC, CF_ENOSPC},
             {2, EIO, CF_EIO}};
    struct cf_tar *tar;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    grow(tar, 0, 1);
    assert_int_equal(add(tar, 1, NULL), CF_OK); /* written, not synced */
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};

        fault_arm("pwrite", c[i].nth, c[i].errnum);
        assert_int_equal(add(tar, 2, &err), c[i].status);
        assert_true(cf_status_environment(err.status));
        assert_non_null(strstr(err.msg, "00007.tar"));
        fault_arm(NULL, 0, 0);
        assert_int_equal(size_of("00007.tar.part"), 2 * SAMPLE);
        assert_int_equal(size_of("00007.jsonl.part"), want_lines.size / 3 * 2);
    }
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static void short_and_interrupted_calls_go_on(void **state)
{
    static const struct {
        const char *call;
        int errnum;
    } c[] = {{"pwrite", 0},     {"pwrite", EINTR}, {"fdatasync", EINTR}, {"fsync", EINTR},
             {"create", EINTR}, {"open", EINTR},   {"ftruncate", EINTR}, {"flock", EINTR},
             {"flock", ENOLCK}, {"fsync", EINVAL}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_tar *tar;

        fault_arm(c[i].call, 1, c[i].errnum);
        tar = tar_at(&zero);
        grow(tar, 0, 3);
        finish(tar);
        assert_true(fault.seen >= 1);
        fault_arm(NULL, 0, 0);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void a_failed_fdatasync_is_final_and_the_last_mark_still_counts(void **state)
{
    static const struct {
        int nth, errnum;
        enum cf_status status;
    } c[] = {{1, EIO, CF_EIO},
             {2, EIO, CF_EIO},
             {1, ENOSPC, CF_ENOSPC},
             {2, EDQUOT, CF_ENOSPC},
             {1, EROFS, CF_EPERM}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0}, later = {0}, last = {0};
        struct cf_tar *tar = tar_at(&zero);
        struct cf_tar_size at = grow(tar, 0, 2), size = {0};

        assert_int_equal(add(tar, 2, &err), CF_OK);
        fault_arm("fdatasync", c[i].nth, c[i].errnum);
        assert_int_equal(cf_tar_sync(tar, &size, &err), c[i].status);
        assert_int_equal(size.members, 0);
        assert_int_equal(size_of("00007.tar.part"), at.bytes);
        assert_int_equal(size_of("00007.jsonl.part"), at.manifest_bytes);
        /* The disk is well again, but nothing is believed of this handle. */
        assert_int_equal(cf_tar_sync(tar, &size, &later), c[i].status);
        assert_int_equal(add(tar, 2, &last), c[i].status);
        assert_int_equal(cf_tar_finish(tar, NULL), c[i].status);
        assert_int_equal(fault.seen, c[i].nth); /* never asked again */
        cf_tar_close(tar);
        fault_arm(NULL, 0, 0);
        tar = tar_at(&at);
        grow(tar, 2, 3);
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void a_cut_that_fails_gives_the_tar_up_and_the_next_open_cuts(void **state)
{
    struct cf_tar *tar;
    struct cf_tar_size at;
    struct cf_error err = {0}, later = {0};

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    at = grow(tar, 0, 2);
    fault_arm("ftruncate", 1, EIO);
    assert_int_equal(add(tar, 2, &err), CF_OK);
    assert_int_equal(cf_tar_cut(tar, &at, &err), CF_EIO);
    assert_int_equal(size_of("00007.tar.part"), at.bytes + SAMPLE);
    assert_int_equal(add(tar, 2, &later), CF_EIO);
    cf_tar_close(tar);
    fault_arm(NULL, 0, 0);
    tar = tar_at(&at);
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static void a_finish_that_fails_is_done_by_the_next_one(void **state)
{
    static const struct {
        const char *call;
        int nth, errnum;
        enum cf_status status;
        bool finished; /* found so by the next open */
    } c[] = {{"pwrite", 1, ENOSPC, CF_ENOSPC, false},
             {"pwrite", 1, EIO, CF_EIO, false},
             {"fdatasync", 1, EIO, CF_EIO, false},
             {"renameat", 1, EIO, CF_EIO, false},
             {"renameat", 2, ENOSPC, CF_ENOSPC, false},
             {"renameat", 2, EROFS, CF_EPERM, false},
             {"fsync", 1, EIO, CF_EIO, true}};

    (void)state;
    undisturbed();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};
        struct cf_tar *tar = tar_at(&zero);
        struct cf_tar_size at = grow(tar, 0, 3);

        fault_arm(c[i].call, c[i].nth, c[i].errnum);
        assert_int_equal(cf_tar_finish(tar, &err), c[i].status);
        assert_false(cf_tar_finished(tar));
        fault_arm(NULL, 0, 0);
        if (!c[i].finished)
            assert_int_equal(size_of("00007.tar.part"), at.bytes);
        cf_tar_close(tar);
        tar = tar_at(&at);
        assert_int_equal(cf_tar_finished(tar), c[i].finished);
        finish(tar);
        expect_undisturbed();
        assert_int_equal(sh("rm -f 00*"), 0);
    }
}

static void an_open_that_fails_says_why_and_keeps_what_counts(void **state)
{
    static const struct {
        const char *call;
        int nth, errnum;
        enum cf_status status;
    } c[] = {{"open", 1, EACCES, CF_EPERM}, {"open", 2, EMFILE, CF_EIO},
             {"open", 3, EIO, CF_EIO},      {"flock", 1, EWOULDBLOCK, CF_EBUSY},
             {"ftruncate", 1, EIO, CF_EIO}, {"ftruncate", 2, EROFS, CF_EPERM},
             {"fsync", 1, EIO, CF_EIO}};
    struct cf_tar *tar;
    struct cf_tar_size at;

    (void)state;
    undisturbed();
    tar = tar_at(&zero);
    at = grow(tar, 0, 2);
    cf_tar_close(tar);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        fault_arm(c[i].call, c[i].nth, c[i].errnum);
        no_tar_at(&at, c[i].status);
    }
    fault_arm(NULL, 0, 0);
    tar = tar_at(&at);
    grow(tar, 2, 3);
    finish(tar);
    expect_undisturbed();
}

static int fill_small_disk(void)
{
    static uint8_t big[200000];
    struct cf_blob webp = {.data = big, .size = sizeof big};
    struct cf_tar_sample s = {.webp = &webp, .prompt = "", .json = "{}"};
    char path[CF_TAR_PATH];
    struct cf_error err = {0};
    struct cf_tar *tar;
    int64_t offset;

    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(root, 0777) != 0 || mount("tmpfs", root, "tmpfs", 0, "size=64k") != 0)
        return 77;
    tar = tar_at(&zero);
    grow(tar, 0, 1);
    if (cf_tar_add(tar, &s, &offset, path, &err) != CF_ENOSPC)
        return 1;
    if (size_of("00007.tar.part") != SAMPLE)
        return 2;
    grow(tar, 1, 3);
    finish(tar);
    expect_undisturbed();
    return 0;
}

static void a_full_disk_is_told_and_small_samples_still_go_in(void **state)
{
    int rc;

    (void)state;
    undisturbed();
    rmdir(root);
    rc = in_child(fill_small_disk);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static void without_memory_nothing_changes(void **state)
{
    bool hit = true;

    (void)state;
    undisturbed();
    for (long n = 1; hit; n++) {
        struct cf_error err = {0};
        struct cf_tar *tar = NULL;

        fail_arm(n);
        if (cf_tar_open(&tar, root, NUMBER, &zero, &err) == CF_OK)
            add(tar, 0, &err);
        hit = fail_hit();
        assert_int_equal(err.status, hit ? CF_ENOMEM : CF_OK);
        if (tar) {
            assert_int_equal(size_of("00007.tar.part"), hit ? 0 : SAMPLE);
            grow(tar, hit ? 0 : 1, 3);
            finish(tar);
            expect_undisturbed();
        }
        assert_int_equal(sh("rm -f 00*"), 0);
    }
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

/* ---- reading ---- */

static enum cf_status image(const char *path, int64_t offset, int64_t bytes,
                            struct cf_blob *blob)
{
    struct cf_error err = {0};
    enum cf_status st = cf_image_read(root, path, offset, bytes, blob, &err);

    assert_int_equal(blob->data == NULL, st != CF_OK);
    return st;
}

static void an_image_is_read_from_a_tar_that_grows_or_is_finished(void **state)
{
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 3);
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 3; n++) {
            struct cf_blob blob;

            assert_int_equal(image("00007.tar", n * SAMPLE + IMAGE_AT, 600 + n, &blob),
                             CF_OK);
            assert_int_equal(blob.size, 600 + n);
            assert_int_equal(blob.data[0], 'a' + n);
            assert_memory_equal(blob.data, blob.data + 1, blob.size - 1);
            cf_blob_free(&blob);
        }
        if (i == 0)
            finish(tar);
    }
}

static void an_image_is_read_from_a_file_of_its_own(void **state)
{
    struct cf_sink *sink = open_sink();
    struct cf_blob blob;

    (void)state;
    assert_int_equal(put(sink, STEM, "pixels", NULL), CF_OK);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_OK);
    assert_memory_equal(blob.data, "pixels", 6);
    cf_blob_free(&blob);
    assert_int_equal(image(PATH, 0, 5, &blob), CF_EMISMATCH);
    assert_int_equal(image(PATH, 0, 7, &blob), CF_EMISMATCH);
    assert_int_equal(image(PATH, 512, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("cd 01/23 && mv *.webp x && ln -s x " STEM ".webp"), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("rm 01/23/*; mkdir " PATH), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    assert_int_equal(sh("rmdir " PATH), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_ENOENT);
    assert_int_equal(sh("mv 01/23 01/45; ln -s 45 01/23"), 0);
    assert_int_equal(image(PATH, 0, 6, &blob), CF_EFORMAT);
    cf_sink_close(sink);
}

static void a_path_that_is_none_of_ours_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "../x",
                                      "/etc/passwd",
                                      "../00007.tar",
                                      "00007.tar/",
                                      "0007.tar",
                                      "000007.tar",
                                      "00007.tar.part",
                                      "x0007.tar",
                                      "00007.TAR",
                                      "./00007.tar",
                                      "01/23/../../x",
                                      "01/24/" STEM ".webp",
                                      "01/23/" STEM ".web",
                                      "01/23/" STEM ".webpx",
                                      "01/23/" STEM,
                                      "0a/../" STEM ".webp"};
    struct cf_tar *tar = tar_at(&zero);

    (void)state;
    grow(tar, 0, 1);
    finish(tar);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int k = 0; k < 2; k++) {
            struct cf_blob blob;

            fault_arm("open", 1, 0);
            assert_int_equal(image(bad[i], k * IMAGE_AT, 600, &blob), CF_EFORMAT);
            assert_int_equal(fault.seen, 0);
        }
}

static void a_place_in_a_tar_without_its_image_is_refused(void **state)
{
    static const struct {
        int64_t offset, bytes;
        enum cf_status status;
    } c[] = {{0, 600, CF_EFORMAT},
             {-512, 600, CF_EFORMAT},
             {IMAGE_AT + 1, 600, CF_EFORMAT},
             {512, 12, CF_EFORMAT},            /* the .json */
             {1024, 600, CF_EFORMAT},          /* behind no header */
             {IMAGE_AT + 512, 88, CF_EFORMAT}, /* in the middle of it */
             {SAMPLE, 600, CF_EFORMAT},        /* behind its end */
             {IMAGE_AT, 599, CF_EMISMATCH},
             {IMAGE_AT, 601, CF_EMISMATCH},
             {IMAGE_AT, 100000, CF_EFORMAT},
             {INT64_MAX / 512 * 512, 600, CF_EFORMAT},
             {IMAGE_AT, 0, CF_ERANGE},
             {IMAGE_AT, -1, CF_ERANGE},
             {IMAGE_AT, INT64_MAX, CF_ERANGE}};
    struct cf_tar *tar = tar_at(&zero);
    struct cf_blob blob;

    (void)state;
    grow(tar, 0, 1);
    finish(tar);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        assert_int_equal(image("00007.tar", c[i].offset, c[i].bytes, &blob), c[i].status);
    assert_int_equal(image("00008.tar", IMAGE_AT, 600, &blob), CF_ENOENT);
    assert_int_equal(sh("mv 00007.tar 00008.tar"), 0); /* its names are of another */
    assert_int_equal(image("00008.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
    assert_int_equal(sh("mv 00008.tar x; ln -s x 00007.tar"), 0);
    assert_int_equal(image("00007.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
    assert_int_equal(sh("rm 00007.tar; mkdir 00007.tar"), 0);
    assert_int_equal(image("00007.tar", IMAGE_AT, 600, &blob), CF_EFORMAT);
}

/* ---- layout ---- */

static void auto_is_a_tar_above_a_hundred_thousand_images(void **state)
{
    struct cf_error err = {0};
    enum cf_layout l;

    (void)state;
    assert_int_equal(cf_layout_choose(CF_LAYOUT_AUTO, 0), CF_LAYOUT_FILES);
    assert_int_equal(cf_layout_choose(CF_LAYOUT_AUTO, 100000), CF_LAYOUT_FILES);
    assert_int_equal(cf_layout_choose(CF_LAYOUT_AUTO, 100001), CF_LAYOUT_TAR);
    assert_int_equal(cf_layout_choose(CF_LAYOUT_FILES, INT64_MAX), CF_LAYOUT_FILES);
    assert_int_equal(cf_layout_choose(CF_LAYOUT_TAR, 1), CF_LAYOUT_TAR);
    for (int i = CF_LAYOUT_AUTO; i <= CF_LAYOUT_TAR; i++) {
        assert_int_equal(
            cf_layout_parse(cf_layout_name((enum cf_layout)i), &l, "--layout", &err),
            CF_OK);
        assert_int_equal(l, i);
    }
    assert_int_equal(cf_layout_parse("zip", &l, "--layout", &err), CF_EUSAGE);
    assert_non_null(strstr(err.msg, "--layout"));
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
        TEST(a_failed_write_leaves_whole_samples_and_may_be_tried_again),
        TEST(short_and_interrupted_calls_go_on),
        TEST(a_failed_fdatasync_is_final_and_the_last_mark_still_counts),
        TEST(a_cut_that_fails_gives_the_tar_up_and_the_next_open_cuts),
        TEST(a_finish_that_fails_is_done_by_the_next_one),
        TEST(an_open_that_fails_says_why_and_keeps_what_counts),
        TEST(a_full_disk_is_told_and_small_samples_still_go_in),
        TEST(without_memory_nothing_changes),
        TEST(a_sample_is_whole_with_its_line_and_not_before),
        TEST(a_cut_goes_back_to_a_size_that_was_told),
        TEST(a_tar_without_samples_leaves_no_file),
        TEST(a_full_tar_takes_no_more),
        TEST(one_process_appends_to_one_tar),
        TEST(sizes_that_cannot_be_are_refused_before_a_file_is_opened),
        TEST(what_is_no_plain_file_is_not_appended_to),
        TEST(an_image_is_read_from_a_tar_that_grows_or_is_finished),
        TEST(an_image_is_read_from_a_file_of_its_own),
        TEST(a_path_that_is_none_of_ours_is_refused),
        TEST(a_place_in_a_tar_without_its_image_is_refused),
        TEST(auto_is_a_tar_above_a_hundred_thousand_images),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
