/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of hugetlb memory that a program takes for ordinary ones: it may unmap a length the kernel refuses. */
#ifndef MAPPING_H
#define MAPPING_H

#include <stddef.h>

/* Notes a mapping just made under the table's lock; gives `area` back, MAP_FAILED too. */
void *mapping_add(void *area, size_t bytes, size_t page_bytes);

/* munmap; whole huge pages where only those will do. */
int mapping_munmap(void *addr, size_t bytes);

#endif
