/* store_calls.h - a sink on a disk that fails when told to. Included once per program,
 * which is linked with -Wl,--wrap for each call below.
 *
 * A fault names one call, which one of it fails, and errno. The trace keeps the order in
 * which they came. Threads are fine while no fault is armed. */
#ifndef CF_TESTS_STORE_CALLS_H
#define CF_TESTS_STORE_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/sink.h"

#define STEM "0123456789abcdef0123456789abcdef"
#define PATH "01/23/" STEM ".webp"

static struct {
    bool on;
    const char *call; /* which one fails, NULL: none */
    int nth;          /* 1: the first after fault_arm */
    int errnum;       /* 0: write takes a part only; -1: the process is killed there */
    bool forever;     /* every later one too */
    int seen;
    char trace[512];
} fault;

static inline void fault_arm(const char *call, int nth, int errnum)
{
    memset(&fault, 0, sizeof fault);
    fault.on = true;
    fault.call = call;
    fault.nth = nth;
    fault.errnum = errnum;
}

/* True where the call fails with errno set. */
static inline bool trip(const char *call)
{
    size_t len = strlen(fault.trace);

    if (!fault.on)
        return false;
    snprintf(fault.trace + len, sizeof fault.trace - len, "%s ", call);
    if (!fault.call || strcmp(call, fault.call) != 0)
        return false;
    fault.seen++;
    if (fault.seen != fault.nth && !(fault.forever && fault.seen > fault.nth))
        return false;
    if (fault.errnum < 0)
        raise(SIGKILL);
    errno = fault.errnum;
    return true;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (!trip("write"))
        return __real_write(fd, p, n);
    return fault.errnum ? -1 : __real_write(fd, p, n > 3 ? 3 : n);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int rc = __real_close(fd), errnum = errno; /* as Linux does: closed in any case */
    bool failed = trip("close");

    if (!failed)
        errno = errnum;
    return failed ? -1 : rc;
}

#define WRAP(call, params, args)                                                         \
    int __real_##call params;                                                            \
    int __wrap_##call params;                                                            \
    int __wrap_##call params                                                             \
    {                                                                                    \
        return trip(#call) ? -1 : __real_##call args;                                    \
    }

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (!trip("pwrite"))
        return __real_pwrite(fd, p, n, at);
    return fault.errnum ? -1 : __real_pwrite(fd, p, n > 3 ? 3 : n, at);
}

WRAP(ftruncate, (int fd, off_t size), (fd, size))
WRAP(fdatasync, (int fd), (fd))
WRAP(fsync, (int fd), (fd))
WRAP(flock, (int fd, int how), (fd, how))
WRAP(mkdirat, (int at, const char *name, mode_t mode), (at, name, mode))
WRAP(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))

int __real_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...)
{
    bool create = flags & O_CREAT;

    if (trip(create ? "create" : "open"))
        return -1;
    return create ? __real_openat(at, name, flags, 0666) : __real_openat(at, name, flags);
}

/* ---- a fresh root per test ---- */

static char root[64], here[80];

static inline int make_root(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    strcpy(here, "/tmp/cf_sink_XXXXXX");
    if (!mkdtemp(here) || chmod(here, 0755) != 0)
        return -1;
    snprintf(root, sizeof root, "%s/out", here);
    return 0;
}

static inline int drop_root(void **state)
{
    char command[120];

    (void)state;
    memset(&fault, 0, sizeof fault);
    snprintf(command, sizeof command, "rm -rf '%s'", here);
    return system(command);
}

static inline struct cf_sink *open_sink(void)
{
    struct cf_error err = {0};
    struct cf_sink *sink;

    assert_int_equal(cf_sink_open(&sink, root, &err), CF_OK);
    return sink;
}

static inline enum cf_status put(struct cf_sink *sink, const char *stem, const char *text,
                                 struct cf_error *err)
{
    struct cf_blob blob = {.data = (uint8_t *)(uintptr_t)text, .size = strlen(text)};
    char path[CF_SINK_PATH];

    return cf_sink_put(sink, stem, &blob, path, err);
}

static inline void expect_content(const char *name, const char *want)
{
    char path[400], is[64] = {0};
    FILE *in;

    snprintf(path, sizeof path, "%s/%s", root, name);
    in = fopen(path, "rb");
    if (!want) {
        assert_null(in);
        return;
    }
    assert_non_null(in);
    assert_int_equal(fread(is, 1, sizeof is - 1, in), strlen(want));
    fclose(in);
    assert_string_equal(is, want);
}

/* Put, and for good: what one image at a time does. */
static inline enum cf_status put_sync(struct cf_sink *sink, const char *stem,
                                      const char *text, struct cf_error *err)
{
    CF_TRY(put(sink, stem, text, err));
    return cf_sink_sync(sink, err);
}

/* Lines of a find below root. */
static inline int count(const char *tests)
{
    char command[200];
    FILE *in;
    int n = 0, c;

    snprintf(command, sizeof command, "find '%s' %s", root, tests);
    in = popen(command, "r");
    assert_non_null(in);
    while ((c = fgetc(in)) != EOF)
        n += c == '\n';
    pclose(in);
    return n;
}

static inline int temps(void)
{
    return count("-name '.tmp*'");
}

/* Run body in a child; its exit status, or minus its signal. */
static inline int in_child(int (*body)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(body());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, drop_root)

#endif
