/* dnn.h - the machine that runs layers: kernels of one instruction set, one team of
 * threads.
 *
 * A struct cf_dnn and every layer opened with it belong to one thread at a time; that
 * thread leads the team. All arrays are float, row-major, channels last ([rows, c],
 * [h, w, c]); a pointer may be unaligned unless said otherwise. Results depend on
 * weights, inputs, build and instruction set alone: never on the number of threads or on
 * the rows beside a row. Inside a call every thread that computes flushes subnormals to
 * zero and takes them for zero; afterwards all have the mode they had. */
#ifndef CF_DNN_DNN_H
#define CF_DNN_DNN_H

#include "base/error.h"

enum cf_cpu { CF_CPU_AUTO, CF_CPU_C, CF_CPU_AVX2, CF_CPU_AVX512 };

struct cf_dnn; /* engine of oneDNN, kernel table, team */

/* level CF_CPU_AUTO takes the best that the processor has. oneDNN is held to the same
 * level (its limit is per process: the first open decides, a later one with another level
 * is CF_ECONFIG). CF_ECPU names what the processor lacks. threads >= 1. */
enum cf_status cf_dnn_open(struct cf_dnn **dnn, enum cf_cpu level, int threads,
                           struct cf_error *err);
void cf_dnn_close(struct cf_dnn *dnn);

int cf_dnn_threads(const struct cf_dnn *dnn);
/* Another number of threads for all that follows; layers that are open stay open and give
 * the same bytes. A process that means to fork opens its machine and layers with one
 * thread, so that there is no team which the child would wait for in vain, and the child
 * asks for more. On failure the number stays as it was. */
enum cf_status cf_dnn_set_threads(struct cf_dnn *dnn, int threads, struct cf_error *err);

/* The NUMA node whose cores the team is held to; 0 until said. Machines of one node may
 * share what is packed for them. */
void cf_dnn_settle(struct cf_dnn *dnn, int node);

/* Around many calls of the leading thread, which spares them rounds through the team: all
 * but the leader flush subnormals from the beginning to the end, the leader in each call.
 * Not nested. */
void cf_dnn_begin(struct cf_dnn *dnn);
void cf_dnn_end(struct cf_dnn *dnn);

enum cf_cpu cf_dnn_level(const struct cf_dnn *dnn);

/* "c", "avx2", "avx512" (NULL or "" : auto). CF_EUSAGE for another word. */
enum cf_status cf_cpu_parse(enum cf_cpu *level, const char *word, struct cf_error *err);
const char *cf_cpu_name(enum cf_cpu level);
/* What the processor and the system offer. */
enum cf_cpu cf_cpu_best(void);

/* "2.6.3" of the library in use. */
const char *cf_dnn_version(void);

/* Wall seconds spent in linear, attention, convolution and everything else of this
 * machine's calls since it was opened (else is what the three do not cover). */
struct cf_dnn_times {
    double linear, attn, conv, other;
};
struct cf_dnn_times cf_dnn_times(const struct cf_dnn *dnn);

#endif
