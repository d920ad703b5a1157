# SPDX-License-Identifier: BSD-3-Clause
"""
python -m report [--check] FILE.json...

A file is pytest-benchmark's or that of `python -m tlb`. What the tables are made from goes to bench/results/, the tables
to docs/results/; of an emulated guest's all suites to one file. --check writes nothing. A wrong result is in no table; it
is named, and the exit status is 1.
"""

import json
import sys
from pathlib import Path

from . import drain, files, live, model, rings
from .common import kept, suites_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"drain": drain.page, "walk": rings.walk, "open": rings.opening, "files": files.page, "live": live.page,
         "corunner": rings.corunner, "fanout": rings.fanout}


def pages_of(found):
    """(name, data, text) of each page that a file gives."""
    if "benchmarks" not in found:
        yield "tlb", found, model.page(found)
        return
    results = kept(found)
    suites = {name: (alone, PAGES[name](alone)) for name, alone in suites_of(results).items() if alone["cases"]}
    if results["machine"]["emulated"]:
        yield f"guest-{results['machine']['kernel']}", results, "\n".join(text for _, text in suites.values())
        return
    for name, (alone, text) in suites.items():
        yield name, alone, text


def say(name, data, text):
    print(f"{name}: {len(data.get('cases', data.get('results')))} cases, {text.count(chr(10) + '|')} lines of tables")


def write_both(name, data, text):
    for path, content in ((f"bench/results/{name}.json", json.dumps(data, indent=1) + "\n"), (f"docs/results/{name}.md", text)):
        (ROOT / path).write_text(content)
        print(f"wrote {path}")


def main(*arguments):
    keep, wrong = say if "--check" in arguments else write_both, []
    for path in (argument for argument in arguments if argument != "--check"):
        found = json.loads(Path(path).read_text())
        for name, data, text in pages_of(found):
            keep(name, data, text)
        wrong += [case["extra_info"] | {"name": case["name"]} for case in found.get("benchmarks", ())
                  if not case["extra_info"].get("correct")]
    for case in wrong:
        print(f"WRONG, in no table: {case['name']}: {case.get('wrong', 'no reason given')}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
