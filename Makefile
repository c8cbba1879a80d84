# make demo   set up, and watch a host walk over three access routers while its connections live on
# make test   set up, and run every test (CI does the same)
# make check  format, lint, types, layers and the fast tests: under a minute, for every commit
# make test-kernels  those tests that another kernel runs, in user-mode Linux: part of make test
# make deb    a Debian package for the release that this machine runs, in dist/
# make bench  the figures, each beside its comparison
# make sim    as many seeds of the fault simulation as fit into SECONDS; SEED=n replays one, with all that happens
# make soak   hosts roam while daemons die and links break, for SECONDS, or until every role was killed KILLS times,
#             from SEED; DOMAIN=pmip for Proxy Mobile IPv6, mip6 for Mobile IPv6
# make fuzz   mutated octets into the decoders, a fixed number of times, and the slowest inputs timed

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
SANDBOX := $(BIN)/python -m sojourn.lab.sandbox
PYTEST := $(BIN)/python -m pytest -q
JOBS ?= 2
SPARE ?= $(shell chrt --idle 0 true 2>/dev/null && echo chrt --idle 0 || echo nice)
# Episodes of the fault simulation in `make test`; `make check` plays a few only.
SEEDS ?= 2000
# Whatever the environment says: else each of some hundred processes, daemons among them, compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast test-lab test-kernels deb check fast lab format bench sim soak fuzz tools clean

help:
	@sed -n '1,10s/^# //p' Makefile

# --- what is needed -------------------------------------------------------------------------------------------------

# A virtual environment with the package itself; again whenever the dependencies change.
$(VENV)/.ready-run: pyproject.toml contrib/make-venv
	@sh contrib/make-venv "$(VENV)" "$(dir $@)" report
	@touch $@

$(VENV)/.ready-dev: pyproject.toml contrib/make-venv
	@sh contrib/make-venv "$(VENV)" "$(dir $@)" dev
	@touch $@ $(VENV)/.ready-run

# Programs of the distribution that tests compare us with; the product itself needs none of them.
tools:
	@sh contrib/install-tools

# --- the two commands -----------------------------------------------------------------------------------------------

demo: $(VENV)/.ready-run
	@$(BIN)/sojourn demo $(DEMO)

test: $(VENV)/.ready-dev tools
	@$(BIN)/python -m compileall -q -j $(JOBS) src tests
	@sh contrib/all-tests "$(MAKE)"

# With what nobody else wants of the processors, as none of these measures time.
test-fast: $(VENV)/.ready-dev
	$(SPARE) $(PYTEST) $(or $(AGAIN),-n $$(($(JOBS) + 1)) --dist worksteal) -m "not lab" --seeds $(SEEDS) --timeout 600 $(TESTS)

test-lab: $(VENV)/.ready-dev
	$(SANDBOX) $(PYTEST) $(or $(AGAIN),-n $$(($(JOBS) + 1)) --dist loadfile --no-loadscope-reorder) \
	  -m "lab and not ip6tnl and not mip6" $(TESTS)

# One boot of a stock kernel without SRv6 code, and in it what tests/kernels/targets.txt names: one pytest target a line.
# UML=/path/to/linux takes another kernel, SOJOURN_BACKENDS="seg6 ip6tnl" other tunnels at the two routers.
KERNEL_TESTS ?= @tests/kernels/targets.txt

test-kernels: $(VENV)/.ready-dev tools
	@$(BIN)/python -m compileall -q src tests
	$(BIN)/python tests/kernels/run.py sh tests/kernels/tests.sh $(BIN)/python $(KERNEL_TESTS)

# With the dependencies inside, for the Python of the distribution.
deb: $(VENV)/.ready-run
	@sh contrib/make-deb $(BIN)/python dist

# --- for developers -------------------------------------------------------------------------------------------------

check: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not lab and not interop and not slow"

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lab: $(VENV)/.ready-dev
	$(SANDBOX) $(PYTEST) -m "lab and not ip6tnl and not mip6" $(TESTS)

# Every table, and a failure at the end when a goal was missed; on a busy machine that may be the machine.
bench: $(VENV)/.ready-dev
	@missed=; \
	for script in codec decode memory mip6 workload simulation; do echo; $(BIN)/python bench/$$script.py || missed="$$missed $$script"; done; \
	for script in routes signalling restart cluster leased throughput handover ipv4_sources; do \
	  echo; $(SANDBOX) $(BIN)/python bench/$$script.py || missed="$$missed $$script"; done; \
	if [ -n "$$missed" ]; then echo; echo "goals missed:$$missed"; exit 1; fi

# SECONDS=600, or SEED=n with SHRINK=1 (the short episode that fails alike) or DEBUG=1 (stop in pdb where it fails).
sim: $(VENV)/.ready-dev
	@PYTHONPATH=tests $(BIN)/python -m sim $(if $(SEED),--seed $(SEED)) $(if $(SHRINK),--shrink) $(if $(DEBUG),--debug) \
	  $(if $(CAST),--cast $(CAST)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(FIRST),--first $(FIRST))

soak: $(VENV)/.ready-run
	$(BIN)/sojourn lab run soak-faults --seconds $(or $(SECONDS),$(if $(KILLS),1800,600)) --seed $(or $(SEED),1) \
	  --domain $(or $(DOMAIN),dmm) --partners $(or $(PARTNERS),no) --kills $(or $(KILLS),0) \
	  $(if $(AT_ONCE),--at-once $(AT_ONCE)) $(if $(HOSTS),--hosts $(HOSTS))

fuzz: $(VENV)/.ready-dev
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install -q "atheris>=3,<4" || \
	  echo "no atheris for this Python: mutating by ourselves"
	$(BIN)/python fuzz/wire.py $(EXECUTIONS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
