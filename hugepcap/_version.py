# SPDX-License-Identifier: BSD-3-Clause
"""The version, alone so that packaging can read it without building anything."""

__version__ = "0.1.0"
