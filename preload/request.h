/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's ring request: read from its memory, deepened, written back. */
#ifndef REQUEST_H
#define REQUEST_H

#include <linux/if_packet.h>
#include <stdint.h>
#include <sys/socket.h>

/* Bytes between memory that may not be there or not be writable: 0 or -errno, no signal. */
int copy_checked(void *to, const void *from, size_t bytes);

/* How many bytes of a request the socket's TPACKET version takes. */
socklen_t request_bytes(int fd);

static inline uint64_t request_ring_bytes(const struct tpacket_req3 *req)
{
	return (uint64_t)req->tp_block_size * req->tp_block_nr;
}

/* The same frames in each of another number of blocks. */
void request_set_blocks(struct tpacket_req3 *req, uint32_t nr);

/* More blocks, at least `bytes` of ring. NULL, or why the program's geometry does not allow all of it. */
const char *request_deepen(struct tpacket_req3 *req, uint64_t bytes);

/* Fewer blocks, an eighth of what is above `floor`. 0 when there is nothing left to give up. */
int request_shrink(struct tpacket_req3 *req, const struct tpacket_req3 *floor);

/*
 * A program may hand one structure in for several sockets: a request that we deepened comes back as the one it
 * was. Under the table's lock.
 */
void request_remember(const struct tpacket_req3 *deepened, const struct tpacket_req3 *asked);
struct tpacket_req3 request_original(const struct tpacket_req3 *req);

#endif
