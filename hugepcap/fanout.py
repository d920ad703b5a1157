# SPDX-License-Identifier: BSD-3-Clause
"""Fanout: several Readers that share one device's traffic, each in a thread or process of its own.

Source: PACKET_FANOUT in packet(7).
"""

from __future__ import annotations

import array
import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Union

from . import constants
from ._batch import Batch
from ._reader import Reader, open_live
from .errors import PcapError
from .settings import check_ring_bytes, ring_bytes_each
from .slots import Slots

SOL_PACKET = 263
PACKET_FANOUT = 18
PACKET_FANOUT_DATA = 22

MODES = {
    "hash": constants.PACKET_FANOUT_HASH, "lb": constants.PACKET_FANOUT_LB, "cpu": constants.PACKET_FANOUT_CPU,
    "rollover": constants.PACKET_FANOUT_ROLLOVER, "rnd": constants.PACKET_FANOUT_RND,
    "qm": constants.PACKET_FANOUT_QM, "cbpf": constants.PACKET_FANOUT_CBPF, "ebpf": constants.PACKET_FANOUT_EBPF,
}
WORKERS_MAX = 256    # of a group, in the kernel
CLOSE_S = 10    # after which a worker process that does not end is killed

Work = Callable[[Reader], Any]
Insns = Sequence[tuple[int, int, int, int]]    # (code, jt, jf, k) each, as BPFProgram.get_bpf() lists them
Program = Union[int, Insns]


class FanoutStats(NamedTuple):
    """(received, dropped, dropped by the device) as Reader.stats() counts them: all workers', and each one's."""

    total: tuple[int, int, int]
    workers: list[tuple[int, int, int]]


class _Group:
    """What the members of a group have in common; the first member's socket gives it a number of its own."""

    def __init__(self, device: str, mode: str, *, defragment: bool, rollover: bool, program: Program | None,
                 options: dict[str, Any]) -> None:
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if isinstance(program, int) != (mode == "ebpf") or (program is None) == (mode in ("cbpf", "ebpf")):
            raise ValueError("program: the descriptor of a loaded eBPF program for mode 'ebpf', a list of classic BPF "
                             "instructions for 'cbpf', else None")
        self.device = device
        self.options = {"snaplen": 65535, "promisc": 1, "to_ms": 100, **options}
        self.program = program
        self.kind = MODES[mode]
        if defragment:
            self.kind |= constants.PACKET_FANOUT_FLAG_DEFRAG
        if rollover:
            self.kind |= constants.PACKET_FANOUT_FLAG_ROLLOVER
        self.number: int | None = None
        self.parents_ends: list[Connection] = []    # of pipes to worker processes; see _process_main

    def open(self) -> Reader:
        """A Reader in the group. Only a bound socket can join one, so it is held back until it has."""
        options = dict(self.options)
        first = [options.pop(name) for name in ("snaplen", "promisc", "to_ms")]
        reader = open_live(self.device, *first, held=True, **options)
        try:
            self._join(reader)
        except BaseException:
            reader.close()
            raise
        return reader

    def _join(self, reader: Reader) -> None:
        if self.number is not None:
            reader.set_fanout(self.number, self.kind)
            return
        reader.set_fanout(0, self.kind | constants.PACKET_FANOUT_FLAG_UNIQUEID)
        with socket.socket(fileno=os.dup(reader.getfd())) as sock:
            self.number = sock.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xFFFF
            if self.program is not None:
                _set_program(sock, self.program)


def _set_program(sock: socket.socket, program: Program) -> None:
    """Gives a group what decides: a descriptor, or struct sock_fprog of <linux/filter.h>."""
    if isinstance(program, int):
        sock.setsockopt(SOL_PACKET, PACKET_FANOUT_DATA, program)
        return
    insns = array.array("B", b"".join(struct.pack("=HBBI", *insn) for insn in program))
    sock.setsockopt(SOL_PACKET, PACKET_FANOUT_DATA, struct.pack("@HP", len(program), insns.buffer_info()[0]))


