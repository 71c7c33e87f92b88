#include "pipeline/stop.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

void cf_stop_signals(sigset_t *set)
{
    static const int list[] = {SIGTERM, SIGINT, SIGUSR1, SIGXCPU, SIGUSR2};
    struct sigaction hup;

    sigemptyset(set);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        sigaddset(set, list[i]);
    if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
}

void cf_stop_ask(struct cf_stop *s, int sig)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&s->asked, &none, sig))
        return;
    cf_cancel_set(&s->claims);
}

static void *wait_for_signals(void *arg)
{
    struct cf_stop *s = arg;
    struct timespec poll = {0, 50 * 1000 * 1000};
    long long deadline = 0;
    sigset_t set;

    cf_stop_signals(&set);
    while (!atomic_load(&s->quit)) {
        int sig = sigtimedwait(&set, NULL, &poll);
        long long now = cf_clock_ms();

        if ((sig == SIGTERM || sig == SIGINT) && atomic_load(&s->asked))
            cf_cancel_set(&s->cancel);
        if (sig > 0 && sig != SIGUSR2)
            cf_stop_ask(s, sig);
        if (!deadline && atomic_load(&s->asked)) {
            deadline = now + 1000LL * s->grace;
            if (atomic_load(&s->busy_until) > deadline)
                cf_cancel_set(&s->cancel);
        }
        if (deadline && now > deadline)
            cf_cancel_set(&s->cancel);
        if (s->tick)
            s->tick(s->ctx, sig == SIGUSR2);
    }
    return NULL;
}

enum cf_status cf_stop_start(struct cf_stop *s, int grace,
                             void (*tick)(void *ctx, bool now), void *ctx,
                             struct cf_error *err)
{
    sigset_t set;
    int e;

    memset(s, 0, sizeof *s);
    s->grace = grace;
    s->tick = tick;
    s->ctx = ctx;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    cf_stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    e = pthread_create(&s->thread, NULL, wait_for_signals, s);
    if (e)
        return cf_fail(err, CF_ENOMEM, "signal thread: %s", strerror(e));
    return CF_OK;
}

void cf_stop_end(struct cf_stop *s)
{
    atomic_store(&s->quit, 1);
    pthread_join(s->thread, NULL);
}

bool cf_stop_asked(struct cf_stop *s)
{
    return atomic_load(&s->asked) != 0;
}
