# Everything a newcomer needs: `make demo` and `make test`. Both do all set-up; a second call does not repeat it.

CARGO ?= cargo
PYTHON ?= python3
# One profile for both: the arithmetic is libtorch's (see Cargo.toml).
NASLAB = target/debug/naslab

.PHONY: help setup build demo gate-runs gate baseline test ci tools

help:
	@echo "make demo    set up, build, run every method, its control and a U-Net on shipped data, write reports/"
	@echo "make tables    500 seeds of searches of NAS-Bench-201, beside what papers reported for the same budgets, and of digits-201 (in the demo; seconds)"
	@echo "make test    set up, build, run the whole test suite"
	@echo "make gate    the smoke suite with one seed against .ci/baseline.csv; make baseline writes that file anew"
	@echo "make ci      all that has to hold before a change lands: tests, gate, format, lints, documentation, dependencies"
	@echo "make install PREFIX=/usr/local    the program and the libraries that it loads, for use without the checkout"
	@echo "make setup   libtorch only (an existing LIBTORCH is respected)"

tools:
	@for tool in $(CARGO) $(PYTHON) c++; do \
	  command -v $$tool > /dev/null || { echo "setup: '$$tool' is missing; naslab needs Rust, Python 3 with pip, a C++ compiler and make" >&2; exit 1; }; \
	done

setup: tools
	@$(PYTHON) scripts/setup.py

build: setup
	$(CARGO) build --locked

PREFIX ?= /usr/local
.PHONY: install
install: build
	@$(PYTHON) scripts/install.py $(NASLAB) $(PREFIX)

# One thread: operations this small gain nothing from a second one, and the numbers are then the same on every machine of a kind.
# At most 28 s of search and selection for each of 36 runs, half of them the controls, and three U-Nets trained like the cells that NAS-Unet found: four minutes to a quarter of an hour in all, by the processor.
DEMO = runs/demo
DEMO_RUNS = --preset smoke --seeds 0..3 --budget-per-run 28s --threads 1 --out $(DEMO)
demo: build
	$(NASLAB) run all --controls $(DEMO_RUNS)
	$(NASLAB) train unet-8 --preset smoke --seeds 0..3 --threads 1 --out $(DEMO)
	$(MAKE) --no-print-directory tables
	$(NASLAB) report $(DEMO) --out reports

# 500 seeds of searches of NAS-Bench-201, with the budgets of the two papers that reported what these algorithms find there, and of our own table with about as many trainings. All of it takes seconds.
TABLE_RUN = $(NASLAB) table run --seeds 0..500 --out $(DEMO)
.PHONY: tables
tables: build
	$(TABLE_RUN) amoebanet random reinforce --dataset cifar10 --simulated-budget 12000s --limit fits
	$(TABLE_RUN) reinforce --dataset cifar10 --simulated-budget 12000s --limit fits --set search.learning_rate=0.5
	$(TABLE_RUN) amoebanet random reinforce --dataset cifar10 --simulated-budget 20000s --limit overshoots
	$(TABLE_RUN) amoebanet random reinforce --dataset cifar100 --simulated-budget 40000s --limit overshoots
	$(TABLE_RUN) amoebanet random reinforce --dataset imagenet16-120 --simulated-budget 120000s --limit overshoots
	$(TABLE_RUN) amoebanet random reinforce --table digits-201 --dataset digits --simulated-budget 30s --limit fits

# The smoke suite against the committed baseline: exactly on a processor of that model, else with a margin. Models differ by up to 2.5 times in time beside what the
# calibration tells of them, hence the ratio. The libraries are held to kernels that processors of several generations have.
GATE = target/gate
gate baseline: export ATEN_CPU_CAPABILITY = avx2
gate baseline: export ONEDNN_MAX_CPU_ISA = AVX2
gate baseline: export MKL_CBWR = COMPATIBLE

gate-runs: build
	rm -rf $(GATE)
	$(NASLAB) run all --preset smoke --seeds 0 --threads 1 --jobs 2 --device cpu --quiet --out $(GATE)

gate: gate-runs
	$(NASLAB) check --baseline .ci/baseline.csv --margin 15 --time-ratio 4 --memory-ratio 1.5 $(GATE)

baseline: gate-runs
	$(NASLAB) check --baseline .ci/baseline.csv --update $(GATE)

# One thread an operation: the tests run side by side, and threads that wait for each other would slow them down on a busy machine.
test: setup
	@$(PYTHON) scripts/setup.py --tests
	$(PYTHON) -m unittest discover -s scripts
	@PATH="$$PATH:/usr/sbin"; for tool in slurmctld slurmd sbatch munged; do \
	  command -v $$tool > /dev/null || { echo "tests on a Slurm cluster: skipped, '$$tool' is missing (Debian: slurmctld slurmd slurm-client munge)"; break; }; \
	done
	PYTHON=$(PYTHON) OMP_NUM_THREADS=1 $(CARGO) test --locked

ci:
	.ci/run
