#include "pipeline/groups.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/team.h"

enum { ENCODER_FROM = 8 /* threads */ };

enum cf_status cf_bind_parse(const char *word, enum cf_bind *bind, struct cf_error *err)
{
    static const char *const words[] = {"auto", "none", "cores", NULL};
    int n;

    CF_TRY(cf_parse_word(word, words, &n, "--bind", err));
    *bind = (enum cf_bind)n;
    return CF_OK;
}

/* What is being decided: nodes with their threads and groups. */
struct draft {
    const struct cf_topology *t;
    const struct cf_groups_ask *ask;
    int nodes;
    struct domain {
        int first, cores, threads, groups;
    } * node; /* [t->nodes] */
};

static int groups_of(const struct draft *d)
{
    int n = 0;

    for (int i = 0; i < d->nodes; i++)
        n += d->node[i].groups;
    return n;
}

/* ---- where threads may be told to go ---- */

/* All cores of the mask are ours alone, one for each thread. */
static bool covers(const struct draft *d)
{
    return d->ask->threads == d->t->cores;
}

static void one_node(struct draft *d)
{
    d->nodes = 1;
    d->node[0] = (struct domain){.cores = d->t->cores, .threads = d->ask->threads};
}

static void by_nodes(struct draft *d)
{
    d->nodes = d->t->nodes;
    memset(d->node, 0, (size_t)d->nodes * sizeof *d->node);
    for (int i = 0; i < d->t->cores; i++) {
        struct domain *at = &d->node[d->t->core[i].node];

        if (!at->cores++)
            at->first = i;
        at->threads++;
    }
}

/* ---- how many ---- */

/* Threads that so many bytes of weights are worth. */
static int worth(const struct draft *d, double weights)
{
    double share =
        fmax(CF_GROUP_SHARE, (double)d->t->l2 + (double)d->t->l3 / (double)d->t->cores);
    double n = floor(weights / share);

    return n < 1 ? 1 : n < CF_MAX_THREADS ? (int)n : CF_MAX_THREADS;
}

static void count_groups(struct draft *d, int want)
{
    for (int i = 0; i < d->nodes; i++) {
        int n = d->node[i].threads / want;

        d->node[i].groups = n < 1 ? 1 : n;
    }
}

/* As asked: as evenly over the nodes as can be. */
static void count_asked(struct draft *d)
{
    int all = d->ask->groups < d->ask->threads ? d->ask->groups : d->ask->threads;

    if (all < d->nodes)
        one_node(d);
    for (int i = 0; i < d->nodes; i++) {
        int n = all * (i + 1) / d->nodes - all * i / d->nodes;

        d->node[i].groups = n < d->node[i].threads ? n : d->node[i].threads;
    }
}

/* Where there is no memory for a copy of the weights on each node, they are read across
 * nodes; where there is none for an image on each, all compute the same ones. */
static void count_chosen(struct draft *d)
{
    int most = d->ask->most > 0 ? d->ask->most : CF_MAX_THREADS;
    int want = worth(d, d->ask->weights);

    if (d->nodes * d->ask->own > d->ask->room || most < d->nodes)
        one_node(d);
    count_groups(d, want);
    while (groups_of(d) > most)
        count_groups(d, ++want);
}

/* What its work is worth, taken from the last node; 0: it runs between. */
static int take_share(struct draft *d)
{
    double work = d->ask->text_work;
    int share = (int)lround(d->ask->threads * work / (1 + work));
    struct domain *last = &d->node[d->nodes - 1];

    if (groups_of(d) < 2 || d->ask->threads < ENCODER_FROM)
        return 0;
    if (share > last->threads / 2)
        share = last->threads / 2;
    last->threads -= share;
    if (last->groups > last->threads)
        last->groups = last->threads;
    return share;
}

