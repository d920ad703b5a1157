# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the command line. Those of the policies are for guests with a patched kernel."""

from __future__ import annotations

from hugepcap import probe

# For the patched kernels: make guest-policies
collect_ignore = ["test_cli_guest_policies.py"] if probe.try_policy("thp").unknown else []
