/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "config.h"
#include "describe.h"
#include "mapping.h"
#include "real.h"
#include "report.h"
#include "request.h"
#include "table.h"

/* A ring being made. */
struct job {
	int fd;
	int which;
	int beside;		/* the socket has, or is to have, its other ring too */
	struct ring *ring;
};

static struct job job_for(struct packet_socket *socket, int fd, int which)
{
	return (struct job){ fd, which, socket->ring[which == RX ? TX : RX].made.tp_block_nr != 0, &socket->ring[which] };
}

static int on_hugetlb(const struct ring *ring)
{
	return ring->made.tp_block_nr && ring->grant.policy == HP_POLICY_HUGETLB;
}

static int take(const struct job *job, const struct tpacket_req3 *req, struct hp_err *err)
{
	struct ring *ring = job->ring;
	struct hp_want want = {
		.policy = config.policy,
		.strict = config.strict,
		.mount = config.mount,
		.tx = job->which == TX,
		.beside = job->beside,
		.req = req,
		.req_bytes = ring->req_bytes,
	};
	int rc = hp_grant_take(&ring->grant, job->fd, &want, err);

	describe_attempt(job->fd, job->which, req, &ring->grant, rc < 0 ? err : NULL);
	if (rc < 0)
		return rc;
	ring->made = *req;
	ring->mapped = 0;
	if (on_hugetlb(ring))
		identity_read(ring->grant.mem.fd, &ring->memory);
	return 0;
}

/* Where memory is short, a deepened ring gives up depth before the program hears of it. */
static int take_what_fits(const struct job *job, struct tpacket_req3 *req, struct hp_err *err)
{
	int rc;

	do {
		rc = take(job, req, err);
	} while (rc == -ENOMEM && !config.strict && request_shrink(req, &job->ring->asked));
	return rc;
}

static int retake(const struct job *job, const struct tpacket_req3 *req, struct hp_err *err)
{
	static const struct tpacket_req3 none;
	int option = job->which == TX ? PACKET_TX_RING : PACKET_RX_RING;

	if (job->ring->mapped)
		return hp_fail(err, EBUSY, "ring", "to be made anew in another way, but the program has mapped it");
	if (real.setsockopt(job->fd, SOL_PACKET, option, &none, sizeof(none)) < 0)
		return hp_fail(err, errno, "ring", "to be made anew in another way");
	ring_forget(job->ring);
	return take(job, req, err);
}

/*
 * A ring made anew in what the kernel maps by the socket. No smaller: the program knows its length by now. Where
 * that cannot be had, the program keeps the ring it has.
 */
static int leave_hugetlb(struct packet_socket *socket, int fd, int which, struct hp_err *err)
{
	struct job job = job_for(socket, fd, which);
	struct tpacket_req3 made = job.ring->made;
	struct hp_err lost;
	int rc;

	if (config.strict && config.policy == HP_POLICY_HUGETLB)
		return hp_fail(err, EBUSY, "ring", "to be made anew in another way, which HUGEPCAP_STRICT=1 forbids");
	job.beside = 1;
	rc = retake(&job, &made, err);
	if (rc == 0 || job.ring->made.tp_block_nr)
		return rc;
	job.beside = 0;
	if (take(&job, &made, &lost) < 0)
		describe_refusal(fd, which, job.ring, &lost);
	return rc;
}

/* Two rings share one mapping of the socket, so memory of ours under the first has to go when the second comes. */
static int make_room(struct packet_socket *socket, int fd, int which, struct hp_err *err)
{
	int other = which == RX ? TX : RX;

	return on_hugetlb(&socket->ring[other]) ? leave_hugetlb(socket, fd, other, err) : 0;
}

/* What to ask for in the program's place. -EINVAL under strict if that is not what was wished. */
static int deepen(int fd, const struct ring *ring, void *value, struct tpacket_req3 *req)
{
	const char *why = request_deepen(req, config.ring_bytes);

	if (req->tp_block_nr > ring->asked.tp_block_nr && copy_checked(value, &ring->asked, ring->req_bytes) < 0) {
		*req = ring->asked;
		why = "the program's request is in memory that cannot be written";
	}
	if (!why)
		return 0;
	report("fd %d: HUGEPCAP_RING not %s: %u blocks of %u bytes stay of %u: %s", fd,
	       req->tp_block_nr > ring->asked.tp_block_nr ? "in full" : "applied", req->tp_block_nr, req->tp_block_size,
	       ring->asked.tp_block_nr, why);
	return config.strict ? -EINVAL : 0;
}