static void give_encoder(struct cf_groups *g, struct draft *d)
{
    int all = worth(d, d->ask->text_weights), share = take_share(d);

    all = all < d->ask->threads ? all : d->ask->threads;
    g->beside = share > 0;
    g->encoder = share ? share : all;
}

/* ---- the outcome ---- */

static enum cf_status settle(struct cf_groups *g, const struct draft *d,
                             struct cf_error *err)
{
    int at = 0;

    g->n = groups_of(d);
    g->place = cf_calloc((size_t)g->n, sizeof *g->place, err);
    if (!g->place)
        return CF_ENOMEM;
    for (int i = 0; i < d->nodes; i++) {
        const struct domain *node = &d->node[i];

        for (int k = 0; k < node->groups; k++) {
            int from = node->threads * k / node->groups,
                to = node->threads * (k + 1) / node->groups;

            g->place[at++] = (struct cf_group_place){.threads = to - from,
                                                     .node = i,
                                                     .first = node->first + from,
                                                     .cores = to - from};
        }
    }
    return CF_OK;
}

/* CF_BIND_CORES that cannot be is told as well. */
static void tell(struct cf_groups *g, const struct draft *d)
{
    const struct cf_groups_ask *a = d->ask;
    int least = g->place[0].threads, most = least, n;
    char size[24];

    for (int i = 1; i < g->n; i++) {
        least = g->place[i].threads < least ? g->place[i].threads : least;
        most = g->place[i].threads > most ? g->place[i].threads : most;
    }
    if (least == most)
        snprintf(size, sizeof size, "%d", most);
    else
        snprintf(size, sizeof size, "%d to %d", least, most);
    n = snprintf(g->why, sizeof g->why,
                 "%d group%s x %s thread%s, %d core%s, %d NUMA node%s", g->n,
                 g->n > 1 ? "s" : "", size, most > 1 ? "s" : "", d->t->cores,
                 d->t->cores > 1 ? "s" : "", d->t->nodes, d->t->nodes > 1 ? "s" : "");
    if (a->groups)
        n += snprintf(g->why + n, sizeof g->why - (size_t)n, ", as asked");
    else
        n += snprintf(g->why + n, sizeof g->why - (size_t)n,
                      ", %.0f MiB of weights are worth %d", a->weights / (1 << 20),
                      worth(d, a->weights));
    if (g->beside)
        n +=
            snprintf(g->why + n, sizeof g->why - (size_t)n, ", %d for texts", g->encoder);
    if (g->bound)
        snprintf(g->why + n, sizeof g->why - (size_t)n, ", bound");
    else if (a->bind == CF_BIND_CORES)
        snprintf(g->why + n, sizeof g->why - (size_t)n, ", not bound: %s",
                 !d->t->here ? "the cores are not of this machine"
                 : covers(d) ? "one group has them all"
                             : "threads and cores of the mask are not as many");
}

enum cf_status cf_groups_choose(struct cf_groups *g, const struct cf_topology *t,
                                const struct cf_groups_ask *ask, struct cf_error *err)
{
    struct draft d = {.t = t, .ask = ask};
    enum cf_status st;

    memset(g, 0, sizeof *g);
    d.node = cf_calloc((size_t)t->nodes, sizeof *d.node, err);
    if (!d.node)
        return CF_ENOMEM;
    if (covers(&d) && !ask->together && !ask->rationed)
        by_nodes(&d);
    else
        one_node(&d);
    if (ask->groups)
        count_asked(&d);
    else
        count_chosen(&d);
    give_encoder(g, &d);
    st = settle(g, &d, err);
    if (st == CF_OK) {
        g->bound =
            covers(&d) && t->here && g->n > 1 &&
            (ask->bind == CF_BIND_CORES || (ask->bind == CF_BIND_AUTO && d.nodes > 1));
        tell(g, &d);
    }
    cf_free(d.node);
    return st;
}

void cf_groups_free(struct cf_groups *g)
{
    cf_free(g->place);
    memset(g, 0, sizeof *g);
}
