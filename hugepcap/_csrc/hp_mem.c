/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "hp_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct {
	const char *name;
	int option;
	const char *option_name;
} POLICIES[HP_POLICY_NR] = {
	[HP_POLICY_AUTO] = { "auto", 0, "" },
	[HP_POLICY_HUGETLB] = { "hugetlb", PACKET_HUGETLB_RING, "PACKET_HUGETLB_RING" },
	[HP_POLICY_THP] = { "thp", PACKET_TRANSHUGE_RING, "PACKET_TRANSHUGE_RING" },
	[HP_POLICY_GFPNORETRY] = { "gfpnoretry", PACKET_GFPNORETRY_RING, "PACKET_GFPNORETRY_RING" },
	[HP_POLICY_VZALLOC] = { "vzalloc", PACKET_VZALLOC_RING, "PACKET_VZALLOC_RING" },
	[HP_POLICY_GFPRETRY] = { "gfpretry", PACKET_GFPRETRY_RING, "PACKET_GFPRETRY_RING" },
	[HP_POLICY_STOCK] = { "stock", PACKET_RX_RING, "PACKET_RX_RING" },
};

const char *hp_policy_name(enum hp_policy policy)
{
	return POLICIES[policy].name;
}

int hp_policy_parse(const char *text, enum hp_policy *policy)
{
	for (int i = 0; i < HP_POLICY_NR; i++)
		if (!strcmp(text, POLICIES[i].name)) {
			*policy = i;
			return 0;
		}
	return -EINVAL;
}

/* The power of two a suffix stands for, or -1. */
static int suffix_shift(const char *text)
{
	static const char letters[] = { 'K', 'M', 'G', 'T' };
	const char *at = memchr(letters, *text & ~0x20, sizeof(letters));

	if (!*text)
		return 0;
	if (!at || (text[1] && strcmp(text + 1, "B") && strcmp(text + 1, "iB")))
		return -1;
	return 10 * (int)(at - letters + 1);
}

int hp_size_parse(const char *text, uint64_t *bytes)
{
	char *end;
	unsigned long long number;
	int shift;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	shift = suffix_shift(end);
	if (errno || shift < 0 || number > (UINT64_MAX >> shift))
		return -EINVAL;
	*bytes = (uint64_t)number << shift;
	return 0;
}

