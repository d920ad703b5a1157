/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "report.h"
#include "request.h"

static const char *const WHICH[RING_NR] = { "RX", "TX" };

struct size {
	char text[32];
};

struct words {
	char text[1024];
};

static struct size size_words(uint64_t bytes)
{
	struct size words;
	int shift = bytes >= 1 << 20 && bytes % (1 << 20) == 0 ? 20 : 10;

	snprintf(words.text, sizeof(words.text), "%" PRIu64 " %s", bytes >> shift, shift == 20 ? "MiB" : "KiB");
	return words;
}

static struct words request_words(const struct tpacket_req3 *req)
{
	struct words words;

	snprintf(words.text, sizeof(words.text), "%s (%u x %s)", size_words(request_ring_bytes(req)).text,
		 req->tp_block_nr, size_words(req->tp_block_size).text);
	return words;
}

static const char *errno_name(int code)
{
	const char *name = strerrorname_np(code);

	return name ? name : "unknown error";
}

/* A stock kernel tells nothing, but maps every ring to the program in base pages. */
static struct words page_words(int fd, int which)
{
	struct packet_huge_info info;
	struct words words;

	if (hp_mem_info(fd, which == TX, &info) < 0)
		snprintf(words.text, sizeof(words.text), "pages of %s in the program",
			 size_words(sysconf(_SC_PAGESIZE)).text);
	else
		snprintf(words.text, sizeof(words.text), "pages of %s in the program, %s in the kernel%s%s",
			 size_words(info.user_page_bytes).text, size_words(info.kernel_page_bytes).text,
			 info.reason ? ", not all huge: " : "", info.reason ? errno_name(info.reason) : "");
	return words;
}

static struct words refused_words(const struct hp_grant *grant)
{
	struct words words = { "" };
	size_t used = 0;

	for (int policy = 0; policy < HP_POLICY_NR && used < sizeof(words.text); policy++) {
		const struct hp_err *err = &grant->refused[policy];

		if (err->code)
			used += snprintf(words.text + used, sizeof(words.text) - used, "; no %s: %s: %s, %s",
					 hp_policy_name(policy), err->op, errno_name(err->code), err->detail);
	}
	return words;
}

void describe_attempt(int fd, int which, const struct tpacket_req3 *req, const struct hp_grant *grant,
		      const struct hp_err *err)
{
	report_at(2, "fd %d %s ring of %s: %s%s%s%s%s%s", fd, WHICH[which], request_words(req).text,
		  err ? "refused: " : "made by ", err ? err->op : hp_policy_name(grant->policy), err ? ": " : "",
		  err ? errno_name(err->code) : "", err ? ", " : "", err ? err->detail : "");
}

void describe_ring(int fd, int which, const struct ring *ring)
{
	report_at(1, "fd %d %s ring: asked %s by %s, got %s by %s, %s%s", fd, WHICH[which],
		  request_words(&ring->asked).text, hp_policy_name(config.policy), request_words(&ring->made).text,
		  hp_policy_name(ring->grant.policy), page_words(fd, which).text, refused_words(&ring->grant).text);
}

void describe_refusal(int fd, int which, const struct ring *ring, const struct hp_err *err)
{
	report_at(config.strict ? 0 : 1, "fd %d %s ring: asked %s by %s, refused%s: %s: %s, %s", fd, WHICH[which],
		  request_words(&ring->asked).text, hp_policy_name(config.policy),
		  config.strict ? " (HUGEPCAP_STRICT=1)" : "", err->op, errno_name(err->code), err->detail);
}
