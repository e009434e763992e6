# Os comandos do projeto. No Windows, use os equivalentes em pip que estão no README.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-legs check bench bench-quick install install-dev clean

$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Não encontrei $(PYTHON). Instale o Python 3.11 ou rode: make PYTHON=python3 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Não encontrei $(PYTHON). Instale o Python 3.11 ou rode: make PYTHON=python3 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/.installed

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(BIN)/python main.py demo

test: $(VENV)/.installed-dev
	PYTEST_ADDOPTS="--cov=src --cov-report=term:skip-covered --cov-fail-under=90" $(BIN)/python main.py test

# A busca sem as bibliotecas opcionais; a rede já está cortada em todos os testes.
test-legs: $(VENV)/.installed-dev
	for missing in faiss sentence_transformers; do \
		LUNA_TEST_WITHOUT=$$missing $(BIN)/python -m pytest -q tests/test_rag.py \
			tests/test_retrieval_search.py tests/test_retrieval_backend.py \
			tests/test_retrieval_storage.py tests/test_grounding.py || exit 1; \
	done

check: $(VENV)/.installed-dev
	$(BIN)/black --check --quiet main.py src tests benchmarks scripts
	$(BIN)/isort --check-only --quiet main.py src tests benchmarks scripts
	$(BIN)/flake8 main.py src tests benchmarks scripts
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" lint-imports
	$(BIN)/python scripts/check_data.py

bench-quick: $(VENV)/.installed-dev
	$(BIN)/python main.py benchmark --quick

bench: bench-quick
	$(BIN)/python benchmarks/tokenizer.py --quick
	$(BIN)/python benchmarks/components.py --quick
	$(BIN)/python benchmarks/presets.py --quick
	$(BIN)/python benchmarks/emotion.py --quick
	$(BIN)/python benchmarks/proactivity.py --quick
	$(BIN)/python benchmarks/chat.py --quick
	$(BIN)/python benchmarks/retrieval.py --quick
	$(BIN)/python benchmarks/refine.py --quick

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .hypothesis .import_linter_cache
