/* cpu.h - may this process run the kernels of an instruction set? */
#ifndef CF_DNN_CPU_H
#define CF_DNN_CPU_H

#include "dnn/dnn.h"

/* AUTO becomes the best level; another level is checked against the processor and the
 * operating system. CF_ECPU names the first feature that is missing. */
enum cf_status cf_cpu_resolve(enum cf_cpu *level, struct cf_error *err);

#endif
