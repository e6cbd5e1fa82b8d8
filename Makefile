# Every target sets itself up once. It needs Python 3.11 or later and a package index.
PYTHON ?= python3
BIN := .venv/bin
SUITES ?=
PROFILE ?= quick

.PHONY: bench selftest test test-slow check docs report browser clean
.DELETE_ON_ERROR:

bench: .venv/installed
	$(BIN)/plumbline bench $(SUITES) --profile $(PROFILE)

selftest: .venv/installed
	$(BIN)/plumbline selftest

# One process per core: no test depends on how long anything takes. Tests that need a GPU share one process.
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadgroup

test: .venv/dev
	$(PYTEST) -m "not slow"

test-slow: .venv/dev
	$(PYTEST) -m slow

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/deptry .
	$(BIN)/python -m pytest -q tests/test_language.py

docs: .venv/docs
	$(BIN)/mkdocs build --quiet -f docs/mkdocs.yml

report: .venv/installed
	$(BIN)/plumbline report

# The pages in a headless Chromium: the one named in CHROMIUM, or found on the path, or playwright's own.
browser: .venv/browser
	$(BIN)/python -m pytest -m browser

clean:
	rm -rf .venv

# constraints.txt pins every version, torch 2.13.0 among them. pytorchcv requires torchvision, which its models do
# not use and which fits one build of torch only.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[history,report]' transformers requests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps pytorchcv
	touch $@

.venv/docs: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

.venv/browser: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
