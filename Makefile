# make demo    build, import real facts, ask five saved queries
# make test    every test, of the crate and of the Python package, which it builds and installs
# make test-core   the tests of the core alone, without SQL: no DataFusion is built
# make check   formatting, lints, docs, and check-python
# make check-python   the lints and the types of the Python package
# make fuzz    new seeds of mutated stores; SECONDS=3600 for an hour
# make compare QUERIES=200000 SEED=7    made-up questions for Ostracon, DuckDB and SQLite: more than the tests ask
# make kills    500 killed writers in each scene with a backup, a damaged commit, a renamed store
# make bench   the benchmarks; make versus compares with DuckDB and SQLite

export CARGO_TERM_COLOR ?= auto
CARGO ?= cargo
DEMO ?= target/demo-store
# Where the Python package is installed to be tested, and what it is tested with.
VENV ?= target/python
TESTED_WITH = maturin==1.* papyra==0.3.0 pytest trio pyarrow polars numpy pandas starlette redis
# Where the tools that check the Python package are installed. The versions are exact, because a new version of a tool
# may find more. Mypy reads the types of the libraries in this list.
LINTERS ?= target/linters
LINTED_WITH = ruff==0.17.6 mypy==2.4.1 papyra==0.3.0 anyio==4.16.0 trio==0.35.0

.PHONY: demo test test-core test-python check check-python venv-module fuzz compare kills bench versus

demo:
	@mkdir -p $(dir $(DEMO))
	@rm -rf $(DEMO)
	@echo 'Building Ostracon. The first build compiles DataFusion, which takes some minutes; later builds take seconds.'
	$(CARGO) build --locked --package ostracon-cli
	$(CARGO) run --locked --quiet --package ostracon-cli -- demo $(DEMO)

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- --deny warnings
	$(CARGO) clippy --locked --package ostracon --no-default-features --features testing --all-targets --quiet -- --deny warnings
	$(CARGO) clippy --locked --package ostracon --no-default-features --lib --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	$(MAKE) check-python

# The virtual environment is made if there is none, or if its Python is gone.
check-python: venv-module
	@$(LINTERS)/bin/pip --version >/dev/null 2>&1 || python3 -m venv --clear $(LINTERS)
	$(LINTERS)/bin/pip install --quiet --disable-pip-version-check $(LINTED_WITH)
	$(LINTERS)/bin/ruff check --quiet --cache-dir $(LINTERS)/ruff-cache python
	$(LINTERS)/bin/mypy --no-error-summary --config-file python/pyproject.toml --cache-dir $(LINTERS)/mypy-cache python/ostracon

# Debian has Python's module for virtual environments in a separate package.
venv-module:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }

# The interop tests make a virtual environment.
test: venv-module
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --locked --no-fail-fast && $(CARGO) test --locked --doc; \
	else $(CARGO) test --locked; fi
	$(MAKE) test-core
	$(MAKE) test-python

# The tests of the core, which is built without SQL.
CORE = --locked --package ostracon --no-default-features --features testing
test-core:
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run $(CORE) --no-fail-fast && $(CARGO) test $(CORE) --doc; \
	else $(CARGO) test $(CORE); fi

# A real Redis to move in from; without it those tests are skipped, and say so.
test-python: venv-module
	@command -v redis-server >/dev/null || apt-get install -y -qq redis-server >/dev/null 2>&1 || echo 'redis-server cannot be installed'
	rm -rf $(VENV) target/wheels
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check $(TESTED_WITH)
	cd python && ../$(VENV)/bin/maturin build --quiet --locked --profile dev --out ../target/wheels
	$(VENV)/bin/pip install --quiet --disable-pip-version-check target/wheels/*.whl
	$(VENV)/bin/pytest python

SECONDS ?= 60
fuzz:
	OSTRACON_FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --test suite -- --exact fuzz::mutated_stores --nocapture

compare:
	QUERIES=$(or $(QUERIES),200000) SEED=$(or $(SEED),1) $(CARGO) test --locked --test suite engines::compare -- --nocapture

kills:
	OSTRACON_KILLS=500 $(CARGO) test --locked --test suite kill::disturbed -- --nocapture

bench:
	$(CARGO) bench --locked

versus:
	$(CARGO) build --locked --release
	python3 benches/versus/versus.py $(ARGS)
