# make demo    build, import real facts, ask five saved queries
# make test    every test; installs the Python packages that one of them needs
# make check   formatting, lints, docs
# make bench   the benchmarks; make versus compares with DuckDB and SQLite

export CARGO_TERM_COLOR ?= auto
CARGO ?= cargo
DEMO ?= target/demo-store

.PHONY: demo test check bench versus

demo:
	@mkdir -p $(dir $(DEMO))
	@rm -rf $(DEMO)
	$(CARGO) run --locked --quiet -- demo $(DEMO)

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

# The interop tests make a virtual environment; Debian ships the module for that apart.
test:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --locked --no-fail-fast && $(CARGO) test --locked --doc; \
	else $(CARGO) test --locked; fi

bench:
	$(CARGO) bench --locked

versus:
	$(CARGO) build --locked --release
	python3 benches/versus/versus.py $(ARGS)
