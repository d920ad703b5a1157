/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that started this one. */
#ifndef PARENT_H
#define PARENT_H

/* Its standard error itself, a new descriptor; -1 where the system does not hand it out. */
int parent_stderr(void);

/* Whether it was started with "NAME=value" in its environment. */
int parent_has(const char *entry);

#endif
