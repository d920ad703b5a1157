# SPDX-License-Identifier: BSD-3-Clause
"""The bench's own checks: what is not the generator's is wrong, and what is wrong is in no table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path += [str(BENCH), str(BENCH.parent / "tests" / "live")]

import ways  # noqa: E402
from manifest import Manifest, Seen, Wrong  # noqa: E402
from record import in_turns  # noqa: E402
from report import __main__ as report  # noqa: E402
from report.common import FIELDS, kept  # noqa: E402

from hugepcap._generate import build_packet  # noqa: E402

SPEC = {"sizes": (60, 200), "seed": 3, "flows": 5}
FIRST, END = 100, 140


def packets(numbers):
    return [build_packet(number, **SPEC) for number in numbers]


def check(data, dropped=0):
    seen = Seen(FIRST)
    for packet in data:
        seen.see(packet)
    Manifest(FIRST, **SPEC).check("test", json.loads(json.dumps(seen.told())), END, dropped)


def test_all_of_them_and_all_but_the_dropped_are_right():
    whole = packets(range(FIRST, END))
    check(whole)
    check(whole[:7] + whole[9:30], dropped=12)


@pytest.mark.parametrize("change", [
    lambda data: data[1:], lambda data: data[:-1], lambda data: data[:5] + data[6:], lambda data: data[:5] + data[4:],
    lambda data: [data[1], data[0], *data[2:]], lambda data: [*data[:-1], data[-1][:-1]],
    lambda data: [*data[:-1], data[-1][:-1] + bytes([data[-1][-1] ^ 1])], lambda data: [*data, b""],
    lambda data: [b""] * len(data), lambda data: packets(range(FIRST - 1, END - 1))], ids=[
    "first lost", "last lost", "one lost", "one twice", "out of order", "cut short", "one bit", "one too many", "nothing read",
    "one left over"])
def test_anything_else_is_wrong(change):
    with pytest.raises(Wrong, match="packets 100 to 139"):
        check(change(packets(range(FIRST, END))))


def test_a_loss_that_was_not_said_is_wrong():
    with pytest.raises(Wrong):
        check(packets(range(FIRST, END))[:-1], dropped=2)


class Idle:
    """A reader that gives nothing, as a broken next() would."""

    def next(self):
        return None, b""


def test_a_reader_that_gives_nothing_is_found_out():
    seen = Seen(FIRST)
    ways.WAYS["next"](Idle(), END - FIRST, seen.see, None)
    with pytest.raises(Wrong):
        Manifest(FIRST, **SPEC).check("test", seen.told(), END)


def test_a_wrong_cell_is_measured_no_further_and_the_others_are(capsys):
    calls = []

    def measure(cell):
        calls.append(cell)
        if cell == "bad":
            raise Wrong("one lost")
        return {"seconds": 1.0}

    taken = in_turns(["bad", "good"], 3, measure)
    assert calls == ["bad", "good", "good", "good"]
    assert (taken["bad"].wrong, taken["good"].all("seconds")) == ("one lost", [1.0] * 3)
    assert "WRONG, left out of the tables: one lost" in capsys.readouterr().err


def result(name, **changes):
    info = dict.fromkeys(FIELDS, "none") | {
        "suite": "open", "engine": "hugepcap", "correct": True, "sizes": [64, 64], "policy": "stock", "page_bytes": 4096,
        "ring_bytes": 2 << 20, "ms": [[1.0, 2.0]], "tables": [4096], "packets": [1], "drops": [0]}
    return {"name": name, "extra_info": {**info, **changes}}


def saved(path, *results):
    machine = {"cpu_model": "test", "cores": 2, "kernel": "6", "python_version": "3", "emulated": False}
    path.write_text(json.dumps({"datetime": "2026-01-01T00:00", "machine_info": machine, "benchmarks": results}))
    return path


def test_a_wrong_result_is_left_out_named_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "bench/results").mkdir(parents=True)
    (tmp_path / "docs/results").mkdir(parents=True)
    path = saved(tmp_path / "some.json", result("right"), result("bad", engine="cypcap", correct=False, wrong="one lost"))
    with pytest.raises(SystemExit) as ended:
        report.main(str(path))
    page = (tmp_path / "docs/results/open.md").read_text()
    assert ended.value.code == 1 and "bad: one lost" in capsys.readouterr().err
    assert "Left out, for what they read was wrong: bad." in page and "| cypcap" not in page and "| hugepcap" in page
    assert [case["name"] for case in json.loads((tmp_path / "bench/results/open.json").read_text())["cases"]] == ["right"]


def test_right_results_end_well(tmp_path):
    done = subprocess.run([sys.executable, "-m", "report", "--check", saved(tmp_path / "some.json", result("right"))], cwd=BENCH,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "open: 1 cases, 3 lines of tables\n"), done.stderr


@pytest.mark.parametrize("field", FIELDS)
def test_a_result_that_lacks_a_field_is_refused(tmp_path, field):
    lacking = result("some")
    del lacking["extra_info"][field]
    with pytest.raises(SystemExit, match=f"some: the result does not carry {field}"):
        kept(json.loads(saved(tmp_path / "some.json", lacking).read_text()))
