/* memory.h - how much memory there is: the one place that asks the machine.
 *
 * The least of: physical memory; the limits of the cgroups this process sits in (version
 * 2: memory.max of its own and of those above; version 1: memory.limit_in_bytes); what
 * Slurm gave the job on this node (SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times
 * SLURM_CPUS_ON_NODE). Of what was found, and not said by somebody, a sixteenth is left
 * alone: page tables (1/512 of what is mapped), buffers that the kernel charges to the
 * cgroup, what malloc keeps, and the shell and the neighbours, which a limit that is met
 * exactly would drive into the kernel's killer. */
#ifndef CF_BASE_MEMORY_H
#define CF_BASE_MEMORY_H

#include <stdint.h>

#include "base/error.h"

struct cf_memory {
    int64_t bytes;   /* that may be used, > 0 */
    const char *why; /* what decided: "--memory", "physical", "cgroup", "Slurm" */
};

/* asked: bytes that somebody said; 0: found out by the rules above. */
void cf_memory_find(struct cf_memory *m, int64_t asked);

/* Most bytes that this process ever had in memory at once (VmHWM), its share of mapped
 * files included; 0: unknown. */
int64_t cf_memory_peak(void);

/* "4.1 GiB" into buf; returns buf. */
enum { CF_BYTES_TEXT = 32 };
const char *cf_bytes_text(char buf[CF_BYTES_TEXT], double bytes);

#endif
