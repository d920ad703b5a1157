# SPDX-License-Identifier: BSD-3-Clause
"""Whatever outlives whatever: no memory is read that has gone back, and in the end nothing is left.

Each scenario is a child interpreter with the build of sanitized.py: under AddressSanitizer, which also knows the
blocks that the kernel has, and with counts of what is alive, taken when the interpreter itself has gone.
"""

import textwrap

import pytest

from sanitized import KINDS

NOTHING = dict.fromkeys(KINDS, 0)

OUTLIVING = {
    "views, batch and reader": """
        reader = opened()
        batch = taken(reader)
        views = list(batch)
        assert live() == NOTHING | {"blocks": 1, "rings": 1, "readers": 1, "memories": 1, "columns": 1}
        del batch
        reader.close()
        del reader
        gc.collect()
        assert live() == NOTHING | {"blocks": 1, "rings": 1, "memories": 1}
        assert numbers(views) == list(range(5))
        """,
    "a batch, its reader": """
        reader = opened()
        batch = taken(reader)
        del reader
        gc.collect()
        assert live()["readers"] == 0 and live()["rings"] == 1
        assert numbers(batch) == list(range(5)) and list(batch.caplen) == [60] * 5
        """,
    "NumPy's arrays, everything": """
        import numpy
        reader = opened()
        batch = taken(reader)
        sizes, packet = numpy.asarray(batch.caplen), numpy.frombuffer(batch[2], "u1")
        reader.close()
        del reader, batch
        gc.collect()
        assert numbers([packet]) == [2] and sizes.sum() == 300
        del packet
        assert live() == NOTHING | {"columns": 1}, live()
        assert sizes.sum() == 300
        """,
    "parts, copies, flows and masks, everything": """
        reader = opened()
        program = hugepcap.BPFProgram("udp")
        batch = taken(reader)
        part, copy, flows, mask = batch[1:4], batch.copy(), batch.flows(), batch.mask(program)
        del reader, batch, program
        gc.collect()
        assert numbers(part) == [1, 2, 3] and numbers(copy) == list(range(5)) and list(mask) == [1] * 5
        inner = part[1:2][0]
        part.release()
        del copy
        assert numbers([inner]) == [2] and list(flows.proto) == [17] * 5
        """,
    "blocks shared by batches, in turns": """
        reader = opened(3000)
        batches = [batch for batch in reader.batches(max_packets=400, limit=3000)]
        views = [batch[-1] for batch in batches]
        for batch in batches[::2] + batches[1::2]:
            batch.release()
        assert numbers(views) == sorted(numbers(views)) and live()["blocks"] == reader.ring.held_blocks > 0
        while views:
            del views[len(views) // 2]
        assert live()["blocks"] == reader.ring.held_blocks == 0
        """,
    "a batch of a worker process, the Fanout": """
        with hugepcap.open_fanout("far", 2, processes=True) as fanout:
            batches = fanout.batches()
            send("near", 5)
            batch = next(batches)
            seen, view, sizes = numbers(batch), batch[0], batch.caplen
        del fanout, batches, batch
        gc.collect()
        assert numbers([view]) == seen[:1] and set(sizes) == {60}
        """,
    "a batch of a file, its reader": """
        from helpers.savefile import numbered, pcap_bytes
        with open("small.pcap", "wb") as file:
            file.write(pcap_bytes(numbered([b"first", b"second"])))
        reader = hugepcap.open_offline("small.pcap")
        batch = reader.next_block()
        view = batch[1]
        del reader, batch
        gc.collect()
        assert live() == NOTHING | {"chunks": 1}, live()
        assert bytes(view) == b"second"
        """,
    "a batch of a mapped file that grows, its reader": """
        from helpers.savefile import numbered, pcap_bytes
        with open("grows.pcap", "wb") as file:
            file.write(pcap_bytes(numbered([b"first"])))
            file.flush()
            reader = hugepcap.open_offline("grows.pcap", mapped=True)
            views = list(reader.next_block())
            assert reader.next_block() is None
            file.write(pcap_bytes(numbered([b"second"]))[24:])
        views += reader.next_block()
        del reader
        gc.collect()
        assert live() == NOTHING | {"chunks": 2}, live()
        assert list(map(bytes, views)) == [b"first", b"second"]
        """,
}

ARROW = """
        from arrowarray import moved, stream_of
        reader = opened()
        batch = taken(reader)
        """