static int make(struct packet_socket *socket, int fd, int which, void *value)
{
	struct job job = job_for(socket, fd, which);
	struct ring *ring = job.ring;
	struct tpacket_req3 req = ring->asked;
	struct hp_err err;
	int rc = 0;

	if (which == RX && config.ring_bytes > request_ring_bytes(&req))
		rc = deepen(fd, ring, value, &req);
	if (rc < 0)
		return rc;
	rc = make_room(socket, fd, which, &err);
	if (rc == 0)
		rc = take_what_fits(&job, &req, &err);
	if (rc < 0) {
		describe_refusal(fd, which, ring, &err);
		/* libpcap takes ENOPROTOOPT for "no rings here" and would go on without one */
		return rc == -ENOPROTOOPT ? -EOPNOTSUPP : rc;
	}
	if (req.tp_block_nr != ring->asked.tp_block_nr) {
		copy_checked(value, &req, ring->req_bytes);
		request_remember(&req, &ring->asked);
	}
	return 0;
}

/* A ring that is not ours to make. */
static int pass_on(int fd, int option, const void *value, socklen_t bytes)
{
	return real.setsockopt(fd, SOL_PACKET, option, value, bytes) < 0 ? -errno : 0;
}

/* A ring that we cannot make: not silently, where anything but that was wished. */
static int give_up(int fd, int option, const void *value, socklen_t bytes, const char *why)
{
	int wished = config.ring_bytes || config.policy != HP_POLICY_STOCK;

	if (wished)
		report_at(config.ring_bytes || config.strict ? 0 : 1, "fd %d: ring %s: %s", fd,
			  config.strict ? "refused (HUGEPCAP_STRICT=1)" : "left as the program asks", why);
	return wished && config.strict ? -EOPNOTSUPP : pass_on(fd, option, value, bytes);
}

static int request(int fd, int option, void *value, socklen_t bytes, const struct tpacket_req3 *req)
{
	int which = option == PACKET_TX_RING ? TX : RX;
	struct packet_socket *socket = req->tp_block_nr ? table_add(fd) : table_get(fd);
	int rc;

	if (!socket && req->tp_block_nr && fd >= 0)
		return give_up(fd, option, value, bytes, "no memory for what is to be known of it");
	if (socket && req->tp_block_nr && !socket->ring[which].made.tp_block_nr) {
		socket->ring[which].asked = which == RX ? request_original(req) : *req;
		socket->ring[which].req_bytes = request_bytes(fd);
		rc = make(socket, fd, which, value);
	} else {
		rc = pass_on(fd, option, value, bytes);
		if (socket && rc == 0) {
			report_at(2, "fd %d %s ring given back", fd, which == TX ? "TX" : "RX");
			ring_forget(&socket->ring[which]);
		}
	}
	table_drop_idle(fd);
	return rc;
}

static int read_request(int fd, int option, const void *value, socklen_t bytes, socklen_t needed, int locked)
{
	struct tpacket_req3 req = { 0 };
	int rc = copy_checked(&req, value, needed);

	if (rc == -EFAULT || (rc == 0 && !locked && !req.tp_block_nr))
		return pass_on(fd, option, value, bytes);
	if (rc < 0)
		return give_up(fd, option, value, bytes, strerrordesc_np(-rc));
	if (!locked)
		return give_up(fd, option, value, bytes, "children of vfork, _Fork and bare clone are not served");
	return request(fd, option, (void *)value, bytes, &req);
}

/* A request too short for its TPACKET version is the kernel's to refuse: libpcap ends a V3 ring with one. */
int ring_setsockopt(int fd, int option, const void *value, socklen_t bytes)
{
	socklen_t needed = request_bytes(fd);
	struct table_guard guard;
	int locked, rc;

	if ((int)bytes < 0 || bytes < needed)
		return real.setsockopt(fd, SOL_PACKET, option, value, bytes);
	locked = table_lock(&guard) == 0;
	rc = read_request(fd, option, value, bytes, needed, locked);
	if (locked)
		table_unlock(&guard);
	if (rc == 0)
		return 0;
	errno = -rc;
	return -1;
}

