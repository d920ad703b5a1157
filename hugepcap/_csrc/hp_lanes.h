/* SPDX-License-Identifier: BSD-3-Clause */
/* Several blocks of a ring walked side by side. */
#ifndef HP_LANES_H
#define HP_LANES_H

#include "hp_collect.h"

/*
 * Adds packets of the block under the cursor and of those that are there behind it, where nothing is to be done to
 * a packet before it is shown: up to the first for which there is, or that lies. All of these blocks but the last are
 * walked and pinned then; the last one is the source's. Adds nothing where there is only one block, or small frames.
 */
void hp_lanes_add(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins);

#endif