ARROWS = {
    "capsules that nobody takes": ARROW + """
        schema, array = batch.__arrow_c_array__()
        del reader, batch
        gc.collect()
        assert live()["arrays"] == 10 and live()["blocks"] == 1
        """,
    "capsules, the array's first": ARROW + """
        schema, array = batch.__arrow_c_array__()
        del batch, reader, array, schema
        """,
    "an array that was taken out": ARROW + """
        schema, capsule = batch.__arrow_c_array__()
        array = moved(capsule)
        del batch, reader, schema, capsule
        gc.collect()
        assert numbers(array.packets()) == list(range(5))
        array.release()
        """,
    "children that outlive their parent": ARROW + """
        import itertools
        for order in itertools.islice(itertools.permutations(range(9)), 0, None, 9000):
            array = moved(batch.__arrow_c_array__()[1])
            children = array.take_children()
            array.release()
            gc.collect()
            for index in order:
                children[index].release()
            assert live()["arrays"] == 0
        children = moved(batch.__arrow_c_array__()[1]).take_children(release=True)
        del batch, reader
        gc.collect()
        data = children.pop()
        for child in children:
            child.release()
        assert numbers(data.packets()) == list(range(5))
        data.release()
        """,
    "arrays that outlive their stream": ARROW + """
        send("near", 5, first_seq=5)
        stream = stream_of(reader.batches(limit=5).__arrow_c_stream__())
        arrays = list(iter(stream.next, None))
        stream.release()
        del batch, reader, stream
        gc.collect()
        assert numbers(packet for array in arrays for packet in array.packets()) == list(range(5, 10))
        while arrays:
            arrays.pop(0).release()
        """,
    "a stream that nobody reads": ARROW + """
        capsule = reader.batches().__arrow_c_stream__()
        del reader, batch
        """,
}

IN_LOOPS = {
    "callbacks that raise": """
        def fail(*given):
            raise RuntimeError("a callback's own")
        for read in (lambda: reader.loop(-1, fail), lambda: reader.dispatch(-1, fail),
                     lambda: reader.loop_filtered(-1, fail)):
            with opened(5) as reader:
                try:
                    read()
                except RuntimeError as error:
                    assert "own" in str(error)
                else:
                    sys.exit("nothing was raised")
                assert live()["blocks"] <= 1 and numbers([reader.next()[1]]) == [1]
        """,
    "bodies that raise, with the batch in their frames": """
        reader = opened(5)
        def use():
            for batch in reader.batches():
                for packet in batch:
                    raise RuntimeError("a body's own")
        try:
            use()
        except RuntimeError as error:
            kept = error
        reader.close()
        assert live()["blocks"] == 1
        del kept
        gc.collect()
        assert live()["blocks"] == 0
        """,
    "generators that are abandoned": """
        reader = opened()
        batch = taken(reader)
        packets = iter(batch)
        next(packets)
        other = (bytes(packet) for packet in batch)
        next(other)
        batches = reader.batches()
        del batch, reader
        gc.collect()
        assert live()["blocks"] == 1
        del packets, other
        assert live()["blocks"] == 0
        """,
    "a release under an iterator": """
        reader = opened()
        batch = taken(reader)
        packets = iter(batch)
        view = next(packets)
        batch.release()
        try:
            next(packets)
        except ValueError as error:
            assert "released" in str(error)
        assert numbers([view]) == [0]
        """,
    "a release by another thread in the midst of work": """
        import threading
        from hugepcap._shared import pack
        program = hugepcap.BPFProgram("udp port 53 or ip[100:4] = 7")
        slot = bytearray(64 << 20)
        works = (lambda batch: batch.flows(), lambda batch: batch.mask(program), lambda batch: batch.copy(),
                 lambda batch: batch.__arrow_c_array__(), lambda batch: pack(batch, 0, slot))
        def release(batch, begun):
            while not begun:    # has the GIL soon after the work lets go of it, and long before its end
                pass
            batch.release()
        reader = hugepcap.open_live("far", 65535, 1, 100, ring_bytes=128 << 20)
        for work in works * 3:
            send("near", 150_000)
            batch, begun = next(reader.batches(max_packets=1 << 20)), []
            other = threading.Thread(target=release, args=(batch, begun))
            other.start()
            begun.append(True)
            try:
                work(batch)
            except ValueError as error:    # the thread was first
                assert "released" in str(error)
            other.join()
            while len(batch := reader.next_block(timeout=0)):
                pass
        assert reader.ring.held_blocks == 0
        """,
    "steps of asyncio that are cancelled": """
        import asyncio
        async def main():
            steps = [reader.__anext__(), reader.batches().__anext__()]
            for step in steps:
                task = asyncio.ensure_future(step)
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            send("near", 5)
            async for batch in reader.batches():
                return batch[0]
        reader = opened(0)
        view = asyncio.run(main())
        """,
    "a close in a callback": """
        reader = opened(5)
        seen = []
        reader.loop(-1, lambda hdr, data: (seen.append(data), reader.close()))
        assert numbers(seen) == [0]
        """,
    "a close by another thread": """
        import threading
        reader = opened(0)
        closing = threading.Timer(0.05, reader.close)
        closing.start()
        assert list(reader.batches()) == []
        closing.join()
        """,
    "captures that cannot be opened": """
        for wrong in (lambda: hugepcap.open_live("no such", 1, 1, 1), lambda: opened(filter="nonsense"),
                      lambda: opened(policy="hugetlb", strict=True, tstamp_type=99)):
            try:
                wrong()
            except (hugepcap.PcapError, ValueError):
                pass
            else:
                sys.exit("nothing was raised")
        """,
}

