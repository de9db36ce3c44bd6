# `make demo`, `make test` and `make docs` set up what they need in .venv. PYTHON must be 3.12 or newer.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

.PHONY: setup demo test test-fast docs lint typecheck clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "error: $(PYTHON) is older than Python 3.12; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/python experiments/demo.py

test: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

test-fast: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m 'not slow'

docs: setup
	PATH="$(BIN):$$PATH" $(BIN)/python -m sphinx --builder html --jobs auto --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html
	@echo "the site: $(CURDIR)/docs/_build/html/index.html"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The packages are laid out as they are installed, because models/ and guides/ live beside vri_pyro/ in the tree.
typecheck: setup
	rm -rf build/typecheck && mkdir -p build/typecheck
	cp -r vri_pyro build/typecheck/ && cp -r models guides build/typecheck/vri_pyro/
	cd build/typecheck && $(BIN)/mypy --config-file ../../pyproject.toml -p vri_pyro

clean:
	rm -rf .venv build dist *.egg-info docs/_build
