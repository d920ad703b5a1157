# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's own values, read from its figures 6.11 to 6.13. Its set-up: 10 Gbit/s, packets of 700 to 1500 bytes,
10 runs a point, 8 to 64 blocks of 4 MiB."""

# 6.11 and 6.12: misses per access of the dTLB, (loads, stores)
MISS_RATES = {
    "HUGETLB": (0.75e-5, 4.5e-5), "TRANSHUGE": (7.0e-5, 12.4e-5), "GFPNORETRY": (7.1e-5, 13.1e-5),
    "VZALLOC": (7.2e-5, 11.8e-5), "GFPRETRY": (7.1e-5, 11.2e-5), "RX_RING": (7.1e-5, 12.2e-5),
}
MAIN_POLICIES = ("HUGETLB", "TRANSHUGE", "RX_RING")

# 6.13: share lost at a factor, the same for the three policies
LOSS = {0: 0.0, 100: 0.0, 200: 0.29, 300: 0.45, 400: 0.55, 500: 0.62, 600: 0.67, 700: 0.71, 800: 0.74, 900: 0.77,
        1000: 0.79}
