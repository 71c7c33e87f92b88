/* leader.h - the thread that leads a group's team for as long as the group lives.
 *
 * libgomp keeps a pool of threads for each thread that leads parallel regions: the leader
 * that stays keeps its team, and the team started by a bound leader is bound as it is.
 * While there is nothing to do it sleeps. */
#ifndef CF_PIPELINE_LEADER_H
#define CF_PIPELINE_LEADER_H

#include <sched.h>

#include "base/error.h"

struct cf_leader;

/* cpus: where it and its team may run; NULL: where the caller may. What cannot be bound
 * runs unbound. CF_ENOMEM. */
enum cf_status cf_leader_start(struct cf_leader **leader, const cpu_set_t *cpus,
                               struct cf_error *err);
/* Waits for the end of what it does. NULL is fine. */
void cf_leader_stop(struct cf_leader *leader);

/* It calls fn(arg), and the caller goes on; then cf_leader_wait before the next one. */
void cf_leader_begin(struct cf_leader *leader, void (*fn)(void *arg), void *arg);
void cf_leader_wait(struct cf_leader *leader);

#endif