static long pool_free_pages(size_t page_bytes)
{
	char path[] = "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages";
	char text[24] = "";
	int fd;

	if (page_bytes == HP_HUGE_BYTES)
		strcpy(path, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return *text ? strtol(text, NULL, 10) : -1;
}

static int mem_from_memfd(struct hp_mem *mem, struct hp_err *err)
{
	mem->page_bytes = HP_HUGE_BYTES;
	mem->fd = memfd_create("hugepcap", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (mem->fd >= 0)
		return 0;
	return hp_fail(err, errno, "memfd_create",
		       "huge pages of 2 MiB; it takes Linux 4.16 with CONFIG_HUGETLBFS");
}

/* O_TMPFILE gives the file no name, so that nothing stays behind when we are killed. */
static int mem_from_mount(struct hp_mem *mem, const char *mount, struct hp_err *err)
{
	struct statfs fs;

	if (statfs(mount, &fs) < 0)
		return hp_fail(err, errno, "statfs", "%s; mount -t hugetlbfs none %s", mount, mount);
	if (fs.f_type != HUGETLBFS_MAGIC)
		return hp_fail(err, EINVAL, "statfs", "%s is no hugetlbfs; mount -t hugetlbfs none %s", mount, mount);
	mem->page_bytes = fs.f_bsize;
	mem->fd = open(mount, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (mem->fd >= 0)
		return 0;
	return hp_fail(err, errno, "open", "a file in the hugetlbfs %s; the mount must allow this user to write", mount);
}

int hp_mem_hugetlb(struct hp_mem *mem, size_t bytes, const char *mount, struct hp_err *err)
{
	int rc;

	mem->fd = -1;
	rc = mount ? mem_from_mount(mem, mount, err) : mem_from_memfd(mem, err);
	if (rc < 0)
		return rc;
	mem->bytes = (bytes + mem->page_bytes - 1) / mem->page_bytes * mem->page_bytes;
	if (ftruncate(mem->fd, mem->bytes) == 0)
		return 0;
	rc = hp_fail(err, errno, "ftruncate", "%zu bytes of huge pages", mem->bytes);
	hp_mem_close(mem);
	return rc;
}

void hp_mem_close(struct hp_mem *mem)
{
	if (mem->fd >= 0)
		close(mem->fd);
	mem->fd = -1;
}

int hp_mem_info(int fd, int tx, struct packet_huge_info *info)
{
	socklen_t bytes = sizeof(*info);

	memset(info, 0, sizeof(*info));
	info->flags = tx ? PACKET_HUGE_TX : 0;
	return getsockopt(fd, SOL_PACKET, PACKET_HUGE_INFO, info, &bytes) < 0 ? -errno : 0;
}

static int ring_option(enum hp_policy policy, int tx)
{
	if (policy == HP_POLICY_STOCK)
		return tx ? PACKET_TX_RING : PACKET_RX_RING;
	return POLICIES[policy].option | (tx ? PACKET_HUGE_TX : 0);
}

/* The ring option itself; both request structures begin alike. */
static int ring_make(int fd, enum hp_policy policy, const struct hp_want *want, struct hp_err *err)
{
	const struct tpacket_req *req = want->req;

	if (setsockopt(fd, SOL_PACKET, ring_option(policy, want->tx), want->req, want->req_bytes) == 0)
		return 0;
	return hp_fail(err, errno, POLICIES[policy].option_name, "%u blocks of %u bytes: %s", req->tp_block_nr,
		       req->tp_block_size, errno == ENOMEM ? "not enough memory in such pages; ask for a smaller ring" :
		       errno == EBUSY ? "the socket has a ring already" : "the kernel refuses this geometry");
}

static int mem_give(int fd, const struct hp_mem *mem, uint32_t flags, struct hp_err *err)
{
	void *area = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	struct packet_huge_mem give = { .addr = (uintptr_t)area, .len = mem->bytes, .flags = flags };
	size_t pages = mem->bytes / mem->page_bytes;
	int rc = 0;

	if (area == MAP_FAILED)
		return hp_fail(err, errno, "mmap",
			       "%zu pages of %zu KiB needed, %ld free; sysctl vm.nr_hugepages enlarges the pool", pages,
			       mem->page_bytes >> 10, pool_free_pages(mem->page_bytes));
	if (setsockopt(fd, SOL_PACKET, PACKET_HUGETLB_ENABLE, &give, sizeof(give)) < 0)
		rc = hp_fail(err, errno, "PACKET_HUGETLB_ENABLE",
			     "%zu bytes%s", mem->bytes, errno == ENOBUFS ?
			     " are over RLIMIT_MEMLOCK; raise ulimit -l, or give the program CAP_IPC_LOCK" : "");
	munmap(area, mem->bytes);	/* the pages stay pinned, and mem->fd maps them again */
	return rc;
}

static void mem_take_back(int fd, uint32_t flags)
{
	struct packet_huge_mem none = { .flags = flags };

	setsockopt(fd, SOL_PACKET, PACKET_HUGETLB_ENABLE, &none, sizeof(none));
}

static int hugetlb_rung(struct hp_grant *grant, int fd, const struct hp_want *want, struct hp_err *err)
{
	const struct tpacket_req *req = want->req;
	uint32_t flags = want->tx ? PACKET_HUGE_TX : 0;
	int rc;

	if (want->beside)
		return hp_fail(err, EBUSY, "PACKET_HUGETLB_RING", "RX and TX ring share one mapping; thp serves both");
	rc = hp_mem_hugetlb(&grant->mem, (size_t)req->tp_block_size * req->tp_block_nr, want->mount, err);
	if (rc < 0)
		return rc;
	rc = mem_give(fd, &grant->mem, flags, err);
	if (rc == 0) {
		rc = ring_make(fd, HP_POLICY_HUGETLB, want, err);
		if (rc < 0)
			mem_take_back(fd, flags);
	}
	if (rc < 0)
		hp_mem_close(&grant->mem);
	return rc;
}

static int rung(struct hp_grant *grant, int fd, enum hp_policy policy, const struct hp_want *want, struct hp_err *err)
{
	struct packet_huge_info info;

	if (policy == HP_POLICY_STOCK)
		return ring_make(fd, policy, want, err);
	if (hp_mem_info(fd, want->tx, &info) == -ENOPROTOOPT)
		return hp_fail(err, ENOPROTOOPT, "PACKET_HUGE_INFO", "this kernel has no CONFIG_PACKET_HUGE");
	if (policy == HP_POLICY_HUGETLB)
		return hugetlb_rung(grant, fd, want, err);
	return ring_make(fd, policy, want, err);
}

/* The rungs of a policy, best first; the list ends with STOCK. */
static const enum hp_policy *ladder(enum hp_policy policy, enum hp_policy one[2])
{
	static const enum hp_policy all[] = { HP_POLICY_HUGETLB, HP_POLICY_THP, HP_POLICY_STOCK };

	one[0] = policy;
	one[1] = HP_POLICY_STOCK;
	return policy == HP_POLICY_AUTO ? all : one;
}

int hp_grant_take(struct hp_grant *grant, int fd, const struct hp_want *want, struct hp_err *err)
{
	enum hp_policy one[2];
	const enum hp_policy *step = ladder(want->policy, one);
	int rc;

	memset(grant, 0, sizeof(*grant));
	grant->mem.fd = -1;
	for (;; step++) {
		rc = rung(grant, fd, *step, want, err);
		grant->policy = *step;
		if (rc == 0 || *step == HP_POLICY_STOCK)
			return rc;
		grant->refused[*step] = *err;
		if (want->strict && step[1] == HP_POLICY_STOCK)
			return rc;
	}
}
