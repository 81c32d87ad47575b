# Everything a newcomer needs: `make demo` and `make test`. Both do all set-up; a second call does not repeat it.

CARGO ?= cargo
PYTHON ?= python3
# One profile for both: the arithmetic is libtorch's (see Cargo.toml).
NASLAB = target/debug/naslab

.PHONY: help setup build demo test ci tools

help:
	@echo "make demo    set up, build, run every method on the digits, write reports/"
	@echo "make test    set up, build, run the whole test suite"
	@echo "make ci      all that has to hold before a change lands: tests, format, lints, documentation, dependencies"
	@echo "make setup   libtorch only (a LIBTORCH that is set is used as it is)"

tools:
	@for tool in $(CARGO) $(PYTHON) c++; do \
	  command -v $$tool > /dev/null || { echo "setup: '$$tool' is missing; naslab needs Rust, Python 3 with pip, a C++ compiler and make" >&2; exit 1; }; \
	done

setup: tools
	@$(PYTHON) scripts/setup.py

build: setup
	$(CARGO) build --locked

# One thread: operations this small gain nothing from a second one, and the numbers are then the same on every machine of a kind.
demo: build
	$(NASLAB) run darts enas ghn nas_unet amoebanet nasnet random --preset smoke --seeds 0..3 --threads 1 --out runs
	$(NASLAB) run random --preset smoke-darts --seeds 0..3 --threads 1 --out runs
	$(NASLAB) run random --preset smoke-ghn --seeds 0..3 --threads 1 --out runs
	$(NASLAB) run random --preset smoke-nas-unet --seeds 0..3 --threads 1 --out runs
	$(NASLAB) run ghn --preset smoke --set 'search.experiment="correlation"' --seeds 0..2 --threads 1 --out runs
	$(NASLAB) run random --preset smoke --set 'search.space="amoebanet"' --seeds 0..3 --threads 1 --out runs
	$(NASLAB) report runs --out reports

# One thread an operation: the tests run side by side, and threads that wait for each other would slow them down on a busy machine.
test: setup
	@$(PYTHON) scripts/setup.py --tests
	$(PYTHON) -m unittest discover -s scripts
	PYTHON=$(PYTHON) OMP_NUM_THREADS=1 $(CARGO) test --locked

ci:
	.ci/run
