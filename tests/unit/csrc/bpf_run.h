/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Classic BPF by the book (McCanne and Jacobson's paper, Documentation/networking/filter.rst), for the tests:
 * a file's program over a file's packet, and a socket's program over the kernel's view of it.
 */
#ifndef BPF_RUN_H
#define BPF_RUN_H

#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What the kernel knows of a packet besides its bytes. */
struct ancillary {
	uint32_t protocol, pkttype, hatype, ifindex;
	uint32_t tagged, tci, tpid;
};

struct packet {
	const uint8_t *data;
	uint32_t caplen, len;
	const struct ancillary *anc;	/* NULL: a file's packet */
};

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

static uint32_t field_of(const struct ancillary *anc, uint32_t which)
{
	switch (which) {
	case SKF_AD_PROTOCOL:
		return anc->protocol;
	case SKF_AD_PKTTYPE:
		return anc->pkttype;
	case SKF_AD_HATYPE:
		return anc->hatype;
	case SKF_AD_IFINDEX:
		return anc->ifindex;
	case SKF_AD_VLAN_TAG:
		return anc->tci;
	case SKF_AD_VLAN_TAG_PRESENT:
		return anc->tagged;
	case SKF_AD_VLAN_TPID:
		return anc->tpid;
	default:
		fprintf(stderr, "no such ancillary field: %u\n", which);
		abort();
	}
}

/* Loads big-endian; 0 when the packet is too short, which ends the program. */
static int load(const struct packet *p, uint64_t at, uint32_t bytes, uint32_t *value)
{
	if (at + bytes > p->caplen)
		return 0;
	*value = 0;
	for (uint32_t i = 0; i < bytes; i++)
		*value = *value << 8 | p->data[at + i];
	return 1;
}

static uint32_t width(uint16_t code)
{
	return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
}

/* LD and LDX; 0 ends the program. */
static int do_load(const struct packet *p, const struct sock_filter *insn, struct machine *m)
{
	uint32_t *to = BPF_CLASS(insn->code) == BPF_LD ? &m->a : &m->x, byte;

	switch (BPF_MODE(insn->code)) {
	case BPF_IMM:
		*to = insn->k;
		return 1;
	case BPF_MEM:
		*to = m->mem[insn->k];
		return 1;
	case BPF_LEN:
		*to = p->len;
		return 1;
	case BPF_IND:
		return load(p, (uint64_t)m->x + insn->k, width(insn->code), to);
	case BPF_MSH:
		if (!load(p, insn->k, 1, &byte))
			return 0;
		*to = 4 * (byte & 15);
		return 1;
	default:
		if (p->anc && insn->k >= (uint32_t)SKF_AD_OFF) {
			*to = field_of(p->anc, insn->k - (uint32_t)SKF_AD_OFF);
			return 1;
		}
		return load(p, insn->k, width(insn->code), to);
	}
}

/* 0 ends the program: a division by zero. */
static int do_alu(uint16_t code, uint32_t k, struct machine *m)
{
	uint32_t by = BPF_SRC(code) == BPF_X ? m->x : k;

	if ((BPF_OP(code) == BPF_DIV || BPF_OP(code) == BPF_MOD) && by == 0)
		return 0;
	switch (BPF_OP(code)) {
	case BPF_ADD: m->a += by; break;
	case BPF_SUB: m->a -= by; break;
	case BPF_MUL: m->a *= by; break;
	case BPF_DIV: m->a /= by; break;
	case BPF_MOD: m->a %= by; break;
	case BPF_AND: m->a &= by; break;
	case BPF_OR: m->a |= by; break;
	case BPF_XOR: m->a ^= by; break;
	case BPF_LSH: m->a = by < 32 ? m->a << by : 0; break;
	case BPF_RSH: m->a = by < 32 ? m->a >> by : 0; break;
	case BPF_NEG: m->a = -m->a; break;
	default: abort();
	}
	return 1;
}

static uint32_t jump(const struct sock_filter *insn, const struct machine *m)
{
	uint32_t to = BPF_SRC(insn->code) == BPF_X ? m->x : insn->k;

	switch (BPF_OP(insn->code)) {
	case BPF_JA: return insn->k;
	case BPF_JEQ: return m->a == to ? insn->jt : insn->jf;
	case BPF_JGT: return m->a > to ? insn->jt : insn->jf;
	case BPF_JGE: return m->a >= to ? insn->jt : insn->jf;
	case BPF_JSET: return m->a & to ? insn->jt : insn->jf;
	default: abort();
	}
}

/* How many bytes the program accepts. Programs only jump forward, so this ends. */
static uint32_t bpf_run(const struct sock_filter *insn, const struct packet *p)
{
	struct machine m = { 0 };

	for (;; insn++) {
		switch (BPF_CLASS(insn->code)) {
		case BPF_LD:
		case BPF_LDX:
			if (!do_load(p, insn, &m))
				return 0;
			break;
		case BPF_ST: m.mem[insn->k] = m.a; break;
		case BPF_STX: m.mem[insn->k] = m.x; break;
		case BPF_JMP: insn += jump(insn, &m); break;
		case BPF_RET: return BPF_RVAL(insn->code) == BPF_A ? m.a : insn->k;
		case BPF_MISC: *(BPF_MISCOP(insn->code) == BPF_TAX ? &m.x : &m.a) = BPF_MISCOP(insn->code) == BPF_TAX ? m.a : m.x; break;
		default:
			if (!do_alu(insn->code, insn->k, &m))
				return 0;
		}
	}
}

#endif
