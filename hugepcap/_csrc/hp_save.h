/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing pcap and pcapng records. They pend in a list of pieces that writev(2) takes: headers and small packets
 * are copied into an arena, large ones are written from where they are. What fails in the middle of a record is
 * cut back to the last whole one.
 */
#ifndef HP_SAVE_H
#define HP_SAVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hp_columns.h"
#include "hp_err.h"

#define HP_SAVE_SNAPLEN_MAX 262144u

/* One packet to be written. */
struct hp_saved {
	const uint8_t *data;
	int64_t ts_ns;
	uint32_t caplen;
	uint32_t len;
	uint8_t direction;	/* HP_DIR_IN, HP_DIR_OUT, 0: not known; pcap does not have it */
	int stays;		/* the data stay where they are until the next hp_save_drain() */
};

struct hp_save {
	int fd;
	int pcapng;
	int nanoseconds;
	int regular;		/* what was written can be taken back */
	int broken;		/* it could not, and the output ends in the middle of a record */
	uint32_t snaplen;	/* longer packets are cut */
	uint64_t packets;	/* whole records, pending ones included */
	uint64_t bytes;
	uint64_t most;		/* bytes that hp_save_columns() lets it have */

	uint8_t *arena;
	uint32_t arena_used;
	struct iovec *pieces;
	uint32_t piece_nr;
	uint32_t piece_at;	/* the first that is not yet written */
	uint32_t *sizes;	/* of the records pending */
	uint32_t record_nr;
	uint64_t drained;	/* bytes of them that are written */
	struct hp_err err;
};

#define HP_PCAP_HEAD_BYTES 24u

/*
 * Looks for the end of a file's last whole record, from the one at *end on, within `size` bytes: 0, and *end is it;
 * 1 where there are more to look at after so many, call again; -errno.
 */
int hp_save_find_end(const struct hp_save *save, uint64_t size, uint64_t *end);

/* Memory for what pends; the other fields are the caller's to set before or after. 0 or -ENOMEM. */
int hp_save_open(struct hp_save *save);
void hp_save_close(struct hp_save *save);	/* leaves the descriptor alone */

/*
 * Adds a packet. 0; -EOVERFLOW where its time does not fit into the format, and `err`; or hp_save_drain()'s
 * -errno, where it was not added.
 */
int hp_save_put(struct hp_save *save, const struct hp_saved *packet);

/*
 * Adds the rows from *row on, and counts it up; ends before one that would make more than `most` bytes.
 * As hp_save_put(), whose -EINTR means: call again.
 */
int hp_save_columns(struct hp_save *save, const struct hp_columns *columns, uint32_t *row);

/* Hands everything pending to the kernel. 0 or -errno; the next call goes on at the same byte. */
int hp_save_drain(struct hp_save *save);

/* Gives up what pends, after an error: the file then ends with its last whole record. 0 or -errno. */
int hp_save_abandon(struct hp_save *save);

#endif
