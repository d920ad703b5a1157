# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's experiments done again: `make thesis`, or python -m thesis with bench and tests in PYTHONPATH.

programs    the C programs, built
traffic     the link, and what is sent on it
measure     one run of one program
levels      at which level of the page tables a ring is mapped
tlb         the model of a TLB
loss        against stock libpcap: deeper rings, two cores
spread      mean, deviation, interval
results     what the JSON of a run is called
figures, page   what is drawn and written from it

In a patched guest, whose files are read-only: make thesis-guest, which keeps and draws what the guest prints.
"""
