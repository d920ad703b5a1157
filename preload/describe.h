/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said of a ring. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "table.h"

/* From level 2 on: what each rung of the ladder said; err is the outcome's, NULL for success. */
void describe_attempt(int fd, int which, const struct tpacket_req3 *req, const struct hp_grant *grant,
		      const struct hp_err *err);

/* From level 1 on: a ring that has just been mapped. */
void describe_ring(int fd, int which, const struct ring *ring);

/* From level 1 on, always under strict: the ring could not be made. */
void describe_refusal(int fd, int which, const struct ring *ring, const struct hp_err *err);

#endif
