# SPDX-License-Identifier: BSD-3-Clause
# make demo: captures generated traffic in a network namespace of its own. make test: all tests but the guests'.
# Both set up what they need: Debian's packages (as root), a .venv, the build. Nothing is done twice.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMPS  := .make
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)

DEB_PACKAGES := gcc libc6-dev make python3-dev python3-venv libpcap-dev iproute2 tcpdump
PY_PACKAGES  := 'setuptools>=70.1' 'cython>=3.0.11' 'click>=8.1' 'dpkt>=1.9.8' 'pytest>=7' 'pytest-benchmark>=4' \
                'hypothesis>=6' 'mypy>=1.8' 'pcapy-ng==2.1.0'

SOURCES := setup.py pyproject.toml $(wildcard hugepcap/*.pyx hugepcap/*.pxd hugepcap/_csrc/*.[ch])

.PHONY: all build demo test unit clean
all: build

$(STAMPS)/packages:
	@mkdir -p $(STAMPS)
	@missing=$$(for p in $(DEB_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if command -v apt-get >/dev/null && [ -n "$$missing" ]; then \
	    echo "installing $$missing"; \
	    $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
	fi
	@touch $@

$(STAMPS)/venv: $(STAMPS)/packages Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check $(PY_PACKAGES)
	@touch $@

$(STAMPS)/build: $(STAMPS)/venv $(SOURCES)
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

build: $(STAMPS)/build

demo: build
	@$(BIN)/hugepcap demo

test: build
	$(BIN)/python -m pytest tests --ignore=tests/guest

clean:
	rm -rf build $(STAMPS) hugepcap/*.c hugepcap/*.so *.egg-info
