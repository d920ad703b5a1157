#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# under_policies.sh PYTEST...: in a patched guest, the live tests that hold memory longest, on rings of each huge
# policy (POLICIES); with ALL=1 all that read from rings. Afterwards the pool has to be as full as before.
set -euo pipefail
cd "$(dirname "$0")/../.."
pool=/proc/sys/vm/nr_hugepages
free() { awk '/^HugePages_Free/ { print $2 }' /proc/meminfo; }

# An emulated machine is slow; and a thousand opens that fail are as many under every policy.
export HUGEPCAP_TEST_S=600
tests=(tests/live/test_batches.py tests/live/test_sharing.py)
if [ "${ALL:-}" ]; then    # without those that choose policies, shrink a ring or bring a kernel or build of their own
    tests=(tests/live tests/conformance/test_conform_live.py tests/conformance/test_handle.py)
    for other in policies policies_guest generate pipe_waits saving lifetimes under_asan thesis property; do
        tests+=(--ignore "tests/live/test_$other.py")
    done
    for other in test_shrinking_ring test_more_than_is_free test_a_ring_of_more_than_2_gib; do
        tests+=(--deselect "tests/live/test_rings.py::$other")
    done
fi
tests+=(--deselect tests/live/test_sharing.py::test_failed_opens_leave_nothing)

before=$(cat $pool)
echo 320 > $pool
full=$(free)
for policy in ${POLICIES:-thp hugetlb}; do
    echo "== rings of policy $policy"
    HUGEPCAP_POLICY=$policy HUGEPCAP_STRICT=1 "$@" "${tests[@]}"
    [ "$(free)" = "$full" ] || { echo "under_policies.sh: $(free) huge pages free of $full" >&2; exit 1; }
done
echo "$before" > $pool
