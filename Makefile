# `make` lists the targets. Everything runs in .venv, which is made and renewed when it is needed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: venv-run ## carry all sample orders to their end and show what happened (ARGS="..." is passed on)
	@$(BIN)/orderwright demo $(ARGS)

.PHONY: test
test: venv-dev ## run all tests (ARGS="-k word" and the like is passed on to pytest)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup $(ARGS)

.PHONY: check
check: venv-dev ## the gate: format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: bench
bench: venv-run ## measure orders per second on this machine
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-scale
bench-scale: venv-dev ## throughput with 1, 2 and 4 workers over RabbitMQ and pgmq, as ratios, with fairness
	@$(BIN)/python -m benchmarks.scale $(ARGS)

.PHONY: chaos
chaos: venv-dev ## run the fault matrix, row by row (ROW=F24 and SEED=7 for one; ARGS="--level N" for the rows of the night)
	@$(BIN)/python -m tests.chaos $(addprefix --row ,$(ROW)) --seed $(or $(SEED),1) $(ARGS)

.PHONY: chaos-long
chaos-long: venv-dev ## the rows of the night, then kill every process in turn under a larger load (ORDERS=2000)
	@$(BIN)/python -m tests.chaos --level N --seed $(or $(SEED),1) $(ARGS)
	@ORDERWRIGHT_CHAOS_ORDERS=$(or $(ORDERS),2000) $(BIN)/python -m pytest -m chaos -n 0 tests/chaos

.PHONY: drill
drill: venv-dev ## a cluster of each engine on this machine, every node killed, frozen or cut off in turn (ORDERS=5000 SEED=1)
	@$(BIN)/python -m tests.drill --orders $(or $(ORDERS),5000) --seed $(or $(SEED),1) $(ARGS)

.PHONY: mutants
mutants: venv-dev ## break the product on purpose, twenty times over, and see whether the checker notices (ARGS="M2 M9": only these)
	@$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: simulate
simulate: venv-dev ## run the pipeline under simulated faults, thousands of seeds on all cores (SEEDS=10000; ARGS="--seed 123 --trace")
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000) $(ARGS)

.PHONY: fmt
fmt: venv-dev ## format, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock: ## renew requirements/*.lock from pyproject.toml (needs uv)
	@tools/lock.sh

.PHONY: clean
clean: ## remove .venv, caches and builds (never data)
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: venv-run venv-dev
venv-run venv-dev: venv-%:
	@tools/venv.sh $*
