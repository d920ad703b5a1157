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
"""
