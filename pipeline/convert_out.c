#include "config.h"

#include "pipeline/convert_out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "pipeline/stop.h"

#define MARK ".converting"

enum { OPEN_DIRS = 8, REMOVALS = 1000 };

struct cf_out {
    char *path, *above, *part;
    int lock;      /* the mark in part; -1 where part is not ours */
    bool replaces; /* path holds a model that goes */
    pthread_t watch;
    bool watched, done;
    pthread_mutex_t turn; /* over lock, done and the names that part and path lead to */
};

/* ---- looking ---- */

/* Names in a directory but "." and ".."; -1 where it cannot be read. */
static int count_names(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;

    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static bool holds(const char *dir, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static enum cf_status look(struct cf_out *o, bool force, struct cf_error *err)
{
    struct stat info;

    if (stat(o->above, &info) != 0 || !S_ISDIR(info.st_mode))
        return cf_fail(err, CF_ECREAT, "%.200s: %.200s is no directory", o->path,
                       o->above);
    if (lstat(o->path, &info) != 0)
        return errno == ENOENT ? CF_OK : cf_fail_errno(err, errno, "%.300s", o->path);
    if (!S_ISDIR(info.st_mode))
        return cf_fail(err, CF_ECREAT, "%.300s: exists and is no directory", o->path);
    if (count_names(o->path) == 0)
        return CF_OK;
    if (!holds(o->path, "model.json"))
        return cf_fail(err, CF_ECREAT,
                       "%.300s: exists, and is no model that --force could replace",
                       o->path);
    if (!force)
        return cf_fail(err, CF_ECREAT, "%.300s: exists; --force replaces it", o->path);
    o->replaces = true;
    return CF_OK;
}

/* The name without slashes at its end, which must be a name. */
static enum cf_status split(struct cf_out *o, const char *path, struct cf_error *err)
{
    size_t len = strlen(path);
    const char *last;

    while (len > 1 && path[len - 1] == '/')
        len--;
    o->path = cf_strndup(path, len, err);
    if (!o->path)
        return CF_ENOMEM;
    last = strrchr(o->path, '/');
    o->above = last ? cf_strndup(o->path, (size_t)(last - o->path) + 1, err)
                    : cf_strdup(".", err);
    o->part = cf_format(err, "%s.partial", o->path);
    if (!o->above || !o->part)
        return CF_ENOMEM;
    last = last ? last + 1 : o->path;
    if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return cf_fail(err, CF_EUSAGE, "\"%.200s\" is no name for a new directory", path);
    return CF_OK;
}

/* ---- removing ---- */

/* All but the directory itself and its mark. */
static int remove_one(const char *path, const struct stat *info, int type,
                      struct FTW *where)
{
    (void)info;
    if (where->level == 0 || (where->level == 1 && strcmp(path + where->base, MARK) == 0))
        return 0;
    return type == FTW_DP || type == FTW_D ? rmdir(path) : unlink(path);
}

/* The mark goes last: what a killed removal leaves is still known as ours. */
static enum cf_status remove_tree(const char *path, struct cf_error *err)
{
    char *mark = cf_format(err, "%s/" MARK, path);
    enum cf_status status = mark ? CF_OK : CF_ENOMEM;

    if (mark &&
        (nftw(path, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS) != 0 ||
         (unlink(mark) != 0 && errno != ENOENT) || rmdir(path) != 0) &&
        errno != ENOENT)
        status = cf_fail_errno(err, errno, "%.300s: remove", path);
    cf_free(mark);
    return status;
}

/* True where fd is still what the name leads to: whoever held the lock before may have
 * removed it. */
static bool is_still(int fd, const char *name)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(name, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* ---- signals ---- */

/* What ends a program that does not ask; what was ignored from the start stays so.
 * SIGUSR2, which does too, also ends the watch. */
static void ending_signals(sigset_t *set)
{
    struct sigaction now;

    cf_stop_signals(set);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(set, sig) == 1 && sigaction(sig, NULL, &now) == 0 &&
            now.sa_handler == SIG_IGN)
            sigdelset(set, sig);
    sigaddset(set, SIGUSR2);
}

static void block_signals(void)
{
    sigset_t set;

    ending_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void cf_out_signals(void)
{
    signal(SIGXFSZ, SIG_IGN);
    block_signals();
}

/* The writer goes on meanwhile and may make a file where one was just removed, until its
 * directory is gone. */
static void remove_under_writer(const struct cf_out *o)
{
    struct cf_error ignored = {0};

    for (int i = 0; i < REMOVALS && access(o->part, F_OK) == 0; i++)
        remove_tree(o->part, &ignored);
}

/* Waits for a signal, and ends the process by it with nothing half made left. turn is
 * never given back: the writer, whose files are gone, stops at cf_out_close instead of
 * telling of that. */
static void *watch(void *arg)
{
    struct cf_out *o = arg;
    sigset_t set;
    int sig;

    ending_signals(&set);
    if (sigwait(&set, &sig) != 0)
        return NULL;
    pthread_mutex_lock(&o->turn);
    if (o->done && sig == SIGUSR2) {
        pthread_mutex_unlock(&o->turn);
        return NULL;
    }
    if (o->lock >= 0)
        remove_under_writer(o);
    signal(sig, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(sig);
    return NULL;
}

enum cf_status cf_out_open(struct cf_out **out, const char *path, bool force,
                           struct cf_error *err)
{
    struct cf_out *o = cf_calloc(1, sizeof *o, err);
    int e;

    *out = NULL;
    if (!o)
        return CF_ENOMEM;
    o->lock = -1;
    pthread_mutex_init(&o->turn, NULL);
    block_signals();
    e = pthread_create(&o->watch, NULL, watch, o);
    o->watched = e == 0;
    if (e)
        cf_fail(err, CF_ENOMEM, "signal thread: %s", strerror(e));
    if (e || split(o, path, err) != CF_OK || look(o, force, err) != CF_OK) {
        cf_out_close(o);
        return err->status;
    }
    *out = o;
    return CF_OK;
}

/* ---- making ---- */

static enum cf_status take_lock(struct cf_out *o, struct cf_error *err)
{
    char *mark = cf_out_path(o, MARK, err);
    enum cf_status status = CF_OK;

    if (!mark)
        return CF_ENOMEM;
    o->lock = open(mark, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (o->lock < 0)
        status = cf_fail_errno(err, errno, "%.300s: create", o->part);
    else if ((flock(o->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
             !is_still(o->lock, mark)) {
        close(o->lock);
        o->lock = -1;
        status = cf_fail(err, CF_EBUSY, "%.300s: another conversion to %.100s is running",
                         o->part, o->path);
    }
    cf_free(mark);
    return status;
}

/* Removes what a killed conversion left; the lock, taken on its mark, is given up with
 * it. */
static enum cf_status clear(struct cf_out *o, struct cf_error *err)
{
    struct stat info;

    if (lstat(o->part, &info) != 0)
        return errno == ENOENT ? CF_OK : cf_fail_errno(err, errno, "%.300s", o->part);
    if (!S_ISDIR(info.st_mode) || (count_names(o->part) != 0 && !holds(o->part, MARK)))
        return cf_fail(err, CF_ECREAT, "%.300s: exists, and no conversion left it",
                       o->part);
    CF_TRY(take_lock(o, err));
    CF_TRY(remove_tree(o->part, err));
    close(o->lock);
    o->lock = -1;
    return CF_OK;
}

static enum cf_status need_space(const struct cf_out *o, size_t bytes,
                                 struct cf_error *err)
{
    struct statvfs fs;
    double there;

    if (statvfs(o->above, &fs) != 0)
        return CF_OK; /* the writer asks again, for each part */
    there = (double)fs.f_bavail * (double)fs.f_frsize;
    if ((double)bytes <= there)
        return CF_OK;
    return cf_fail(err, CF_ENOSPC,
                   "%.200s: the model needs %zu bytes (%.1f GB), %.1f GB are free there",
                   o->path, bytes, (double)bytes / 1e9, there / 1e9);
}

static enum cf_status begin(struct cf_out *o, size_t bytes, struct cf_error *err)
{
    CF_TRY(clear(o, err));
    CF_TRY(need_space(o, bytes, err));
    if (mkdir(o->part, 0777) != 0) {
        if (errno == EEXIST)
            return cf_fail(err, CF_EBUSY,
                           "%.300s: another conversion to %.100s is running", o->part,
                           o->path);
        return cf_fail_errno(err, errno, "%.300s: create", o->part);
    }
    return take_lock(o, err);
}

enum cf_status cf_out_begin(struct cf_out *o, size_t bytes, struct cf_error *err)
{
    enum cf_status status;

    pthread_mutex_lock(&o->turn);
    status = begin(o, bytes, err);
    pthread_mutex_unlock(&o->turn);
    return status;
}

const char *cf_out_dir(const struct cf_out *o)
{
    return o->part;
}

char *cf_out_path(const struct cf_out *o, const char *name, struct cf_error *err)
{
    return cf_format(err, "%s/%s", o->part, name);
}

enum cf_status cf_out_mkdir(const struct cf_out *o, const char *name,
                            struct cf_error *err)
{
    char *path = cf_out_path(o, name, err);
    enum cf_status status = path ? CF_OK : CF_ENOMEM;

    if (path && mkdir(path, 0777) != 0)
        status = cf_fail_errno(err, errno, "%.300s: create", path);
    cf_free(path);
    return status;
}

enum cf_status cf_out_put(const struct cf_out *o, const char *name, const void *bytes,
                          size_t n, char hex[CF_DIGEST_HEX], struct cf_error *err)
{
    char *path = cf_out_path(o, name, err);
    enum cf_status status;
    int fd;

    if (!path)
        return CF_ENOMEM;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        status = cf_fail_errno(err, errno, "%.300s: create", path);
    else
        status = cf_file_write(fd, bytes, n, path, err);
    if (status == CF_OK && fsync(fd) != 0)
        status = cf_fail_errno(err, errno, "%.300s: sync", path);
    if (fd >= 0 && close(fd) != 0 && status == CF_OK)
        status = cf_fail_errno(err, errno, "%.300s: close", path);
    cf_free(path);
    if (status == CF_OK && hex)
        status = cf_digest_mem(bytes, n, hex, err);
    return status;
}

/* ---- publishing ---- */

static int sync_one(const char *path, const struct stat *info, int type,
                    struct FTW *where)
{
    (void)info, (void)where;
    return type == FTW_D && cf_file_sync_dir(path, NULL) != CF_OK ? -1 : 0;
}

/* Old and new model change names in one step, or where the file system cannot do that in
 * two. *old, which is fresh, is the name of the old one then. */
static enum cf_status exchange(struct cf_out *o, char **old, struct cf_error *err)
{
    if (renameat2(AT_FDCWD, o->part, AT_FDCWD, o->path, RENAME_EXCHANGE) == 0) {
        *old = cf_strdup(o->part, err);
        return *old ? CF_OK : CF_ENOMEM;
    }
    *old = cf_format(err, "%s.old", o->path);
    if (!*old)
        return CF_ENOMEM;
    if (rename(o->path, *old) != 0)
        return cf_fail_errno(err, errno, "%.200s: rename to %.200s", o->path, *old);
    if (rename(o->part, o->path) == 0)
        return CF_OK;
    cf_fail_errno(err, errno, "%.150s: rename to %.150s", o->part, o->path);
    if (rename(*old, o->path) != 0)
        cf_wrap(err, "the old model is %.100s now", *old);
    return err->status;
}

/* The old model goes when its successor is on disk. */
static enum cf_status replace(struct cf_out *o, struct cf_error *err)
{
    char *old = NULL, *mark = NULL;
    enum cf_status status = exchange(o, &old, err);

    if (status == CF_OK)
        status = cf_file_sync_dir(o->above, err);
    if (status == CF_OK) {
        mark = cf_format(err, "%s/" MARK, old);
        status = mark ? CF_OK : CF_ENOMEM;
    }
    if (status == CF_OK) {
        int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

        if (fd >= 0) /* nobody clears it meanwhile and makes one of that name */
            (void)flock(fd, LOCK_EX | LOCK_NB);
        status = remove_tree(old, err);
        if (fd >= 0)
            close(fd);
    }
    cf_free(mark);
    cf_free(old);
    return status;
}

/* The new name, and no mark below it. */
static enum cf_status name_it(struct cf_out *o, struct cf_error *err)
{
    char *mark;

    if (o->replaces)
        CF_TRY(replace(o, err));
    else if (rename(o->part, o->path) != 0)
        return cf_fail_errno(err, errno, "%.300s: rename to %.100s", o->part, o->path);
    mark = cf_format(err, "%s/" MARK, o->path);
    if (!mark)
        return CF_ENOMEM;
    unlink(mark);
    cf_free(mark);
    close(o->lock);
    o->lock = -1;
    return CF_OK;
}

enum cf_status cf_out_publish(struct cf_out *o, struct cf_error *err)
{
    enum cf_status status;

    if (nftw(o->part, sync_one, OPEN_DIRS, FTW_PHYS) != 0)
        return cf_fail_errno(err, errno, "%.300s: sync", o->part);
    pthread_mutex_lock(&o->turn);
    status = name_it(o, err);
    pthread_mutex_unlock(&o->turn);
    CF_TRY(status);
    CF_TRY(cf_file_sync_dir(o->path, err));
    return cf_file_sync_dir(o->above, err);
}

void cf_out_close(struct cf_out *o)
{
    struct cf_error ignored = {0};

    if (!o)
        return;
    pthread_mutex_lock(&o->turn);
    if (o->lock >= 0) {
        remove_tree(o->part, &ignored);
        close(o->lock);
        o->lock = -1;
    }
    o->done = true;
    pthread_mutex_unlock(&o->turn);
    if (o->watched) {
        pthread_kill(o->watch, SIGUSR2);
        pthread_join(o->watch, NULL);
    }
    pthread_mutex_destroy(&o->turn);
    cf_free(o->part);
    cf_free(o->above);
    cf_free(o->path);
    cf_free(o);
}
