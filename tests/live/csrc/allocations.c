// SPDX-License-Identifier: BSD-3-Clause
// Counts what a process allocates: LD_PRELOAD it, read hp_allocations. With PYTHONMALLOC=malloc that is every object.
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

unsigned long hp_allocations;

static void count(void)
{
	__atomic_fetch_add(&hp_allocations, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
	count();
	return __libc_realloc(memory, size);
}
