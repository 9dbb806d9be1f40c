# One place for every command a person or CI types. Needs Python 3.11+, make and a network of package registries.
PYTHON ?= python3
BIN := .venv/bin
ROOMS := api bench bot cli core data sandbox scheduler sessions tests run.py

.PHONY: demo serve sandbox test check audit format docs-settings lock clean

demo: .venv/.runtime  ## a whole Postfleet on this machine, no Telegram needed; Ctrl-C ends it
	@$(BIN)/python run.py demo

serve: .venv/.runtime  ## the daemon against whatever the settings name
	@$(BIN)/python run.py serve

sandbox: .venv/.runtime  ## the data centre alone
	@$(BIN)/python run.py sandbox

test: .venv/.dev  ## every test
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev  ## style, types and the arrows between rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(ROOMS)
	$(BIN)/lint-imports

audit: .venv/.dev  ## known weaknesses in the locked dependencies (asks PyPI), and newer versions of them
	-$(BIN)/uv pip list --outdated --python $(BIN)/python
	$(BIN)/uv tool run -q --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes -r requirements-dev.txt

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs-settings: .venv/.runtime  ## .env.example and docs/settings.md, after a change in core/settings
	$(BIN)/python -m core.settings_docs

lock: .venv/.dev  ## after a change of requirements*.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header requirements-dev.in -o requirements-dev.txt

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postfleet needs Python 3.11 or newer; name it: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/.runtime

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