class _Worker(Protocol):
    def admit(self) -> None: ...
    def start(self, work: Work) -> None: ...
    def stats(self) -> tuple[int, int, int]: ...
    def stop(self) -> None: ...
    def join(self) -> Any: ...
    def close(self) -> None: ...


def _stop(reader: Reader) -> None:
    with contextlib.suppress(ValueError):    # its work has closed it
        reader.stop()


class _ThreadWorker:
    """A Reader and the thread that works on it. The GIL is free while batches are collected."""

    def __init__(self, group: _Group) -> None:
        self.reader = group.open()
        self.thread: threading.Thread | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def admit(self) -> None:
        self.reader.admit()

    def start(self, work: Work) -> None:
        self.thread = threading.Thread(target=self._run, args=(work,), name="hugepcap fanout")
        self.thread.start()

    def _run(self, work: Work) -> None:
        try:
            self.result = work(self.reader)
        except BaseException as error:  # join() passes it on
            self.error = error

    def stats(self) -> tuple[int, int, int]:
        return self.reader.stats()

    def stop(self) -> None:
        _stop(self.reader)

    def join(self) -> Any:
        if self.thread is not None:
            self.thread.join()
        if self.error is not None:
            raise self.error
        return self.result

    def close(self) -> None:
        self.reader.close()
        if self.thread is not None:
            self.thread.join()


