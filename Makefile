# For newcomers: `make install`, `make demo`, `make test`. Each makes .venv if it is not there.

VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough; another one: make demo PYTHON=/path/to/python
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)

# What an installation is made of: it is made again when one of these is newer.
SOURCES := pyproject.toml $(wildcard CMakeLists.txt README.md LICENSE) \
	$(shell find src native -type f ! -name '*.pyc' 2>/dev/null)

MINUTES ?= 60
SEED ?=

.PHONY: help install demo test test-slow test-models test-integrations fault lint sanitize fault-asan check check-arm clean

help:
	@echo "make install     the command, with readers for PDF, web pages and office files, in .venv"
	@echo "make demo        index the docs of Python's standard library, search them, explain a hit"
	@echo "make test        run the tests"
	@echo "make test-slow   run the tests that take minutes"
	@echo "make test-models run the tests of models, with PyTorch: a torch that is in .venv is kept"
	@echo "make test-integrations  run the suites of LangChain, LlamaIndex, Haystack …, in their newest releases"
	@echo "make fault       kill, fail, cut power and soak with random seeds (MINUTES=60, SEED=)"
	@echo "make lint        check style, formatting, types and who imports whom"
	@echo "make sanitize    check the C++ kernels under the address and undefined-behaviour sanitizers"
	@echo "make fault-asan  damage every array, with the kernels under the sanitizers: INTERLACE_FLIPS=20"
	@echo "make check       test, lint and sanitize"
	@echo "make check-arm   check the C++ kernels for ARM, on an emulator"
	@echo "make clean       remove .venv and everything that was built"

install: $(VENV)/.installed-documents
	@echo "Done. Put the command on your path: source $(BIN)/activate"

demo: $(VENV)/.installed
	@$(BIN)/interlace demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

test-models: $(VENV)/.installed-torch
	$(BIN)/python -m pytest tests/unit/models tests/unit/kernels tests/conformance \
		tests/unit/collection/test_forms.py tests/unit/collection/test_long.py

# A room of their own: frameworks bring many packages. Each run takes what is newest that day.
test-integrations:
	$(MAKE) VENV=.venv-integrations .venv-integrations/.made
	.venv-integrations/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager \
		'.[test-integrations]'
	.venv-integrations/bin/python -m pip install --quiet --upgrade mteb sentence-transformers
	.venv-integrations/bin/python -m pytest tests/integrations tests/unit/integrations \
		tests/house/test_docs.py tests/house/test_examples.py

fault: $(VENV)/.installed-test
	$(BIN)/python tests/fault --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sanitize: $(VENV)/.installed-test
	$(BIN)/cmake -S . -B build/check -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DINTERLACE_CHECK=ON -DINTERLACE_SANITIZE=ON -DINTERLACE_WERROR=ON
	$(BIN)/cmake --build build/check
	build/check/check
	build/check/check_encoder

fault-asan: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet "nanobind>=2.4"
	$(BIN)/cmake -S . -B build/asan -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DPython_EXECUTABLE=$(abspath $(BIN)/python) -DINTERLACE_SANITIZE=ON
	$(BIN)/cmake --build build/asan
	$(BIN)/python tests/fault/sanitized.py build/asan

check: test lint sanitize

# A Cortex-A72 has no dot products, so the portable tables must be all that is found there.
check-arm: $(VENV)/.installed-test
	@for tool in aarch64-linux-gnu-g++ qemu-aarch64; do command -v $$tool >/dev/null || \
		{ echo "$$tool is missing: apt install g++-aarch64-linux-gnu qemu-user"; exit 2; }; done
	$(BIN)/cmake -S . -B build/check-arm -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
		-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DINTERLACE_CHECK=ON -DINTERLACE_WERROR=ON
	$(BIN)/cmake --build build/check-arm
	for cpu in max cortex-a72; do for program in check check_encoder; do \
		qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu $$cpu build/check-arm/$$program || exit 1; done; done

clean:
	rm -rf $(VENV) .venv-integrations build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "interlace needs Python 3.11 or newer: none was found."; exit 2; }
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || \
		{ echo "interlace needs Python 3.11 or newer: try make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(SOURCES) | $(VENV)/.made
	$(BIN)/python -m pip install --quiet .
	@touch $@

$(VENV)/.installed-documents: $(SOURCES) | $(VENV)/.made
	$(BIN)/python -m pip install --quiet '.[documents]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-test: $(SOURCES) | $(VENV)/.made
	$(BIN)/python -m pip install --quiet '.[test]'
	@touch $(VENV)/.installed $(VENV)/.installed-documents $@

$(VENV)/.installed-torch: $(SOURCES) | $(VENV)/.made
	$(BIN)/python -m pip install --quiet '.[test,torch]'
	@touch $(VENV)/.installed $(VENV)/.installed-documents $(VENV)/.installed-test $@
