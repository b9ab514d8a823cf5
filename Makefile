# `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON  ?= python3
SIZE    ?= short
SEED    ?= 0
WORKERS ?= 2

BIN   := .venv/bin
STAMP := .venv/.installed
UV    := uv==0.13.9

# One thread per process: jobs and test workers run side by side, and more threads than cores would wait for each other.
export OMP_NUM_THREADS      ?= 1
export MKL_NUM_THREADS      ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

# Each fresh process would compile torch, Lightning and transformers again, which takes 20 s: a test starts several.
unexport PYTHONDONTWRITEBYTECODE

STUDY_tiny    := first_look_tiny
STUDY_short   := first_look
STUDY_full    := first_look_full
STUDY = $(or $(STUDY_$(SIZE)),$(error SIZE=$(SIZE) is not a size of the study. Use SIZE=tiny, SIZE=short or SIZE=full))

.PHONY: help install study test test-slurm test-faults test-gpu test-lmms-eval lint bench dashboard calibrate pretrain docs blocks pictures notebook

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## .venv with the exact versions of constraints.txt (every target does this when needed)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {sys.version.split()[0]}; bridgelab needs 3.11 or later. Run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'
	@echo "installing into .venv (about a minute the first time)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@test "$$($(BIN)/python -m uv --version 2>/dev/null | cut -d' ' -f2)" = "$(UV:uv==%=%)" || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"
	@$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"
	@touch $@

study: $(STAMP) ## train the study on this machine, then print its answer and write its page (SIZE=tiny, SIZE=short, SIZE=full)
	@BRIDGELAB_REPORT_FOLLOWS=1 $(BIN)/bridgelab train experiments=$(STUDY)
	@$(BIN)/bridgelab report runs/$(STUDY)

test: $(STAMP) ## the test suite, in WORKERS=2 processes
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

test-slurm: $(STAMP) ## sweeps, two nodes and preemption on a real Slurm, which it installs and starts (needs root and Debian)
	@$(BIN)/python -m pytest -q -m slurm tests/slurm

test-faults: $(STAMP) ## runs killed at random moments, two sweeps at once, full and read-only disks, a clock set back (FAULTS_SEED=1: other moments)
	@$(BIN)/python -m pytest -q -m faults tests/faults

test-gpu: $(STAMP) ## what needs a GPU, in minutes; its figures go to runs/gpu.md
	@rm -f runs/gpu.md
	@$(BIN)/python -m pytest -q -m gpu tests/gpu tests/bridge
	@test ! -e runs/gpu.md || cat runs/gpu.md

# No constraints.txt here: lmms-eval pins an older wandb, and rliable's arch fails to import with pandas 3.
.venv-lmms-eval/.installed: pyproject.toml $(STAMP)
	@$(PYTHON) -m venv --clear --without-pip .venv-lmms-eval
	@$(BIN)/python -m uv pip install --quiet --python .venv-lmms-eval/bin/python -e ".[dev,lmms-eval]" \
		lmms-eval==0.7.3 inspect-ai==0.3.285 rliable==1.2.0 'pandas<3'
	@touch $@

test-lmms-eval: .venv-lmms-eval/.installed ## a run as a model of the real lmms-eval, and exports read by lmms-eval, Inspect and rliable
	@.venv-lmms-eval/bin/python -m pytest -q tests/evaluation/test_lmms_eval_model.py tests/export

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy

bench: $(STAMP) ## measure the speed of each component on this machine
	@$(BIN)/bridgelab bench

dashboard: $(STAMP) ## print the study's W&B workspace as JSON (`bridgelab dashboard --save` sends it)
	@$(BIN)/bridgelab dashboard $(wildcard runs/$(STUDY))

calibrate: $(STAMP) ## measure how often the verdict is wrong, on simulated studies whose truth is known
	@$(BIN)/bridgelab calibrate

pretrain: pretrain-text pretrain-vision ## train the miniature pair anew (-j2: both at once; SEED=1: another pair)

# Seed 0's weights are installed in the package. Those of another seed stay in runs/, for text.path=… and vision.weights=….
pretrain-%: $(STAMP)
	@$(BIN)/bridgelab pretrain $* seed=$(SEED) install=$(if $(filter 0,$(SEED)),true,false)

docs: $(STAMP) ## the documents as a site, site/index.html (to search it: .venv/bin/mkdocs serve)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

blocks: $(STAMP) ## fill the marked blocks of README.md and docs/ with what their commands print
	@$(BIN)/python docs/fill_blocks.py

pictures: $(STAMP) ## draw the pictures of README.md and experiments/ from experiments/records
	@$(BIN)/python docs/draw_pictures.py

notebook: $(STAMP) ## make the outputs of the notebooks on recorded studies
	@$(BIN)/jupyter-execute --inplace notebooks/*.ipynb
