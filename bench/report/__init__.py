# SPDX-License-Identifier: BSD-3-Clause
"""Checks what was measured, keeps it, and writes its tables: python -m report [--check] FILE.json..."""
