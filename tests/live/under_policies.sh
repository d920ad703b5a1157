#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# under_policies.sh PYTEST...: in a patched guest, the live tests that hold memory longest, on rings of each huge
# policy; afterwards the pool has to be as full as before.
set -euo pipefail
cd "$(dirname "$0")/../.."
pool=/proc/sys/vm/nr_hugepages
free() { awk '/^HugePages_Free/ { print $2 }' /proc/meminfo; }

before=$(cat $pool)
echo 320 > $pool
full=$(free)
for policy in thp hugetlb; do
    echo "== rings of policy $policy"
    HUGEPCAP_POLICY=$policy HUGEPCAP_STRICT=1 "$@" tests/live/test_batches.py tests/live/test_sharing.py
    [ "$(free)" = "$full" ] || { echo "under_policies.sh: $(free) huge pages free of $full" >&2; exit 1; }
done
echo "$before" > $pool
