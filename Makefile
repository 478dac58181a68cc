# make demo    build, import real facts, ask five saved queries
# make test    every test, of the crate and of the Python package, which it builds and installs
# make check   formatting, lints, docs
# make bench   the benchmarks; make versus compares with DuckDB and SQLite

export CARGO_TERM_COLOR ?= auto
CARGO ?= cargo
DEMO ?= target/demo-store
# Where the Python package is installed to be tested, and what it is tested with.
VENV ?= target/python
TESTED_WITH = maturin==1.* papyra==0.3.0 pytest trio pyarrow polars starlette redis

.PHONY: demo test test-python check bench versus

demo:
	@mkdir -p $(dir $(DEMO))
	@rm -rf $(DEMO)
	$(CARGO) run --locked --quiet -- demo $(DEMO)

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

# The interop tests make a virtual environment; Debian ships the module for that apart.
test:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --locked --no-fail-fast && $(CARGO) test --locked --doc; \
	else $(CARGO) test --locked; fi
	$(MAKE) test-python

# A real Redis to move in from; without it those tests are skipped, and say so.
test-python:
	@command -v redis-server >/dev/null || apt-get install -y -qq redis-server >/dev/null 2>&1 || echo 'redis-server cannot be installed'
	rm -rf $(VENV) target/wheels
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check $(TESTED_WITH)
	cd python && ../$(VENV)/bin/maturin build --quiet --locked --profile dev --out ../target/wheels
	$(VENV)/bin/pip install --quiet --disable-pip-version-check target/wheels/*.whl
	$(VENV)/bin/pytest python

bench:
	$(CARGO) bench --locked

versus:
	$(CARGO) build --locked --release
	python3 benches/versus/versus.py $(ARGS)
