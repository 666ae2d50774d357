# The whole of Routex in a few words; `make` alone explains them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help
# The coding agents that `make journeys` runs, and where it keeps them.
AGENTS             ?= @anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 @google/gemini-cli@0.61.0
ROUTEX_AGENTS_DIR ?= $(CURDIR)/.cache/agents

.PHONY: help setup setup-dev browser run test test-uvicorn journeys soak chaos fuzz check docs format lock bench bench-peers clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Routex needs Python 3.11 or newer; name yours: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Routex needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.runtime: requirements.txt | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt && touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt && touch $@

setup: $(VENV)/.runtime ## Create .venv with the locked requirements

setup-dev: $(VENV)/.dev ## The same with what tests and checks need

run: setup ## Start everything: PostgreSQL, Valkey, web server, worker
	@$(BIN)/python -m routex_site.cli up

lock: | $(BIN)/uv ## Rewrite both lock files from pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make lock' pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make lock' --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt

# Browser tests drive the system's Chromium; where this may install it, it does, elsewhere they are skipped.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the browser tests"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null \
			|| echo "Chromium could not be installed: the browser tests are skipped, or fail where CI is set."; \
	else \
		echo "No Chromium here: the browser tests are skipped (on Debian and Ubuntu: apt install chromium)."; \
	fi

test: setup-dev browser ## Run the whole suite (browser tests need Chromium)
	@$(BIN)/python -m pytest $(TESTS)

test-uvicorn: setup-dev ## The journeys through uvicorn instead of Daphne
	@ROUTEX_TEST_SERVER=uvicorn $(BIN)/python -m pytest tests/journeys tests/isolation

# A file names what is installed, so that other versions are installed anew.
journeys: setup-dev ## Claude Code, Codex and Gemini CLI through the gateway to an upstream of each format (needs npm)
	@command -v npm >/dev/null || { echo "There is no npm here, which installs the agents. Install Node.js 20 or newer."; exit 1; }
	@mkdir -p $(ROUTEX_AGENTS_DIR)
	@test "$$(cat $(ROUTEX_AGENTS_DIR)/installed 2>/dev/null)" = "$(AGENTS)" \
		|| { npm install --prefix $(ROUTEX_AGENTS_DIR) --no-audit --no-fund --loglevel error $(AGENTS) && echo "$(AGENTS)" > $(ROUTEX_AGENTS_DIR)/installed; }
	@ROUTEX_AGENTS_DIR=$(ROUTEX_AGENTS_DIR) $(BIN)/python -m pytest -m agents tests/journeys/test_agents.py $(TESTS)

soak: setup-dev ## Minutes of slow readers and many streams; prints what each costs
	@$(BIN)/python -m pytest -m slow -s tests

check: setup-dev ## Linters, types, import contracts, missing migrations, stale docs, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy .
	@$(BIN)/codespell --skip '*/vocabularies/*,*.lock,*/fuzz/failures,*/token_samples.json,./data,./static/vendor,./requirements*.txt,./.venv*,./.git' --ignore-words-list 'ans,ist,fo,hel,te,ue,crd,chanel,chanels,brin,nmae,caf,thi'
	@$(BIN)/python tests/missing_migrations.py
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/python tests/sizes.py

docs: setup-dev ## Write the generated parts of the documentation anew
	@$(BIN)/python -m tests.generated_docs
	@$(BIN)/python -m tests.wire.matrix

format: setup-dev ## Format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

chaos: setup-dev ## Kill every process of an install again and again under load (2 minutes)
	@$(BIN)/python -m pytest -m slow -s tests/journeys/test_survives_kills.py

fuzz: setup-dev ## Feed every decoder random and hostile input (FUZZ_SECONDS for each, 600 if unset)
	@$(BIN)/python -m tests.routing.engine.translation.fuzz

bench: setup-dev ## Measure the gateway against going direct, and against peers that are installed
	@$(BIN)/python -m bench

bench-peers: setup-dev ## Install the peers that bench compares with, each in its own environment
	@$(BIN)/python -m bench --install-peers

clean: ## Remove the environment (the data folder stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
