#include "bench/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"

extern char **environ;

enum { LINE = 4096, VALUES = 64 };

struct cf_peer {
    pid_t pid;
    FILE *to, *from;
};

/* The ends of the pipes that are the child's are 0 and 1 there. */
static int spawn(pid_t *pid, const char *command, int in, int out)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    int e;

    if ((e = posix_spawn_file_actions_init(&files)) || (e = posix_spawnattr_init(&attr)))
        return e;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    e = posix_spawnp(pid, "sh", &files, &attr, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return e;
}

static enum cf_status connect_peer(struct cf_peer *p, const char *command,
                                   struct cf_error *err)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1}, e;

    if (pipe2(to, O_CLOEXEC) != 0)
        return cf_fail_errno(err, errno, "peer");
    if (pipe2(from, O_CLOEXEC) != 0) {
        e = errno;
        close(to[0]);
        close(to[1]);
        return cf_fail_errno(err, e, "peer");
    }
    e = spawn(&p->pid, command, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    p->to = fdopen(to[1], "w");
    p->from = fdopen(from[0], "r");
    if (e || !p->to || !p->from)
        return cf_fail_errno(err, e ? e : errno, "peer: sh");
    return CF_OK;
}

static enum cf_status read_line(struct cf_peer *p, char *line, int size,
                                struct cf_error *err)
{
    if (!fgets(line, size, p->from))
        return cf_fail(err, CF_EIO, "the peer ended, or said nothing");
    line[strcspn(line, "\n")] = '\0';
    return CF_OK;
}

enum cf_status cf_peer_open(struct cf_peer **peer, const char *command, const char *model,
                            int threads, char *about, int size, struct cf_error *err)
{
    struct cf_peer *p = cf_calloc(1, sizeof *p, err);
    enum cf_status st;
    char number[16];

    if (!p)
        return CF_ENOMEM;
    snprintf(number, sizeof number, "%d", threads);
    setenv("MODEL", model, 1);
    setenv("THREADS", number, 1);
    st = connect_peer(p, command, err);
    if (st == CF_OK)
        st = read_line(p, about, size, err);
    if (st != CF_OK) {
        cf_peer_close(p);
        return st;
    }
    *peer = p;
    return CF_OK;
}

enum cf_status cf_peer_run(struct cf_peer *p, double *seconds, struct cf_error *err)
{
    char line[LINE];
    enum cf_status st;
    json_t *said;

    if (fputs("\n", p->to) < 0 || fflush(p->to) != 0)
        return cf_fail_errno(err, errno, "peer");
    CF_TRY(read_line(p, line, sizeof line, err));
    said = cf_json_parse(line, strlen(line), VALUES, "peer", err);
    if (!said)
        return err->status;
    st = cf_json_num(said, "seconds", 1e-9, 1e9, seconds, "peer", err);
    json_decref(said);
    return st;
}

/* Without input it ends by itself. */
void cf_peer_close(struct cf_peer *p)
{
    if (!p)
        return;
    if (p->to)
        fclose(p->to);
    if (p->from)
        fclose(p->from);
    while (p->pid > 0 && waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    cf_free(p);
}
