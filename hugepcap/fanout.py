# SPDX-License-Identifier: BSD-3-Clause
"""Fanout: several Readers that share one device's traffic, each in a thread or process of its own.

Source: PACKET_FANOUT in packet(7).
"""

from __future__ import annotations

import array
import contextlib
import itertools
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
from typing import Any, NamedTuple, Optional, Protocol, Union

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

Work = Callable[[Reader], Any]
_Outcome = tuple[Optional[BaseException], Any]    # what a call raised, or returned
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
    def outcome(self) -> _Outcome: ...
    def close(self) -> None: ...


class _ThreadWorker:
    """A Reader and the thread that works on it. The GIL is free while batches are collected."""

    def __init__(self, group: _Group) -> None:
        self.reader = group.open()
        self.thread: threading.Thread | None = None
        self.counts = (0, 0, 0)
        self.ended: _Outcome = None, None

    def admit(self) -> None:
        self.reader.admit()

    def start(self, work: Work) -> None:
        self.thread = threading.Thread(target=self._run, args=(work,), name="hugepcap fanout")
        self.thread.start()

    def _run(self, work: Work) -> None:
        try:
            self.ended = None, work(self.reader)
        except BaseException as error:  # stop() passes it on
            self.ended = error, None

    def stats(self) -> tuple[int, int, int]:
        self.counts = _last_counts(self.reader) or self.counts
        return self.counts

    def stop(self) -> None:
        if self.thread is threading.current_thread():
            raise PcapError("stop: a worker cannot wait for itself; leave its loop, and stop the Fanout where it was made")
        _stop(self.reader)

    def outcome(self) -> _Outcome:
        if self.thread is not None:
            self.thread.join()
        return self.ended

    def close(self) -> None:
        self.reader.close()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()


def _stop(reader: Reader) -> None:
    with contextlib.suppress(ValueError):    # its work has closed it, and it takes nothing in
        reader.stop()


class WorkerGone(PcapError):
    """A worker process is no more."""


class _ProcessWorker:
    """A process that opens its own Reader. It is asked over a pipe, one thread at a time, and answers at once; what
    its work ends with comes over another, so that waiting for it keeps nobody from asking."""

    def __init__(self, group: _Group) -> None:
        context = multiprocessing.get_context("fork")
        self.owner = os.getpid()
        self.asking = threading.Lock()
        self.numbers = itertools.count()
        self.asks, asked = context.Pipe()
        self.answers, answering = context.Pipe()
        self.slots = Slots(context)
        self.counts = (0, 0, 0)
        self.waiting = threading.Lock()
        self.ended: _Outcome | None = (None, None)    # None: what its work ends with is yet to come
        group.parents_ends += [self.asks, self.answers, *self.slots.parents_ends]
        self.process = context.Process(target=_process_main, args=(group, asked, answering, self.slots), daemon=True)
        self.process.start()
        asked.close()
        answering.close()
        self.slots.leave_to_worker()
        error, group.number = self._answer()
        if error is not None:
            self.close()
            self.process.close()
            raise error

    def _answer(self) -> _Outcome:
        try:
            pickled = self.answers.recv_bytes()
        except (EOFError, OSError):
            return self._gone(), None
        try:
            return pickle.loads(pickled)  # type: ignore[no-any-return]
        except Exception as error:    # what the result's own class raises here
            return error, None

    def _gone(self) -> WorkerGone:
        self.process.join()
        status = self.process.exitcode or 0
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return WorkerGone(f"fanout: worker process {self.process.pid} {how}; what its ring had is lost")

    def _ask(self, request: str, value: object = None) -> Any:
        if os.getpid() != self.owner:
            raise PcapError("this Fanout was opened before a fork and belongs to the parent: open one of its own in "
                            "the child")
        try:
            with self.asking:
                error, answer = self._exchange(request, value)
        except (EOFError, OSError):
            raise self._gone() from None
        if error is not None:
            raise error
        return answer

    def _exchange(self, request: str, value: object) -> _Outcome:
        """Leaves out the answer to an earlier request, whose wait an exception (KeyboardInterrupt) ended."""
        number = next(self.numbers)
        self.asks.send((number, request, bytes(ForkingPickler.dumps(value))))
        while True:
            answered, outcome = self.asks.recv()
            if answered == number:
                return outcome

    def admit(self) -> None:
        self._ask("admit")

    def start(self, work: Work) -> None:
        self._begin("start", work)

    def hand_over(self) -> None:
        self._begin("hand over")

    def _begin(self, request: str, work: Work | None = None) -> None:
        try:
            self._ask(request, work)
            self.ended = None
        except Exception as error:
            self.ended = error, None
            raise

    def take(self) -> Batch | None:
        """The next batch of a worker that hands them over; None at its end."""
        try:
            batch = self.slots.take()
        except EOFError:
            raise self._gone() from None
        if batch is None:
            _raise_first([self.outcome()])
        return batch

    def stats(self) -> tuple[int, int, int]:
        with contextlib.suppress(WorkerGone):
            self.counts = self._ask("stats") or self.counts
        return self.counts

    def stop(self) -> None:
        try:
            self._ask("stop")
        except WorkerGone:    # perhaps since its work has ended, and what that came to is here
            _raise_first([self.outcome()])

    def outcome(self) -> _Outcome:
        """What its work ended with, for every call again; waits for it."""
        with self.waiting:
            if self.ended is None:
                error, answer = self._answer()
                result, counts = answer or (None, None)
                self.counts = counts or self.counts
                self.ended = error, result
            return self.ended

    def close(self) -> None:
        if os.getpid() == self.owner:
            self._end()
        self.asks.close()
        self.answers.close()
        self.slots.close()

    def _end(self) -> None:
        """Asks for it: whatever was forked since may have the pipe, which then stays open where we close it."""
        with self.asking, contextlib.suppress(OSError):    # it is gone already, or this is a second close()
            self.asks.send((next(self.numbers), "close", b""))
        self.process.join()


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


