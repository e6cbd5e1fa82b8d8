# Every target does its own set-up on a fresh machine, once; it needs Python 3.11 or later alone.
PYTHON ?= python3
BIN := .venv/bin
SUITES ?=
PROFILE ?= quick

.PHONY: bench selftest test check report browser clean
.DELETE_ON_ERROR:

bench: .venv/installed
	$(BIN)/plumbline bench $(SUITES) --profile $(PROFILE)

selftest: .venv/installed
	$(BIN)/plumbline selftest

# In as many processes as there are cores: no test rests on how long anything takes. Those that need a GPU share one process.
test: .venv/dev
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadgroup

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/deptry .

report: .venv/installed
	$(BIN)/plumbline report

# The pages in a headless Chromium: the one named in CHROMIUM, or found on the path, or playwright's own.
browser: .venv/browser
	$(BIN)/python -m pytest -m browser

clean:
	rm -rf .venv

# constraints.txt pins every version, torch 2.13.0 among them. pytorchcv asks for torchvision, which its models do
# not use, and which fits one build of torch alone.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[history,report]' transformers requests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps pytorchcv
	touch $@

.venv/browser: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