# A child's own counts of blocks are its parent's: it leaves them alone.
FORK = """
    reader = opened()
    batch = taken(reader)
    view, part = batch[1], batch[2:]
    child = os.fork()
    if child == 0:
        assert numbers([view]) == [1] and numbers(part) == [2, 3, 4]
        {end}
    assert os.waitpid(child, 0)[1] == 0
    assert live()["blocks"] == reader.ring.held_blocks == 1 and numbers(batch) == list(range(5))
    assert numbers(taken(reader)) == list(range(5))
"""
FORKS = {
    "a fork, and the child drops all": FORK.format(end="""
        reader.close()
        del reader, batch, view, part
        gc.collect()
        assert live() == NOTHING | {"blocks": 1}, live()
        os._exit(0)"""),
    "a fork, and the child ends with all": FORK.format(end="sys.exit()"),
    "a fork, and the child is gone at once": FORK.format(end="os._exit(0)"),
}

EXIT = """
    reader = opened()
    batch = taken(reader)
    view, packets, batches = batch[1], iter(batch), reader.batches()
    next(packets)
    sizes, array = batch.caplen, batch.__arrow_c_array__()
"""
EXITS = {f"the interpreter's end: {order}": EXIT + f"    {order}\n" for order in (
    "pass", "del reader, batches", "del view, packets, batch, array", "reader.close()", "batch.release()",
    "sys.kept = view, batch; del batch, view", "sys.modules['kept'] = array, view, packets",
    "import builtins; builtins.kept = packets, reader", "import atexit; atexit.register(lambda: bytes(view))",
    "cycle = [view, batch, reader, array]; cycle.append(cycle); del batch, reader, view",
    "import threading; local = threading.local(); local.kept = view, packets",
)}

# What CPython itself never frees stays as it is: a thread's frames, the names of an extension module.
NEVER_FREED = {f"the interpreter's end: {order}": EXIT + f"    {order}\n" for order in (
    "import threading; threading.Thread(target=lambda: list(reader.batches()), daemon=True).start()",
    "import hugepcap._batch as module; module.kept = view, batch; del sys.modules['hugepcap._batch']",
)}

SCENARIOS = OUTLIVING | ARROWS | IN_LOOPS | FORKS | EXITS


@pytest.mark.deadline(300)
@pytest.mark.parametrize("name", [*SCENARIOS, *NEVER_FREED])
def test_nothing_is_left(link, sanitized, name):
    ended = sanitized(textwrap.dedent((SCENARIOS | NEVER_FREED)[name]))
    assert ended.returncode == 0 and "AddressSanitizer" not in ended.stderr, ended.stderr
    assert name in NEVER_FREED or ended.left == NOTHING, ended.stderr


# ---- what the method has to find ----

PLANTED = """
    import numpy
    reader = opened()
    batch = taken(reader)
"""


@pytest.mark.deadline(300)
@pytest.mark.parametrize("crime, found", [
    ("""
    address = numpy.frombuffer(batch[1], "u1").ctypes.data
    batch.release()
    reader.next_block(timeout=0)
    ctypes.string_at(address, 60)
    """, "use-after-poison"),
    ("""
    address = numpy.asarray(batch.caplen).ctypes.data
    del reader, batch
    gc.collect()
    ctypes.string_at(address, 20)
    """, "heap-use-after-free"),
])
def test_a_planted_use_after_release_is_found(link, sanitized, crime, found):
    ended = sanitized(textwrap.dedent(PLANTED) + textwrap.dedent(crime))
    assert ended.returncode == 99 and found in ended.stderr, ended.stderr


@pytest.mark.deadline(300)
def test_a_planted_leak_is_found(link, sanitized):
    ended = sanitized(textwrap.dedent(PLANTED) + "ctypes.pythonapi.Py_IncRef(ctypes.py_object(batch))\n")
    assert ended.returncode == 0, ended.stderr
    assert ended.left == NOTHING | {"blocks": 1, "rings": 1, "memories": 1, "columns": 1}
