# What a newcomer, a developer and CI run. `make help` explains.

.DEFAULT_GOAL := help
.PHONY: help demo test check model soak fuzz slow-attacks cache-tests http-lint admin-api monitoring browser-tests guides book bench bench-growth bench-peers instructions packages

# Where that does not help, the scripts that need Python say what is wrong with it.
PYTHON_WITH_VENV = python3 -c 'import ensurepip' 2>/dev/null || scripts/install python3 python3-venv || true

help: ## This list; demo takes options: make demo ARGS="--listen 127.0.0.1:8090"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Proxy and stand-in ABConnect in one process, and what to try
	@scripts/install cc=build-essential
	@echo "building; the first time takes some minutes"
	@cargo run --quiet --features demo -- demo $(ARGS)

test: ## All tests: a real redis-server, both Python SDKs
	@scripts/install cc=build-essential redis-server
	@PATH="$$PATH:/usr/sbin" scripts/install --unstarted haproxy
	@$(PYTHON_WITH_VENV)
	cargo test --workspace --all-features
	scripts/test-sdks

check: ## Formatting, clippy and doc warnings, what comes into the build; nothing may be left
	@scripts/install cc=build-essential
	cargo fmt --all --check
	scripts/cargo-deny
	cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
	cargo clippy --test soak --all-features --quiet -- -D warnings
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --quiet

model: ## What the cache promises, explored whole within small bounds; up to 3 minutes
	@scripts/install cc=build-essential
	cargo run --quiet --release -p coherence-model -- $(ARGS)

soak: ## Load while all else fails, each answer checked; SOAK_MINUTES=5, SOAK_SEED=
	@scripts/install cc=build-essential redis-server
	cargo test --quiet --all-features --test soak

slow-attacks: ## slowhttptest's four attacks at once: others are served meanwhile, attackers' connections end; a minute
	@scripts/install cc=build-essential python3 slowhttptest
	cargo build --workspace --all-features --quiet
	PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 python3 tests/slow-attacks/run.py "$${CARGO_TARGET_DIR:-target}/debug"

cache-tests: ## What is forwarded stays as it was: http-cache-tests with and without the proxy
	@scripts/install cc=build-essential node=nodejs npm ip=iproute2 unshare=util-linux
	@$(PYTHON_WITH_VENV)
	scripts/cache-tests

http-lint: ## List answers are sound HTTP: httplint and redbot find nothing
	@scripts/install cc=build-essential
	@$(PYTHON_WITH_VENV)
	scripts/http-lint

admin-api: ## The operator's listener keeps to its /openapi.json: schemathesis finds nothing; half a minute
	@scripts/install cc=build-essential redis-server
	@$(PYTHON_WITH_VENV)
	scripts/admin-api $(ARGS)

monitoring: ## Metrics, alerts, dashboard and the table of them fit together, by promtool
	@scripts/install cc=build-essential python3 redis-server
	@scripts/install --unstarted promtool=prometheus
	scripts/check-monitoring

browser-tests: ## The frontend in a real browser: flows, faults, accessibility, screenshots; some minutes
	@scripts/install cc=build-essential chromium node=nodejs npm redis-server
	scripts/browser-tests

guides: ## Every command of the guides in docs/, and what they print; a minute and a half
	@scripts/install cc=build-essential redis-server curl jq ip=iproute2 unshare=util-linux
	@$(PYTHON_WITH_VENV)
	scripts/test-guides $(ARGS)

book: ## The guides as a book in target/book; takes mdbook
	@scripts/book

bench: ## Projection, what fills cost others, and warm reads against cold ones
	@scripts/install cc=build-essential redis-server
	cargo bench --bench projection --bench filling --bench proxy

bench-growth: ## Hits while sellers, entries, connections and fills grow; draws charts/growth.svg; 5 to 9 minutes
	@scripts/install cc=build-essential redis-server
	cargo bench --bench growth

bench-peers: ## Against nginx, HAProxy, Varnish, Traffic Server: CPU, latency, memory; 10 minutes; ARGS="--only hit-64 --against nginx"
	@PATH="$$PATH:/usr/sbin" scripts/install cc=build-essential python3 redis-server taskset=util-linux
	@PATH="$$PATH:/usr/sbin" scripts/install --unstarted nginx varnishd=varnish haproxy traffic_server=trafficserver wrk
	cargo build --release --quiet
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 python3 benches/peers/run.py --ours "$${CARGO_TARGET_DIR:-target}/release/catproxy" $(ARGS)

instructions: ## What the steps of a request cost, counted by valgrind: a tenth more fails; ARGS=--record keeps what they cost
	@scripts/install cc=build-essential python3 valgrind
	scripts/instructions $(ARGS)

packages: ## What operators install by: the static program in an empty root, units, compose.yaml, manifests; 10 minutes
	@scripts/install cc=build-essential python3 redis-server ip=iproute2 unshare=util-linux openssl strace
	@scripts/install --unstarted systemd-analyze=systemd docker-compose
	@$(PYTHON_WITH_VENV)
	scripts/check-deploy

fuzz: ## Makes up input for FUZZ_SECONDS (60) for each check of fuzz/checks, or for FUZZ_TARGET; first build: 4 minutes
	@scripts/install cc=build-essential
	scripts/fuzz