def _outcome(call: Callable[..., Any], *args: Any) -> _Outcome:
    """What a call in a worker process ends with, as its parent can have it."""
    try:
        return None, call(*args)
    except BaseException as error:
        return _portable(error), None


def _process_main(group: _Group, asked: Connection, answering: Connection, slots: Slots) -> None:
    """A worker process: opens its Reader, then does what it is asked until it is to close, or the pipe closes.

    The parent's ends came with the fork: as long as a child has them, no other sees its pipe close.
    A terminal's Ctrl-C goes to every process, but it is the parent that ends the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in group.parents_ends:
        end.close()
    error, reader = _outcome(group.open)
    answering.send((error, group.number))
    if error is None:
        with reader, contextlib.suppress(EOFError, OSError):    # the parent is gone
            _serve(reader, asked, answering, slots)


def _serve(reader: Reader, asked: Connection, answering: Connection, slots: Slots) -> None:
    """Every request has an answer, also one that fails, or whose value cannot be unpickled here."""

    def start(work: Work) -> None:
        threading.Thread(target=_work_on, args=(work, reader, answering), daemon=True).start()

    does = {"hand over": lambda _: start(slots.fill), "start": start, "admit": lambda _: reader.admit(),
            "stats": lambda _: _last_counts(reader), "stop": lambda _: _stop(reader)}
    while True:
        number, request, pickled = asked.recv()
        if request == "close":
            return
        asked.send((number, _outcome(lambda: does[request](pickle.loads(pickled)))))


def _work_on(work: Work, reader: Reader, answering: Connection) -> None:
    try:
        answering.send((None, (work(reader), _last_counts(reader))))
    except BaseException as error:
        answering.send((_portable(error), None))


def _last_counts(reader: Reader) -> tuple[int, int, int] | None:
    with contextlib.suppress(ValueError):    # the work has closed it
        return reader.stats()
    return None


def _error_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _raise_first(outcomes: Sequence[_Outcome]) -> None:
    for error, _ in outcomes:
        if error is not None:
            raise error


class Fanout:
    """A device's traffic, shared by workers; made by open_fanout().

    ``start(work)`` calls ``work(reader)`` once in each worker, ``stop()`` ends the capture: every worker still
    reads what its ring has, and stop() returns what the calls of ``work`` returned. Use it with ``with``.
    """

    def __init__(self, group: _Group, workers: int, processes: bool) -> None:
        self._workers: list[_Worker] = []
        self._started = False
        self._handing_over = False
        self._closed = False
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
        if any(isinstance(worker, _ProcessWorker) for worker in self._workers):
            _check_portable(work)
        self._start_once()
        for worker in self._workers:
            worker.start(work)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("fanout is closed")

    def _start_once(self) -> None:
        self._check_open()
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
        workers = [worker for worker in self._workers if isinstance(worker, _ProcessWorker)]
        if not workers:
            raise PcapError("batches: it takes processes=True; with threads, start() work that reads")
        self._start_once()
        self._handing_over = True
        for worker in workers:
            worker.hand_over()
        return self._batches_of({worker.slots.filled: worker for worker in workers})

    def _batches_of(self, workers: dict[Connection, _ProcessWorker]) -> Iterator[Batch]:
        """Until all have ended, or close()."""
        try:
            yield from self._batches_while_open(workers)
        except (OSError, ValueError, WorkerGone):    # perhaps since the pipes were closed
            if not self._closed:
                raise

    def _batches_while_open(self, workers: dict[Connection, _ProcessWorker]) -> Iterator[Batch]:
        while workers and not self._closed:
            for end in wait(list(workers)):
                batch = workers[end].take()  # type: ignore[index]
                if batch is None:
                    del workers[end]  # type: ignore[arg-type]
                else:
                    yield batch
                    del batch

    def stats(self) -> FanoutStats:
        """The counts so far. They stay what they were when stop() has returned.

        Of a worker whose ``work`` has closed its Reader: those that were asked for last.
        """
        self._check_open()
        counts = [worker.stats() for worker in self._workers]
        return FanoutStats(tuple(map(sum, zip(*counts))), counts)  # type: ignore[arg-type]

    def stop(self) -> list[Any]:
        """Takes no more packets in, waits until the workers have read what there is; the results of ``work``.

        What a worker raised comes out here, when all have ended; of worker processes as a PcapError with its
        traceback where it cannot be pickled. A second call gives, or raises, the same again.
        """
        self._check_open()
        if not self._started:
            raise PcapError("stop: this Fanout was not started")
        outcomes = self._outcomes()
        _raise_first(outcomes)
        return [] if self._handing_over else [result for _, result in outcomes]

    def _outcomes(self) -> list[_Outcome]:
        """All workers are told to stop before one is waited for. One that cannot be stopped may never end, and is
        not waited for."""
        told = [(worker, _error_of(worker.stop)) for worker in self._workers]
        return [(error, None) if error is not None or self._handing_over else worker.outcome()
                for worker, error in told]

    def close(self) -> None:
        """Ends everything at once; packets not yet read are lost. A second call does nothing, any other then raises
        ``ValueError("fanout is closed")``."""
        self._closed = True
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
    fragments together first, so that they share their flow's hash; on for "hash" unless given. ``rollover``: a full
    ring's packets go to another worker. ``processes``: worker processes in place of threads. ``options`` are
    open_live()'s; ``snaplen`` (65535), ``promisc`` (1) and ``to_ms`` (100) among them; ``ring_bytes`` is each worker's,
    and less where all would not fit into memory. Raises PcapError, ValueError. Source: packet(7).
    """
    if not 0 < workers <= WORKERS_MAX:
        raise ValueError(f"{workers} workers: a group has 1 to {WORKERS_MAX}")
    options["ring_bytes"] = ring_bytes_each(workers, check_ring_bytes(options.get("ring_bytes") or 0),
                                            options.get("strict"))
    whole_flows = mode == "hash" if defragment is None else defragment
    group = _Group(device, mode, defragment=whole_flows, rollover=rollover, program=program, options=options)
    return Fanout(group, workers, processes)
