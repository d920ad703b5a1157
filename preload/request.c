/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "real.h"

/* af_packet keeps the active block's number in 16 bits: a ring of more blocks loses step. */
#define BLOCK_NR_MOST 65535u
/* libpcap and others multiply block size and number in 32 bits. */
#define RING_BYTES_MOST UINT32_MAX

static int copy_by_pipe(void *to, const void *from, size_t bytes)
{
	int pipe_fd[2];
	int rc = 0;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	if (write(pipe_fd[1], from, bytes) != (ssize_t)bytes || read(pipe_fd[0], to, bytes) != (ssize_t)bytes)
		rc = -EFAULT;
	real.close(pipe_fd[0]);
	real.close(pipe_fd[1]);
	return rc;
}

/* The kernel touches both sides: EFAULT where a copy of our own would be killed. Not every kernel has this call. */
int copy_checked(void *to, const void *from, size_t bytes)
{
	struct iovec source = { (void *)from, bytes }, target = { to, bytes };
	ssize_t copied = process_vm_writev(getpid(), &source, 1, &target, 1, 0);

	if (copied < 0 && errno != EFAULT)
		return copy_by_pipe(to, from, bytes);
	return copied == (ssize_t)bytes ? 0 : -EFAULT;
}

socklen_t request_bytes(int fd)
{
	int version = TPACKET_V1;
	socklen_t bytes = sizeof(version);

	getsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, &bytes);
	return version == TPACKET_V3 ? sizeof(struct tpacket_req3) : sizeof(struct tpacket_req);
}

void request_set_blocks(struct tpacket_req3 *req, uint32_t nr)
{
	req->tp_frame_nr = req->tp_frame_nr / req->tp_block_nr * nr;
	req->tp_block_nr = nr;
}

/* Rounded up, as far as both limits allow. */
static uint64_t blocks_for(uint64_t bytes, uint32_t block_size)
{
	uint64_t most = RING_BYTES_MOST / block_size;
	uint64_t nr = bytes / block_size + (bytes % block_size != 0);

	if (most > BLOCK_NR_MOST)
		most = BLOCK_NR_MOST;
	return nr < most ? nr : most;
}

const char *request_deepen(struct tpacket_req3 *req, uint64_t bytes)
{
	uint64_t nr;

	if (!req->tp_block_size)
		return "its blocks are of 0 bytes";
	if (req->tp_frame_nr % req->tp_block_nr)
		return "its frames do not divide evenly among its blocks";
	nr = blocks_for(bytes, req->tp_block_size);
	if (req->tp_frame_nr / req->tp_block_nr > UINT32_MAX / (nr ? nr : 1))
		return "the number of frames would not fit in 32 bits";
	if (nr > req->tp_block_nr)
		request_set_blocks(req, nr);
	if (request_ring_bytes(req) >= bytes)
		return NULL;
	if (nr == BLOCK_NR_MOST)
		return "a ring has at most 65535 blocks, and the program chooses their size";
	return "many programs, libpcap too, count a ring's bytes in 32 bits";
}

int request_shrink(struct tpacket_req3 *req, const struct tpacket_req3 *floor)
{
	uint32_t above = req->tp_block_nr - floor->tp_block_nr;

	if (!above)
		return 0;
	request_set_blocks(req, req->tp_block_nr - (above + 7) / 8);
	return 1;
}

/* The newest of the deepened requests that programs were left with, each over the oldest. */
#define DEEPENED_NR 16u

static struct {
	struct tpacket_req3 deepened, asked;
} known[DEEPENED_NR];
static unsigned newest;

static int same(const struct tpacket_req3 *one, const struct tpacket_req3 *other)
{
	return !memcmp(one, other, sizeof(*one));
}

void request_remember(const struct tpacket_req3 *deepened, const struct tpacket_req3 *asked)
{
	if (same(&known[newest].deepened, deepened) && same(&known[newest].asked, asked))
		return;
	newest = (newest + 1) % DEEPENED_NR;
	known[newest].deepened = *deepened;
	known[newest].asked = *asked;
}

struct tpacket_req3 request_original(const struct tpacket_req3 *req)
{
	for (unsigned back = 0; back < DEEPENED_NR; back++) {
		unsigned at = (newest - back) % DEEPENED_NR;

		if (same(&known[at].deepened, req))
			return known[at].asked;
	}
	return *req;
}
