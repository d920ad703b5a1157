#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Top talkers by SQL over a running capture: top_talkers.py DEVICE [PACKETS]. Needs pyarrow and duckdb.

Each batch becomes an Arrow table without a copy; DuckDB adds it to a table that can be asked at any time.
"""

import ipaddress
import sys

import duckdb
import pyarrow as pa

import hugepcap

ADD = """
    insert into talkers
    select src, count(*), sum(bytes) from batch_table where ip_version > 0 group by src
    on conflict (src) do update set packets = packets + excluded.packets, bytes = bytes + excluded.bytes
"""
TOP = "select src, packets, bytes from talkers order by bytes desc, src limit 10"


def table_of(batch):
    """Source address and size of each packet, in the columns' own memory."""
    flows = batch.flows()
    src = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(batch), [None, pa.py_buffer(flows.src)])
    return pa.table({"ip_version": pa.Array.from_buffers(pa.uint8(), len(batch), [None, pa.py_buffer(flows.ip_version)]),
                     "src": src.cast(pa.binary()),
                     "bytes": pa.Array.from_buffers(pa.uint32(), len(batch), [None, pa.py_buffer(batch.len)])})


def name_of(address):
    found = ipaddress.IPv6Address(address)
    return str(found.ipv4_mapped or found)


def main(device, packets=100_000):
    database = duckdb.connect()
    database.execute("create table talkers (src blob primary key, packets bigint, bytes bigint)")
    with hugepcap.open_live(device, 65535, 1, 100) as reader:
        for batch in reader.batches(limit=packets, timeout=1.0):
            if batch:
                batch_table = table_of(batch)  # noqa: F841 DuckDB finds it by its name
                database.execute(ADD)
    for src, count, size in database.execute(TOP).fetchall():
        print(f"{name_of(src):<40} {count:>10,} packets {size:>14,} bytes")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
