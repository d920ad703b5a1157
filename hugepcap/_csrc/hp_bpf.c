/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_bpf.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>

#define ETH_P_QINQ_OLD 0x9100

/* One field of the file's packet that the kernel's bytes lack, and where the kernel keeps it. */
struct field {
	uint32_t offset, bytes, ancillary;
};

/* How the file's packet differs from the kernel's: its leading fields, and by how much the rest is moved. */
struct layout {
	uint32_t same_until;	/* loads that end by here stay as they are */
	uint32_t moved_from;	/* loads from here on are `moved_by` bytes earlier in the kernel's packet */
	uint32_t moved_by;
	struct field fields[6];
};

static const struct layout LAYOUTS[4][2] = {
	[HP_LINK_ETHER] = {
		{ .moved_from = 0 },
		{ .same_until = 12, .moved_from = 16, .moved_by = 4,
		  .fields = { { 12, 2, SKF_AD_VLAN_TPID }, { 14, 2, SKF_AD_VLAN_TAG } } },
	},
	[HP_LINK_RAW] = { { .moved_from = 0 }, { .moved_from = 0 } },
	[HP_LINK_SLL] = {
		{ .moved_from = 16, .moved_by = 16,
		  .fields = { { 0, 2, SKF_AD_PKTTYPE }, { 2, 2, SKF_AD_HATYPE }, { 14, 2, SKF_AD_PROTOCOL } } },
		{ .moved_from = 20, .moved_by = 20,
		  .fields = { { 0, 2, SKF_AD_PKTTYPE }, { 2, 2, SKF_AD_HATYPE }, { 14, 2, SKF_AD_VLAN_TPID },
			      { 16, 2, SKF_AD_VLAN_TAG }, { 18, 2, SKF_AD_PROTOCOL } } },
	},
	[HP_LINK_SLL2] = {
		{ .moved_from = 20, .moved_by = 20,
		  .fields = { { 0, 2, SKF_AD_PROTOCOL }, { 4, 4, SKF_AD_IFINDEX }, { 8, 2, SKF_AD_HATYPE },
			      { 10, 1, SKF_AD_PKTTYPE } } },
		{ .moved_from = 24, .moved_by = 24,
		  .fields = { { 0, 2, SKF_AD_VLAN_TPID }, { 4, 4, SKF_AD_IFINDEX }, { 8, 2, SKF_AD_HATYPE },
			      { 10, 1, SKF_AD_PKTTYPE }, { 20, 2, SKF_AD_VLAN_TAG }, { 22, 2, SKF_AD_PROTOCOL } } },
	},
};

/* Whether an instruction loads a protocol field: the link's own, or the one behind a tag. */
static int loads_type(const struct sock_filter *insn, enum hp_link link)
{
	if (insn->code != (BPF_LD | BPF_H | BPF_ABS))
		return 0;
	switch (link) {
	case HP_LINK_ETHER:
		return insn->k >= 12 && insn->k <= 24 && (insn->k - 12) % 4 == 0;
	case HP_LINK_SLL:
		return insn->k >= 14 && insn->k <= 26 && (insn->k - 14) % 4 == 0;
	case HP_LINK_SLL2:
		return insn->k == 0 || (insn->k >= 22 && insn->k <= 30 && (insn->k - 22) % 4 == 0);
	default:
		return 0;
	}
}

static int compares_tpid(const struct sock_filter *insn)
{
	return insn->code == (BPF_JMP | BPF_JEQ | BPF_K) &&
	       (insn->k == ETH_P_8021Q || insn->k == ETH_P_8021AD || insn->k == ETH_P_QINQ_OLD);
}

static void reach(uint8_t *types, unsigned int nr, uint64_t target, uint8_t type)
{
	if (target < nr)
		types[target] |= type;
}

/* types[]: whether A may hold a protocol field before each instruction; all 0 at first. */
static int compares_type(const struct sock_filter *insns, unsigned int nr, enum hp_link link, uint8_t *types)
{
	for (unsigned int i = 0; i < nr; i++) {
		const struct sock_filter *insn = &insns[i];
		uint16_t class = BPF_CLASS(insn->code);

		if (types[i] && compares_tpid(insn))
			return 1;
		if (insn->code == (BPF_JMP | BPF_JA)) {
			reach(types, nr, i + 1ul + insn->k, types[i]);
		} else if (class == BPF_JMP) {
			reach(types, nr, i + 1ul + insn->jt, types[i]);
			reach(types, nr, i + 1ul + insn->jf, types[i]);
		} else if (class != BPF_RET) {
			int keeps = class != BPF_LD && class != BPF_ALU && class != BPF_MISC;

			reach(types, nr, i + 1ul, keeps ? types[i] : loads_type(insn, link));
		}
	}
	return 0;
}

