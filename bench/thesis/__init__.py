# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's experiments done again: `make thesis`, or python -m thesis with bench and tests in PYTHONPATH.

programs    the C programs, built
traffic     the link, and what is sent on it
measure     one run of one program
levels      at which level of the page tables a ring is mapped
tlb         the model of a TLB
loss        against stock libpcap: deeper rings, two cores
spread      mean, deviation, interval
figures, page   what is drawn and written from the JSON

In a patched guest, whose files are read-only: make guest CMD='env PYTHONPATH=bench:tests .venv/bin/python -m thesis run
--no-loss --factors 0,1000,4000 --blocks 2 --runs 2 --packets 8000 --out -' | sed -n '/^{$/,$p' > bench/results/thesis-6.12.json
and then python -m thesis draw.
"""
