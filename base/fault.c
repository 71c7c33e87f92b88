#include "base/fault.h"

#ifdef CF_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Whether the word [s, end), "ACTION:PLACE" or "ACTION:PLACE=N", speaks of this. */
static bool speaks_of(const char *s, const char *end, const char *action,
                      const char *place, long long n)
{
    size_t a = strlen(action), p = strlen(place);

    if ((size_t)(end - s) < a + 1 + p || strncmp(s, action, a) != 0 || s[a] != ':' ||
        strncmp(s + a + 1, place, p) != 0)
        return false;
    s += a + 1 + p;
    return s == end || (*s == '=' && strtoll(s + 1, NULL, 10) == n);
}

bool cf_fault_hit(const char *action, const char *place, long long n)
{
    const char *s = getenv("CFGEN_FAULT");

    while (s && *s) {
        const char *end = s + strcspn(s, ",");

        if (speaks_of(s, end, action, place, n))
            return true;
        s = *end ? end + 1 : end;
    }
    return false;
}

bool cf_fault_turn(const char *place)
{
    static atomic_llong turn;

    return getenv("CFGEN_FAULT") &&
           cf_fault_hit("fail", place, atomic_fetch_add(&turn, 1) + 1);
}

static void wait_for_release(void)
{
    static atomic_flag waited = ATOMIC_FLAG_INIT;
    const struct timespec step = {0, 5 * 1000 * 1000};
    const char *file = getenv("CFGEN_FAULT_FILE");
    int fd = file && !atomic_flag_test_and_set(&waited)
                 ? open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0666)
                 : -1;

    if (fd < 0)
        return;
    close(fd);
    for (int i = 0; i < 60 * 200 && access(file, F_OK) == 0; i++)
        nanosleep(&step, NULL);
}

void cf_fault_point(const char *place, long long n)
{
    if (cf_fault_hit("pause", place, n))
        wait_for_release();
    if (cf_fault_hit("segv", place, n))
        raise(SIGSEGV);
    if (cf_fault_hit("abort", place, n))
        abort();
    if (cf_fault_hit("exit", place, n))
        _exit(3);
}

#endif
