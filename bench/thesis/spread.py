# SPDX-License-Identifier: BSD-3-Clause
"""Mean, standard deviation, and the 95 % interval of the mean by Student's t."""
from __future__ import annotations

from math import sqrt
from statistics import mean, stdev

# The 97.5 % quantiles of t for 1 to 30 degrees of freedom; beyond, the normal one's is near enough.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
         2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
NORMAL_975 = 1.960


def spread(values: list[float]) -> dict[str, float | int | None]:
    """{mean, deviation, interval, runs}: the mean lies within mean +- interval. One value has no deviation."""
    runs = len(values)
    if runs < 2:
        return {"mean": values[0], "deviation": None, "interval": None, "runs": runs}
    deviation = stdev(values)
    t = T_975[runs - 2] if runs - 2 < len(T_975) else NORMAL_975
    return {"mean": mean(values), "deviation": deviation, "interval": t * deviation / sqrt(runs), "runs": runs}
