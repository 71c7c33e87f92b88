#include "jobs/fs.h"

#include <errno.h>
#include <stddef.h>
#include <sys/vfs.h>

const char *cf_fs_shared(unsigned long magic)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } table[] = {
        {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "CIFS"},
        {0xfe534d42, "SMB2"},   {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
        {0x19830326, "BeeGFS"}, {0x00c36400, "CephFS"}, {0x01021997, "9p"},
        {0x65735546, "FUSE"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].magic == (magic & 0xffffffff))
            return table[i].name;
    return NULL;
}

enum cf_status cf_fs_check_local(const char *dir, struct cf_error *err)
{
    const char *name;
    struct statfs fs;

    if (statfs(dir, &fs) != 0)
        return cf_fail_errno(err, errno, "%s", dir);
    name = cf_fs_shared((unsigned long)fs.f_type);
    if (name)
        return cf_fail(
            err, CF_ECONFIG,
            "%s lies on %s, a file system shared between machines, where a queue "
            "can be damaged without notice: put it on a local disk of one node, "
            "or one queue per node, or pass --unsafe-shared-db if only one host "
            "ever uses it",
            dir, name);
    return CF_OK;
}