class _ProcessWorker:
    """A process that opens its own Reader; it is asked over a pipe, and answers over another."""

    def __init__(self, group: _Group) -> None:
        context = multiprocessing.get_context("fork")
        self.asks, asked = context.Pipe()
        self.answers, answering = context.Pipe()
        self.slots = Slots(context)
        self.counts = (0, 0, 0)
        self.asking = threading.Lock()    # a request and its answer belong together
        self.joining = threading.Lock()
        self.outcome: tuple[BaseException | None, Any] | None = None
        group.parents_ends += [self.asks, self.answers, *self.slots.parents_ends]
        self.process = context.Process(target=_process_main, args=(group, asked, answering, self.slots), daemon=True)
        self.process.start()
        asked.close()
        answering.close()
        self.slots.leave_to_worker()
        group.number = self._answer()

    def _answer(self) -> Any:
        try:
            error, value = self.answers.recv()
        except EOFError:
            raise self._gone() from None
        if error is not None:
            raise error
        return value

    def _gone(self) -> PcapError:
        self.process.join()
        status = self.process.exitcode or 0
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return PcapError(f"fanout: worker process {self.process.pid} {how}; what its ring had is lost")

    def _ask(self, request: str, value: object = None) -> Any:
        try:
            with self.asking:
                self.asks.send((request, value))
                error, answer = self.asks.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if error is not None:
            raise error
        return answer

    def admit(self) -> None:
        self._ask("admit")

    def start(self, work: Work) -> None:
        self._ask("start", work)

    def hand_over(self) -> None:
        self._ask("hand over")

    def take(self) -> Batch | None:
        """The next batch of a worker that hands them over; None at its end."""
        try:
            batch = self.slots.take()
        except EOFError:
            raise self._gone() from None
        if batch is None:
            self.join()
        return batch

    def stats(self) -> tuple[int, int, int]:
        if self.process.is_alive():
            self.counts = self._ask("stats")
        return self.counts

    def stop(self) -> None:
        self._ask("stop")

    def join(self) -> Any:
        with self.joining:
            if self.outcome is None:
                self.outcome = self._outcome()
        error, value = self.outcome
        if error is not None:
            raise error
        result, counts = value
        self.counts = counts or self.counts    # None: its work has closed the Reader
        return result

    def _outcome(self) -> tuple[BaseException | None, Any]:
        """What work() came to, which is said once."""
        try:
            return self.answers.recv()  # type: ignore[no-any-return]
        except EOFError:
            return self._gone(), None

    def close(self) -> None:
        """Asks it to end: any process that was forked meanwhile has the pipe, too, so closing that says nothing."""
        with self.asking, contextlib.suppress(OSError):    # it has ended
            self.asks.send(("close", None))
        self.process.join(CLOSE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self.asks.close()
        self.answers.close()
        self.slots.close()


def _portable(error: BaseException) -> BaseException:
    """What a worker process raised as its parent can have it: itself, or a PcapError that tells of it."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:    # whatever its own class raises on the way
        pass
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return PcapError(f"{type(error).__name__}: {error}, raised in worker process {os.getpid()}:\n{told}")


def _check_portable(work: Work) -> None:
    try:
        ForkingPickler.dumps(work)
    except Exception as error:    # PicklingError, AttributeError, TypeError, or what work's own class raises
        raise PcapError(f"start: {work!r} cannot be sent to worker processes ({error}): it has to be a function of a "
                        "module") from error


def _process_main(group: _Group, asked: Connection, answering: Connection, slots: Slots) -> None:
    """A worker process: opens its Reader, then does what it is asked until it is to close, or its parent is gone.

    The parent's ends came with the fork: as long as a child has them, no other sees its pipe close.
    A terminal's Ctrl-C goes to every process, but it is the parent that ends the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in group.parents_ends:
        end.close()
    try:
        reader = group.open()
    except BaseException as error:
        answering.send((_portable(error), None))
        return
    answering.send((None, group.number))

    def work_on(work: Work) -> None:
        try:
            result = work(reader)
            answering.send((None, (result, None if reader.closed else reader.stats())))
        except BaseException as error:
            answering.send((_portable(error), None))

    def start(work: Work) -> None:
        threading.Thread(target=work_on, args=(work,), daemon=True).start()

    does = {"hand over": lambda _: start(slots.fill), "admit": lambda _: reader.admit(), "start": start,
            "stats": lambda _: reader.stats(), "stop": lambda _: _stop(reader)}
    with contextlib.suppress(EOFError):
        while (request := asked.recv())[0] != "close":
            asked.send(_answer_of(does[request[0]], request[1]))
    reader.close()


def _answer_of(do: Callable[[Any], Any], value: object) -> tuple[BaseException | None, Any]:
    try:
        return None, do(value)
    except Exception as error:
        return _portable(error), None


def _of_each(workers: list[_Worker], do: Callable[[_Worker], Any]) -> tuple[list[Any], list[Exception]]:
    """What came of it with each worker, whatever became of the others; and what was raised."""
    results: list[Any] = []
    errors: list[Exception] = []
    for worker in workers:
        try:
            results.append(do(worker))
        except Exception as error:
            errors.append(error)
    return results, errors


class Fanout:
    """A device's traffic, shared by workers; made by open_fanout().

    ``start(work)`` calls ``work(reader)`` once in each worker, ``stop()`` ends the capture: every worker still
    reads what its ring has, and stop() returns what the calls of ``work`` returned. Use it with ``with``.
    """

    def __init__(self, group: _Group, workers: int, processes: bool) -> None:
        self._workers: list[_Worker] = []
        self._started = False
        self._handing_over = False
        try:
            for _ in range(workers):
                self._workers.append(_ProcessWorker(group) if processes else _ThreadWorker(group))
            for worker in self._workers:
                worker.admit()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._workers)

    def start(self, work: Work) -> None:
        """Lets each worker call ``work(reader)``, which reads until its loop ends. Once.

        For worker processes ``work`` is a function of a module, and what it returns can be pickled. They ignore
        SIGINT: after Ctrl-C it is this process that calls stop() or close().
        """
        self._check_open()
        if any(isinstance(worker, _ProcessWorker) for worker in self._workers):
            _check_portable(work)
        self._start_once()
        for worker in self._workers:
            worker.start(work)

    def _check_open(self) -> None:
        if not self._workers:
            raise ValueError("this Fanout is closed")

    def _start_once(self) -> None:
        if self._started:
            raise PcapError("start: this Fanout was started already")
        self._started = True

    def batches(self) -> Iterator[Batch]:
        """Batches of all worker processes, in place of start(): each captures, copies into memory shared with this
        process, and waits where four slots of 8 MiB are not yet given back.

        A batch's packets stay where they are until its last view is gone, which gives its slot back; copy() what
        is to be kept. stop(), from another thread or the loop's own body, returns at once then: the iteration
        ends when all that was captured has come. Raises PcapError where a worker process is gone, and what its
        capture raised.
        """
        self._check_open()
        workers = [worker for worker in self._workers if isinstance(worker, _ProcessWorker)]
        if not workers:
            raise PcapError("batches: it takes processes=True; with threads, start() work that reads")
        self._start_once()
        self._handing_over = True
        for worker in workers:
            worker.hand_over()
        return self._batches_of({worker.slots.filled: worker for worker in workers})

    def _batches_of(self, workers: dict[Connection, _ProcessWorker]) -> Iterator[Batch]:
        while workers:
            for end in wait(list(workers)):
                batch = workers[end].take()  # type: ignore[index]
                if batch is None:
                    del workers[end]  # type: ignore[arg-type]
                else:
                    yield batch
                    del batch

    def stats(self) -> FanoutStats:
        """The counts so far. They stay what they were when stop() has returned. ValueError after close()."""
        self._check_open()
        counts = [worker.stats() for worker in self._workers]
        return FanoutStats(tuple(map(sum, zip(*counts))), counts)  # type: ignore[arg-type]

    def stop(self) -> list[Any]:
        """Takes no more packets in, waits until the workers have read what there is; the results of ``work``.

        What a worker raised comes out here, when all have ended; of worker processes as a PcapError with its
        traceback where it cannot be pickled. A second call says the same.
        """
        self._check_open()
        if not self._started:
            raise PcapError("stop: this Fanout was not started")
        _, errors = _of_each(self._workers, lambda worker: worker.stop())
        results: list[Any] = []
        if not self._handing_over:
            results, more = _of_each(self._workers, lambda worker: worker.join())
            errors += more
        if errors:
            raise errors[0]
        return results

    def close(self) -> None:
        """Ends everything at once; packets not yet read are lost. A second call does nothing."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def __enter__(self) -> Fanout:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


def open_fanout(device: str, workers: int, mode: str = "hash", *, processes: bool = False, defragment: bool | None = None,
                rollover: bool = False, program: Program | None = None, **options: Any) -> Fanout:
    """A Fanout of so many workers on a device.

    ``mode``: "hash" (a flow stays with its worker), "lb" (in turns), "cpu" (by the CPU the packet came on), "qm"
    (by the NIC's queue), "rnd", "rollover" (the first that has room), "ebpf" (as the program of the descriptor
    ``program`` says), "cbpf" (as the classic BPF instructions ``program`` say, a list of (code, jt, jf, k); the
    packet begins with its network header, the worker is the result modulo their number). ``defragment`` puts IP
    fragments together first, so that they share their flow's hash; on for "hash" unless given. ``rollover``: a full ring's packets go to another worker. ``processes``: worker
    processes in place of threads. ``options`` are open_live()'s; ``snaplen`` (65535), ``promisc`` (1) and
    ``to_ms`` (100) among them; ``ring_bytes`` is each worker's, and less where all would not
    fit into memory. Raises PcapError, ValueError. Source: packet(7).
    """
    if not 0 < workers <= WORKERS_MAX:
        raise ValueError(f"{workers} workers: a group has 1 to {WORKERS_MAX}")
    options["ring_bytes"] = ring_bytes_each(workers, check_ring_bytes(options.get("ring_bytes") or 0),
                                            options.get("strict"))
    whole_flows = mode == "hash" if defragment is None else defragment
    group = _Group(device, mode, defragment=whole_flows, rollover=rollover, program=program, options=options)
    return Fanout(group, workers, processes)
