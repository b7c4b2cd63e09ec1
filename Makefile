# Two commands do all the set-up: `make demo` (light runtime, no torch) and `make test` (everything).
PYTHON ?= python3
SHELL := /bin/bash
BIN := .venv/bin
CASES ?= 1000
SEED ?= 7
JOBS ?= 2
TARGET ?=
SECONDS ?= 60
# on two cores: many tests wait for processes and pages
WORKERS ?= 3

.PHONY: demo test campaign fuzz docs pages lint types build plugin clean help

help:  ## what the targets do
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.light: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

.venv/.full: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch .venv/.light $@

demo: .venv/.light  ## render a pair of scenes, detect the changed buildings, say where to look
	rm -rf demo
	$(BIN)/hanet scene demo/scene --size 2048 --seed 1
	$(BIN)/hanet detect demo/scene/before.tif demo/scene/after.tif --out demo/result

test: .venv/.full  ## install everything and run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 5

campaign: .venv/.full  ## damaged and hostile inputs against every verb: CASES=5000 SEED=7 JOBS=2
	PYTHONPATH=src:tests OMP_NUM_THREADS=1 $(BIN)/python -m campaigns --cases $(CASES) --seed $(SEED) \
	  --jobs $(JOBS) --summary campaign.json

fuzz: .venv/.full  ## coverage-guided fuzzing of what reads files: TARGET=journal SECONDS=60; all if none
	$(BIN)/pip install --quiet -c constraints.txt -e '.[fuzz]'
	PYTHONPATH=src:tests:tests/support OMP_NUM_THREADS=1 $(BIN)/python -m campaigns.fuzz $(TARGET) \
	  --seconds $(SECONDS) --keep fuzz --out fuzz/counts.json

lint: .venv/.full  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.full  ## strict type check
	$(BIN)/mypy

pages: .venv/.full  ## what programs make of the documentation: reference, tables of scores, drawings
	$(BIN)/python docs/scripts/reference.py
	$(BIN)/python docs/scripts/tables.py
	$(BIN)/python docs/scripts/drawings.py
	$(BIN)/python docs/scripts/benchmarks.py
	$(BIN)/python docs/scripts/compare.py

docs: .venv/.full  ## the documentation as a site, into site/; a warning fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

build: .venv/.full  ## wheel and source distribution into dist/
	$(BIN)/python -m build

plugin:  ## the plugin for QGIS as a zip into dist/; for an upload: REPOSITORY=https://... EMAIL=...
	$(PYTHON) scripts/qgis_plugin.py --repository '$(REPOSITORY)' --email '$(EMAIL)'

clean:  ## remove what the targets made
	rm -rf .venv demo dist build site