/*
 * Jumps go forward only, so one pass tells which comparisons a loaded protocol field can reach. A program that the
 * kernel would refuse for its length is looked at to its end, too: it runs in user space.
 */
int hp_bpf_tests_vlan(const struct sock_filter *insns, unsigned int nr, enum hp_link link)
{
	uint8_t *types = calloc(nr ? nr : 1, 1);
	int tests;

	if (!types)
		return -ENOMEM;
	tests = compares_type(insns, nr, link, types);
	free(types);
	return tests;
}

static int loads_direction(const struct sock_filter *insn)
{
	return BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
	       insn->k == (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE);
}

int hp_bpf_fix_direction(const struct sock_filter *insns, unsigned int nr, int outgoing, struct sock_filter *out)
{
	int fixed = 0;

	for (unsigned int i = 0; i < nr; i++) {
		out[i] = insns[i];
		if (!loads_direction(&insns[i]))
			continue;
		out[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, outgoing ? PACKET_OUTGOING : PACKET_HOST);
		fixed++;
	}
	return fixed;
}

static uint32_t load_bytes(uint16_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_W:
		return 4;
	case BPF_H:
		return 2;
	default:
		return 1;
	}
}

static int move_absolute(const struct layout *layout, struct sock_filter *insn)
{
	uint32_t bytes = load_bytes(insn->code);

	if (insn->k >= layout->moved_from) {
		insn->k -= layout->moved_by;
		return 0;
	}
	if (insn->k + bytes <= layout->same_until)
		return 0;
	for (const struct field *field = layout->fields; field < layout->fields + 6 && field->bytes; field++)
		if (field->offset == insn->k && field->bytes == bytes) {
			insn->k = SKF_AD_OFF + field->ancillary;
			return 0;
		}
	return -ENOTSUP;
}

static int move_insn(const struct layout *layout, struct sock_filter *insn, uint32_t snaplen)
{
	uint16_t class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code);

	if (class == BPF_RET) {
		if (BPF_RVAL(insn->code) == BPF_K && insn->k != 0)
			insn->k = snaplen;
		return 0;
	}
	if (class != BPF_LD && class != BPF_LDX)
		return 0;
	if (loads_direction(insn))
		return 0;
	if (mode == BPF_LEN)
		return layout->moved_by ? -ENOTSUP : 0;
	if ((mode == BPF_ABS || mode == BPF_IND || mode == BPF_MSH) && insn->k > INT32_MAX)
		return -ENOTSUP;	/* already an ancillary load, or relative to a header: not of a file's program */
	if (mode == BPF_ABS)
		return move_absolute(layout, insn);
	if (mode != BPF_IND && mode != BPF_MSH)
		return 0;
	if (insn->k < layout->moved_from)
		return -ENOTSUP;
	insn->k -= layout->moved_by;
	return 0;
}

static int move_program(const struct sock_filter *insns, unsigned int nr, const struct layout *layout,
			uint32_t snaplen, struct sock_filter *out)
{
	memcpy(out, insns, nr * sizeof(*out));
	for (unsigned int i = 0; i < nr; i++)
		if (move_insn(layout, &out[i], snaplen) < 0)
			return -ENOTSUP;
	return (int)nr;
}

/* `if the kernel took a tag out: the program for tagged packets; else: the plain one` */
static int two_programs(const struct sock_filter *insns, unsigned int nr, enum hp_link link,
			uint32_t snaplen, struct sock_filter *out)
{
	const struct sock_filter head[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_JMP | BPF_JA, nr),
	};
	unsigned int tagged = sizeof(head) / sizeof(head[0]), plain = tagged + nr;

	if (plain + nr > BPF_MAXINSNS)
		return -ENOTSUP;
	memcpy(out, head, sizeof(head));
	if (move_program(insns, nr, &LAYOUTS[link][1], snaplen, out + tagged) < 0)
		return -ENOTSUP;
	if (move_program(insns, nr, &LAYOUTS[link][0], snaplen, out + plain) < 0)
		return -ENOTSUP;
	return (int)(plain + nr);
}

int hp_bpf_for_socket(const struct sock_filter *insns, unsigned int nr, enum hp_link link,
		      uint32_t snaplen, struct sock_filter *out)
{
	int tests_vlan;

	if (nr == 0) {
		out[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, snaplen);
		return 1;
	}
	if (nr > BPF_MAXINSNS)
		return -ENOTSUP;
	tests_vlan = link != HP_LINK_RAW ? hp_bpf_tests_vlan(insns, nr, link) : 0;
	if (tests_vlan < 0)
		return tests_vlan;
	if (tests_vlan)
		return two_programs(insns, nr, link, snaplen, out);
	return move_program(insns, nr, &LAYOUTS[link][0], snaplen, out);
}
