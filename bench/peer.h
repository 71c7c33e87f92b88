/* peer.h - another program that makes the same images, to be timed in turns with ours.
 *
 * It is a shell command that gets the model's directory in $MODEL and the number of
 * threads in $THREADS. It writes one line about itself when it is ready; from then on it
 * makes one image for every line it reads, and writes a JSON object with its "seconds",
 * text features to WebP. */
#ifndef CF_BENCH_PEER_H
#define CF_BENCH_PEER_H

#include "base/error.h"

struct cf_peer;

/* Waits until it is ready. about [size]: its line. */
enum cf_status cf_peer_open(struct cf_peer **peer, const char *command, const char *model,
                            int threads, char *about, int size, struct cf_error *err);
/* One image. */
enum cf_status cf_peer_run(struct cf_peer *peer, double *seconds, struct cf_error *err);
void cf_peer_close(struct cf_peer *peer); /* NULL is fine */

#endif
