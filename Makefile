# SPDX-License-Identifier: BSD-3-Clause
# make demo         captures generated traffic in a network namespace of its own
# make test         all tests that need no patched kernel
# make bench        measures all engines, reckons TLB misses, writes bench/results and docs/results; in half an hour
# make bench-SUITE  measures one of it anew: drain, live, files, open, walk, corunner, fanout
# make bench-guest  the rings' policies in a guest, as make guest
# make thesis       the thesis's experiments again; options in ARGS, e.g. ARGS='--runs 10 --factors 0-1000:50'
# make thesis-guest  all six policies of it, in a guest
# make kernel       builds the patched kernel KVER (6.12, 6.1) in VARIANT (plain, debug)
# make guest        boots it and runs CMD in it; make guest-test the tests
#                   (guest-off: with the series compiled out; guest-fuzz: SEQUENCES random ones)
# make check        compiler warnings, ruff, cython-lint, patch style
# Each sets up what it needs: Debian's packages (as root), a .venv, the build. Nothing is done twice.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMPS  := .make
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
KVER    ?= 6.12
VARIANT ?= plain
CMD     ?= uname -a
GUEST_S ?= 2400
FUZZ_S  ?= 14400
SEQUENCES ?= 100000
POLICIES ?= thp hugetlb
ALL     ?=

DEB_build  := gcc libc6-dev make python3-dev python3-venv libpcap-dev iproute2 util-linux
DEB_test   := tcpdump tshark netsniff-ng valgrind binutils ethtool
DEB_kernel := qemu-system-x86 flex bison bc libelf-dev libssl-dev xz-utils patch perl kmod cpio rsync tcpdump tshark \
              netsniff-ng $(foreach v,6.12 6.1,$(shell tr ' ' '=' < kernel/series/$(v)/base))
DEB_kerneldeb := debhelper linux-config-6.12 linux-config-6.1

PY_PACKAGES := 'setuptools>=77' 'cython>=3.0.11' 'click>=8.1' 'dpkt>=1.9.8' 'rich>=13' 'pytest>=7' 'pytest-benchmark>=4' \
               'hypothesis>=6' 'mypy>=1.8' 'pcapy-ng==2.1.0' scapy cypcap virtme-ng numpy pyarrow polars duckdb

