/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of hugetlb memory that a program takes for ordinary ones: it may unmap a length the kernel refuses. */
#ifndef MAPPING_H
#define MAPPING_H

#include <stddef.h>
#include <unistd.h>

/* As the kernel rounds the length of a mapping up; 0 where that is too large. */
static inline size_t page_up(size_t bytes)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* Notes a mapping just made under the table's lock; gives `area` back, MAP_FAILED too. */
void *mapping_add(void *area, size_t bytes, size_t page_bytes);

/* munmap; whole huge pages where only those will do. */
int mapping_munmap(void *addr, size_t bytes);

#endif
