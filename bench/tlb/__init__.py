# SPDX-License-Identifier: BSD-3-Clause
"""A model, not a measurement: how often a walk of a ring misses in a CPU's TLB. `python -m tlb` prints the table."""
