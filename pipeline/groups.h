/* groups.h - how many groups of threads a worker has, and which cores each of them.
 *
 * A group computes images of its own; its threads share each product. More groups wait
 * less at barriers, fewer end an image sooner and take less memory. So:
 *
 * - No group spans NUMA nodes: a node has one group at least, and weights of its own, as
 *   far as there is memory for them. Without a processor for every thread, or where the
 *   mask has more cores than there are threads, nothing is known about who computes
 *   where, and the machine counts as one node.
 * - A group has one thread for each CF_GROUP_SHARE of its weights, or for each part as
 *   large as a core's share of the caches, whichever is more, one at least: threads in
 *   proportion to the weights, so that images of small and large models take about as
 *   long. Measured with two cores, two groups of one thread against one of two: a model
 *   of 9 MiB makes 10 to 30 % more images, one of 700 MiB as many to 14 % more. Larger
 *   models pay with memory for images, and with waiting for them.
 * - There are no more groups than images for whose work there is memory.
 * - Beside several groups the text encoder has threads of its own where its work is worth
 *   one of eight or more; otherwise it runs between two of their runs, on as many as its
 *   weights are worth, and so does one of a single group, on its threads.
 *
 * There are never more busy threads than were asked for, and no image depends on any of
 * this. */
#ifndef CF_PIPELINE_GROUPS_H
#define CF_PIPELINE_GROUPS_H

#include "base/topology.h"

enum { CF_GROUP_SHARE = 384 << 20 };

/* Threads are held to the cores of their group: where it helps, that is with several NUMA
 * nodes; never; or with any number of groups. Never where the threads are not as many as
 * the cores of the mask: then others may be meant to use them too. */
enum cf_bind { CF_BIND_AUTO, CF_BIND_NONE, CF_BIND_CORES };

/* "auto", "none" or "cores"; CF_EUSAGE about --bind. */
enum cf_status cf_bind_parse(const char *word, enum cf_bind *bind, struct cf_error *err);

struct cf_groups_ask {
    int threads; /* in all, >= 1 */
    int groups;  /* asked for, 0: choose; at most as many as threads are made */
    enum cf_bind bind;
    bool rationed;       /* a cgroup's quota of CPU time: others use these cores too */
    bool together;       /* no group by node: the process is held to its cores already */
    int most;            /* images that fit in memory side by side, 0: not known */
    double weights;      /* bytes of weights behind an image */
    double own;          /* bytes that another copy of them takes */
    double room;         /* bytes that all copies may take */
    double text_weights; /* bytes, of the text encoder */
    double text_work;    /* of encoding a prompt, as a part of the work on its image */
};

struct cf_group_place {
    int threads, node;
    int first, cores; /* of the topology: cores [first, first + cores) */
};

struct cf_groups {
    int n;       /* 1 .. threads */
    int encoder; /* threads of the text encoder, >= 1, where there are several groups ...
                  */
    bool beside; /* ... which runs while they do, not between their runs */
    bool bound;
    struct cf_group_place *place; /* [n], owned */
    char why[200];                /* one line for the log */
};

/* Pure: of the topology and the question alone. CF_ENOMEM. */
enum cf_status cf_groups_choose(struct cf_groups *g, const struct cf_topology *t,
                                const struct cf_groups_ask *ask, struct cf_error *err);
void cf_groups_free(struct cf_groups *g); /* a zeroed one is fine */

#endif
