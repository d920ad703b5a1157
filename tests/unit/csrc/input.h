/* SPDX-License-Identifier: BSD-3-Clause */
/* The harnesses' standard input: native words and byte strings, each string in an allocation of exactly its size. */
#ifndef INPUT_H
#define INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void get_bytes(void *to, size_t bytes)
{
	if (bytes && fread(to, 1, bytes, stdin) != bytes) {
		fprintf(stderr, "input ends early\n");
		exit(2);
	}
}

static uint32_t get_u32(void)
{
	uint32_t value;

	get_bytes(&value, sizeof(value));
	return value;
}

/* malloc(), so that a byte too far is a byte too far; even for no bytes at all. */
static uint8_t *get_blob(uint32_t bytes)
{
	uint8_t *blob = malloc(bytes);

	if (!blob)
		abort();
	get_bytes(blob, bytes);
	return blob;
}

static void put_hex(const uint8_t *data, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

#endif
