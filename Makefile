# What a newcomer, a developer and CI run. `make help` explains.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Proxy, stand-in ABConnect and store in one process, with commands to try (Ctrl-C ends it)
	@scripts/install cc=build-essential
	cargo run --quiet --features demo -- demo $(ARGS)

test: ## All tests, against a real redis-server and both Python SDKs; installs what is missing
	@scripts/install cc=build-essential redis-server
	@python3 -c 'import ensurepip' 2>/dev/null || scripts/install python3 python3-venv || true
	cargo test --workspace --all-features
	scripts/test-sdks

check: ## Formatting, clippy and doc warnings; nothing may be left
	@scripts/install cc=build-essential
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --quiet

bench: ## What projecting costs, and how much faster a warm read is than a cold one
	@scripts/install cc=build-essential redis-server
	cargo bench --all-features
