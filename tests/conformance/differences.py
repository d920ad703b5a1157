# SPDX-License-Identifier: BSD-3-Clause
"""Every intended difference between pcapy-ng 2.1.0 and hugepcap, with its reason.

The conformance tests allow no other, and show that each of these is one. Run as a program, this prints
docs/differences.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Difference(NamedTuple):
    name: str
    theirs: str
    ours: str
    why: str


MENDED = "Faults mended"
EXTENDED = "More is accepted"
STRICTER = "Wrong calls that went unnoticed"
DESIGN = "Different by design"

TABLE: dict[str, list[Difference]] = {
    MENDED: [
        Difference("idle reads return",
                   "`next`, `dispatch` and `next_batch` never return on an idle link, whatever `to_ms`",
                   "they return pcapy's empty answer after `to_ms` (0: never)",
                   "libpcap waits for a TPACKET_V3 ring without a time limit"),
        Difference("Ctrl-C ends a wait",
                   "Ctrl-C is not seen until a packet comes",
                   "KeyboardInterrupt within 0.2 s, from every kind of wait",
                   "a program must be stoppable on an idle link"),
        Difference("exception on the last packet",
                   "an exception of the callback on the last packet of `loop(n)` becomes SystemError",
                   "it comes out as it is",
                   "pcapy-ng looks at libpcap's result before the exception"),
        Difference("call after an exception",
                   "after an exception on the last packet of `dispatch(n)` the next call ends at once, with no "
                   "packet: SystemError from `loop`",
                   "the next call goes on with the following packet",
                   "libpcap's break flag is left set"),
        Difference("close in the callback",
                   "a segmentation fault",
                   "the loop ends after this packet, as after `breakloop()`",
                   "the handle is freed under libpcap's feet"),
        Difference("close from another thread",
                   "the reading thread goes on in freed memory",
                   "the read ends; what comes after raises ValueError",
                   "the handle is freed under libpcap's feet"),
        Difference("short data in dump",
                   "`Dumper.dump` writes whatever memory follows the data when it is shorter than the header says",
                   "ValueError",
                   "memory of the process leaks into the file"),
        Difference("setfilter keeps its memory",
                   "each `setfilter` leaks its program",
                   "none is leaked",
                   "the compiled program is not freed"),
        Difference("filtered_stats before a run",
                   "uninitialised memory",
                   "zeros",
                   "nothing has been counted"),
        Difference("stats before activate",
                   "uninitialised memory",
                   "PcapError",
                   "libpcap's refusal is overlooked"),
        Difference("nanosecond files",
                   "a file in nanoseconds is read in microseconds, and dumped so",
                   "`getts()` stays microseconds; `Pkthdr.ts_ns` has the nanoseconds and `dump_open` keeps them",
                   "nothing should be lost in copying a file"),
        Difference("batch before a fault in a file",
                   "`next_batch` on a truncated file raises PcapError and drops the packets before the fault",
                   "these are returned; the next call raises PcapError",
                   "what came before the fault is good"),
        Difference("loop_to_buffer on a truncated file",
                   "returns as if the file had ended there",
                   "returns what came before; the next call raises PcapError, as every other reading method does",
                   "libpcap's result is overlooked"),
        Difference("dispatch to the end of a file",
                   "returns 0 whenever the end of the file is met, however many packets were delivered",
                   "returns how many were delivered",
                   "libpcap 1.9.1 forgets its count there; 0 should mean that there are no more"),
        Difference("later fragments",
                   "the first bytes of a later IPv4 fragment are taken for its ports by `loop_filtered` and "
                   "`loop_to_buffer`",
                   "a later fragment has no ports: OTHER, unless its addresses are in the set",
                   "they are payload; pcapy-ng's README says what we do"),
        Difference("filters for directions",
                   "with `inbound` or `outbound` the packets of the blocks being filled when the filter is set are "
                   "lost",
                   "none is",
                   "libpcap filters these itself, by an interpreter that does not know the packet's direction"),
        Difference("reasons of BPFProgram",
                   "`BPFProgram` says only that the filter did not compile",
                   "the message has libpcap's reason",
                   "an error should say what to mend"),
        Difference("keywords of BPFProgram",
                   "`BPFProgram(text, linktype=12)` ignores the keyword, and any other, and compiles for Ethernet",
                   "`linktype=` is what it says; any other keyword is a TypeError",
                   "a program for another link type matches at random"),
    ],
    EXTENDED: [
        Difference("paths", "`open_offline` and `dump_open` take only str", "also bytes and path-like objects",
                   "as everything else in Python does"),
        Difference("buffers",
                   "`sendpacket`, `Dumper.dump`, `BPFProgram.filter` and `addr_set` take only read-only buffers",
                   "any buffer: bytearray, memoryview, mmap", "no copy needed"),
        Difference("programs as filters", "`setfilter` takes only str", "also a `BPFProgram`", "compile once, use often"),
        Difference("ring size", "`set_buffer_size` raises OverflowError from 2^31 bytes",
                   "up to 65,535 blocks of 2 MiB (128 GiB)", "libpcap's own limit does not bind our ring"),
        Difference("options of open_live", "`open_live` takes no keywords",
                   "keyword-only `policy`, `ring_bytes`, `block_bytes`, `strict`, `filter`, `immediate`, "
                   "`tstamp_type`, `tstamp_precision`, `held`",
                   "most programs need no `create()` for one setting"),
        Difference("error classes", "errors are PcapError and nothing else",
                   "also a builtin for a right, file, device or memory that is missing (PermissionError, "
                   "FileNotFoundError, OSError, MemoryError), with `errno`, `operation`, `detail`",
                   "both ways of catching them work"),
        Difference("types", "`Reader`, `Pkthdr` and `Dumper` are not exported; there is no iteration",
                   "they are, and `for hdr, data in reader` works; `Pkthdr` can be made by hand",
                   "for type annotations and for writing packets of one's own"),
        Difference("context managers", "a Dumper is no context manager", "`with reader.dump_open(path) as dumper`",
                   "so that the file is complete when it is left"),
        Difference("subclasses of BPFProgram", "BPFProgram cannot be subclassed", "it can be", "no reason against it"),
        Difference("counts of loop_to_buffer", "`filtered_stats` shows only runs of `loop_filtered`",
                   "also those of `loop_to_buffer`, while they run", "it runs without the GIL so that others can look"),
    ],
    STRICTER: [
        Difference("reading before activate",
                   "on a handle that is not activated `next()` gives `(None, b'')`, and `loop_to_buffer()` zeros",
                   "PcapError", "it can never give a packet; every other method says so"),
        Difference("sending before activate", "`sendpacket` does nothing, and returns None", "PcapError",
                   "the packet was not sent"),
        Difference("setdirection before activate", "does nothing, and returns None", "PcapError",
                   "the direction was not set"),
        Difference("getnonblock before activate", "-3", "0, or 1 once set", "-3 is libpcap's error code, not a mode"),
        Difference("unknown directions", "`setdirection(3)` on a live capture returns None", "PcapError",
                   "there is no such direction"),
        Difference("stray arguments", "`getfd`, `datalink`, `getnet`, `getmask`, `getnonblock`, `getts`, `getlen`, "
                   "`getcaplen`, `findalldevs` and `lookupdev` ignore arguments", "TypeError", "they take none"),
        Difference("wrong arguments on a closed Reader", "ValueError(\"pcap is closed\") whatever the arguments",
                   "TypeError for a wrong number of them; ValueError as theirs for wrong types and values",
                   "Python checks these before any method runs"),
        Difference("callbacks", "a callback that is not callable goes unnoticed as long as there is no packet",
                   "TypeError at once, from `loop`, `dispatch` and `loop_filtered` (unless that admits none)",
                   "better found at the call than at the first packet"),
    ],
    DESIGN: [
        Difference("default ring", "2 MiB", "64 MiB", "2 MiB is why pcapy's programs lose packets"),
        Difference("counting on loopback",
                   "on `lo` `ps_recv` counts each packet twice, once going out and once coming in",
                   "once: the outgoing copy, which is never delivered, is dropped before it is counted",
                   "the count is of packets delivered or lost"),
        Difference("setnonblock after a failed activate",
                   "PcapError from `setnonblock` once `activate()` has failed, none before it was called",
                   "None both times: the mode is for the `activate()` that works",
                   "what `activate()` left behind in libpcap's handle is no concern of the mode"),
        Difference("order of instructions", "`get_bpf()` gives what libpcap 1.9.1 compiles, which its wheels bring",
                   "what the system's libpcap compiles: the same tests, from 1.10 on in another order",
                   "a newer compiler; the programs match the same packets"),
        Difference("order of devices", "`findalldevs()` has libpcap 1.9.1's devices in its order",
                   "the system's libpcap's: `any` before `lo`, more kinds of devices",
                   "what it lists can be captured on"),
    ],
}

DIFFERENCES = {each.name: each for group in TABLE.values() for each in group}


def differ(lib: Any, name: str, theirs: Any, ours: Any) -> Any:
    """What is expected of `lib` where a listed difference shows."""
    assert name in DIFFERENCES, f"{name!r} is not listed"
    assert theirs != ours, f"{name!r} is listed as a difference, but is none"
    return theirs if lib.__name__ == "pcapy" else ours


def as_markdown() -> str:
    lines = ["# Where hugepcap differs from pcapy-ng 2.1.0", "",
             "`import hugepcap as pcapy` behaves as pcapy-ng does, but for what follows. The conformance suite",
             "(`tests/conformance`) runs over both and allows no other difference; this page is made from its table",
             "by `python tests/conformance/differences.py > docs/differences.md`.", ""]
    for title, group in TABLE.items():
        lines += [f"## {title}", "", "| | pcapy-ng 2.1.0 | hugepcap | why |", "|---|---|---|---|"]
        lines += [f"| {each.name} | {each.theirs} | {each.ours} | {each.why} |" for each in group]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown(), end="")