SOURCES := setup.py pyproject.toml $(wildcard hugepcap/*.pyx hugepcap/*.pxd hugepcap/_csrc/*.[ch] preload/*.[ch] preload/*.map)
PYTEST  := $(BIN)/python -m pytest
# The slowest tests of a guest, so that they are known.
GUEST_PYTEST := $(PYTEST) -p no:cacheprovider -q --durations=8
BENCH   := PYTHONPATH=bench:tests $(PYTEST) -p no:cacheprovider --benchmark-timer=childclock.now -q
REPORT  := PYTHONPATH=bench $(BIN)/python -m report

.PHONY: all build demo test bench bench-quick bench-guest thesis thesis-guest bench-drain bench-live bench-files bench-open \
        bench-walk bench-corunner bench-fanout kernel kernel-deb guest guest-test guest-off guest-fuzz guest-preload \
        guest-policies check clean
all: build

# Installs what is missing of DEB_<name>; NAME=VERSION wants just that version.
$(STAMPS)/packages-%: Makefile
	@mkdir -p $(STAMPS)
	@missing=$$(for p in $(DEB_$*); do \
	    have=$$(dpkg-query -W -f '$${db:Status-Status} $${Version}' $${p%%=*} 2>/dev/null); \
	    case $$p in *=*) want="installed $${p#*=}";; *) want="installed $${have#installed }";; esac; \
	    [ -n "$$have" ] && [ "$$have" = "$$want" ] || echo $$p; done); \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
	    echo "installing" $$missing; \
	    $(SUDO) apt-get update -qq && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --allow-downgrades $$missing >/dev/null; \
	fi
	@touch $@

$(STAMPS)/venv: $(STAMPS)/packages-build
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check $(PY_PACKAGES)
	@touch $@

$(STAMPS)/build: $(STAMPS)/venv $(SOURCES)
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(MAKE) -s -C preload
	@touch $@

build: $(STAMPS)/build

demo: build
	@$(BIN)/hugepcap demo

test: build $(STAMPS)/packages-test
	$(PYTEST) tests --ignore=tests/guest

# A result that is wrong fails its test, and the tables are written without it.
bench: build $(STAMPS)/packages-test
	$(BENCH) bench --benchmark-quiet --benchmark-json=$(STAMPS)/suites.json; measured=$$?; \
	PYTHONPATH=bench:tests $(BIN)/python -m tlb > $(STAMPS)/tlb.json && \
	$(REPORT) $(STAMPS)/suites.json $(STAMPS)/tlb.json && exit $$measured

bench-drain bench-live bench-files bench-open bench-walk bench-corunner bench-fanout: bench-%: build $(STAMPS)/packages-test
	$(BENCH) bench/test_$*.py --benchmark-json=$(STAMPS)/$*.json; measured=$$?; \
	$(REPORT) $(STAMPS)/$*.json && exit $$measured

bench-quick: build $(STAMPS)/packages-test
	$(BENCH) bench --quick --benchmark-quiet --benchmark-json=$(STAMPS)/quick.json; measured=$$?; \
	$(REPORT) --check $(STAMPS)/quick.json && exit $$measured

# What tells policies apart.
OF_POLICIES := batches or next_block or pcap_dispatch or nobody or (test_open and not pcapy and not cypcap)
# The guest sees these files read-only: what it measured comes as its last lines.
bench-guest: build $(STAMPS)/packages-kernel
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- sh -c '$(BENCH) bench/test_drain.py bench/test_open.py bench/test_corunner.py \
	    -k "$(OF_POLICIES)" --quick --benchmark-quiet --benchmark-json=/tmp/guest.json; cat /tmp/guest.json' > $(STAMPS)/guest.log || \
	    { tail -n 40 $(STAMPS)/guest.log; exit 1; }
	sed -n '/^{$$/,$$p' $(STAMPS)/guest.log > $(STAMPS)/guest.json
	$(REPORT) $(STAMPS)/guest.json

# What only its figures need.
$(STAMPS)/plot: $(STAMPS)/venv
	$(BIN)/pip install -q --disable-pip-version-check 'matplotlib>=3.6'
	@touch $@

# What only the checks need.
$(STAMPS)/lint: $(STAMPS)/venv
	$(BIN)/pip install -q --disable-pip-version-check 'ruff>=0.6' 'cython-lint>=0.16'
	@touch $@

thesis: build $(STAMPS)/plot
	PYTHONPATH=bench:tests $(BIN)/python -m thesis run $(ARGS)

# Of a ring of 8 MiB, which the packets fill several times.
thesis-guest: build $(STAMPS)/packages-kernel $(STAMPS)/plot
	$(MAKE) -s -C preload
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- env PYTHONPATH=bench:tests $(BIN)/python -m thesis run --no-loss --blocks 2 \
	    --factors 0,1000,4000 --runs 3 --packets 24000 --out - $(ARGS) > $(STAMPS)/thesis-guest.log || \
	    { tail -n 40 $(STAMPS)/thesis-guest.log; exit 1; }
	sed -n '/^{$$/,$$p' $(STAMPS)/thesis-guest.log > bench/results/thesis-$(KVER)-guest.json
	PYTHONPATH=bench:tests $(BIN)/python -m thesis draw

kernel: $(STAMPS)/packages-kernel
	kernel/build $(KVER) $(VARIANT)

kernel-deb: $(STAMPS)/packages-kernel $(STAMPS)/packages-kerneldeb
	kernel/deb $(KVER)

guest: build $(STAMPS)/packages-kernel
	kernel/boot -t $(GUEST_S) "$$(kernel/build $(KVER) $(VARIANT))" -- $(CMD)

# The guest sees these files read-only: what its tests need is built here.
guest-test: build $(STAMPS)/packages-kernel
	$(MAKE) -s -C preload
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- $(GUEST_PYTEST) tests/guest

# The series compiled out changes nothing.
guest-off:
	$(MAKE) guest-test VARIANT=off

# A quarter of an hour on an idle machine.
guest-fuzz: build $(STAMPS)/packages-kernel
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	HUGEPCAP_FUZZ=$(SEQUENCES) kernel/boot -t $(FUZZ_S) "$$image" -- \
	    $(GUEST_PYTEST) tests/guest/test_programs.py -k random

# The shim's policies, in a guest.
guest-preload: build $(STAMPS)/packages-kernel
	$(MAKE) -s -C preload
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- $(GUEST_PYTEST) tests/preload/test_preload_policies.py

# The module and the command line on rings of every policy, in a guest. ALL=1: every live test on every huge ring; half an hour each.
guest-policies: build $(STAMPS)/packages-kernel
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- $(GUEST_PYTEST) tests/live/test_policies_guest.py \
	    tests/cli/test_cli_guest_policies.py
	image=$$(kernel/build $(KVER) $(VARIANT)) && \
	kernel/boot -t $(GUEST_S) "$$image" -- env POLICIES="$(POLICIES)" ALL="$(ALL)" tests/live/under_policies.sh $(GUEST_PYTEST)

check: $(STAMPS)/lint $(STAMPS)/packages-kernel
	$(BIN)/ruff check --quiet --no-cache .
	PATH=$(CURDIR)/$(BIN):$$PATH cython-lint --max-line-length 130 hugepcap/*.pyx hugepcap/*.pxd
	for source in hugepcap/_csrc/*.c; do \
	    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -c $$source -o /dev/null || exit 1; \
	done
	git diff --check $$(git hash-object -t tree /dev/null) HEAD -- . ':!kernel/series'
	for kver in 6.12 6.1; do \
	    tree=$$(kernel/build $$kver tree) || exit 1; \
	    for patch in kernel/series/$$kver/000[1-9]-*.patch; do \
	        perl $$tree/scripts/checkpatch.pl --no-tree --strict --quiet --no-summary --ignore UNKNOWN_COMMIT_ID - < $$patch \
	            || { echo "$$patch: see above"; exit 1; }; \
	    done; \
	done
	! git grep -nE '(pypi|deb[.]debian|npmjs|files[.]pythonhosted)[.](org|com)' -- . ':!Makefile'

clean:
	$(MAKE) -s -C preload clean
	rm -rf build $(STAMPS) hugepcap/*.c hugepcap/*.so *.egg-info