/* How many blocks a mapping of `bytes` leaves to a deepened RX ring; 0 if it is no whole number, or not fewer. */
static uint32_t blocks_mapped(const struct packet_socket *socket, size_t bytes)
{
	const struct ring *rx = &socket->ring[RX];
	uint64_t tx_bytes = request_ring_bytes(&socket->ring[TX].made);

	if (rx->made.tp_block_nr <= rx->asked.tp_block_nr || bytes >= request_ring_bytes(&rx->made) + tx_bytes ||
	    bytes <= tx_bytes || (bytes - tx_bytes) % rx->made.tp_block_size)
		return 0;
	return (bytes - tx_bytes) / rx->made.tp_block_size;
}

/* Whether the kernel's rings are of that length. Not by the program's own call: MAP_FIXED unmaps before it fails. */
static int kernel_maps(int fd, size_t bytes)
{
	void *area = real.mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

	return area != MAP_FAILED && real.munmap(area, bytes) == 0;
}

/*
 * A program that reckoned its mapping before it asked for the ring does not know the deepened one. After a fork,
 * the other process may have had the ring made anew already.
 */
static int fit_to_program(struct packet_socket *socket, int fd, size_t bytes)
{
	struct job job = job_for(socket, fd, RX);
	struct tpacket_req3 req = job.ring->made;
	uint32_t nr = blocks_mapped(socket, bytes);
	struct hp_err err;

	if (!nr || job.ring->mapped)
		return 0;
	if (!config.strict && !on_hugetlb(job.ring) && kernel_maps(fd, bytes)) {
		request_set_blocks(&job.ring->made, nr);
		return 0;
	}
	report("fd %d: HUGEPCAP_RING not applied: the program does not read its request again and maps %zu bytes, "
	       "so the ring gets them back", fd, bytes);
	request_set_blocks(&req, nr);
	return config.strict ? -EINVAL : retake(&job, &req, &err);
}

/* The kernel refuses such an address, and rounds such a length up over what lies behind the ring. */
static int pages_do_not_fit(const struct ring *ring, const void *addr, size_t bytes, int flags)
{
	size_t page = ring->grant.mem.page_bytes;

	return (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && ((uintptr_t)addr % page || bytes % page);
}

static int make_fit(struct packet_socket *socket, int fd, int which)
{
	struct hp_err err;
	int rc = leave_hugetlb(socket, fd, which, &err);

	if (rc < 0)
		describe_refusal(fd, which, &socket->ring[which], &err);
	return rc;
}

static void *map(struct packet_socket *socket, void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	int which = on_hugetlb(&socket->ring[TX]) ? TX : RX;
	struct ring *ring = &socket->ring[which];
	size_t whole = page_up(bytes);
	int rc = 0;

	if (on_hugetlb(ring)) {
		if (offset || whole != request_ring_bytes(&ring->made) ||
		    !identity_holds(ring->grant.mem.fd, &ring->memory))
			rc = -EINVAL;
		else if (pages_do_not_fit(ring, addr, whole, flags))
			rc = make_fit(socket, fd, which);
	}
	if (rc < 0) {
		errno = -rc;
		return MAP_FAILED;
	}
	if (!on_hugetlb(ring))
		return real.mmap(addr, bytes, prot, flags, fd, offset);
	return mapping_add(real.mmap(addr, whole, prot, flags, ring->grant.mem.fd, 0), whole,
			   ring->grant.mem.page_bytes);
}

static void note_mapped(struct packet_socket *socket, int fd)
{
	for (int which = RX; which < RING_NR; which++) {
		struct ring *ring = &socket->ring[which];

		if (ring->made.tp_block_nr && !ring->mapped)
			describe_ring(fd, which, ring);
		ring->mapped = 1;
	}
}

void *ring_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	struct packet_socket *socket;
	struct table_guard guard;
	void *area = MAP_FAILED;
	int rc = 0;

	if (table_lock(&guard) < 0)
		return real.mmap(addr, bytes, prot, flags, fd, offset);
	socket = table_get(fd);
	if (socket)
		rc = fit_to_program(socket, fd, page_up(bytes));
	if (rc == 0)
		area = socket ? map(socket, addr, bytes, prot, flags, fd, offset)
			      : real.mmap(addr, bytes, prot, flags, fd, offset);
	else
		errno = -rc;
	if (socket && area != MAP_FAILED)
		note_mapped(socket, fd);
	table_unlock(&guard);
	return area;
}
