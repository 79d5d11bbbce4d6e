# Every target does its own set-up: a machine with Rust 1.95, Go 1.26 and apt is enough. See README.md.
SHELL := /bin/bash
export CARGO_INCREMENTAL := 0
# The oracle tests compare with Go; here Go is never missing by accident.
export TIDEGATE_REQUIRE_GO := 1

# The first use may install mold, so this is asked anew by every recipe.
CARGO = $$(command -v mold >/dev/null && echo "mold -run") cargo
STEP := e2e/step.sh
# Tests of one end-to-end binary that run side by side.
E2E_THREADS ?= 4
FUZZ_SECONDS ?= 600
# How long `make busy` looks for false drift; `make e2e` does for about 20 s.
BUSY_SECONDS ?= 600

.PHONY: demo test cluster cluster-stop run generate lint fuzz busy setup tools build unit e2e fmt-check generated clippy deny e2e-oldest

setup:
	@$(STEP) setup e2e/setup.sh

tools: setup
	@$(STEP) "control plane, kwok, helm" e2e/tools/build.sh

# One compilation of the operator and the harness serves demo, tests and local runs.
build: setup
	@$(STEP) "build operator and harness" bash -c '$(CARGO) build --locked -p tidegate -p tidegate-e2e'

demo: tools build
	@$(STEP) demo target/debug/e2e demo

cluster: tools build
	@$(STEP) "cluster up" target/debug/e2e cluster-up

cluster-stop:
	@$(STEP) "build harness" bash -c '$(CARGO) build --locked -p tidegate-e2e'
	@$(STEP) "cluster down" target/debug/e2e cluster-down

# Against the current KUBECONFIG, or what `make cluster` left running: with CRDs and nothing else.
run: export KUBECONFIG := $(or $(KUBECONFIG),$(CURDIR)/e2e/.run/kubeconfig)
run: tools build
	@target/debug/e2e install-crds
	target/debug/tidegate run --cache-dir e2e/.run/cache --http-addr 127.0.0.1:8080

generate: setup
	@$(STEP) helm e2e/tools/build.sh helm
	@$(STEP) generate bash -c '$(CARGO) run --locked -p xtask -- generate'

fmt-check: setup
	@$(STEP) format cargo fmt --all --check

generated: tools
	@$(STEP) "generated files" bash -c '$(CARGO) run --locked -p xtask -- generate --check'

clippy: setup
	@$(STEP) clippy bash -c '$(CARGO) clippy --locked --workspace --all-targets -- -D warnings'

deny: setup
	@$(STEP) "cargo-deny present" e2e/setup.sh cargo-deny
	@$(STEP) "crates and licences" e2e/.cache/cargo-tools/bin/cargo-deny --locked check bans licenses sources

lint: fmt-check clippy deny

unit: tools
	@$(STEP) "unit and property tests" bash -c '$(CARGO) test --locked --workspace --exclude tidegate-e2e'

e2e: tools build
	@$(STEP) "end-to-end tests" bash -c '$(CARGO) test --locked -p tidegate-e2e -- --test-threads=$(E2E_THREADS)'

# On the oldest Kubernetes that is supported: the chart, the rules in the CRDs, and what a release, drift, a refusal and a
# deletion ask of an API server. All else does not depend on its version.
OLDEST_SUITE := admission:: leave:: releases:: drift:: deletion:: health:: expressions:: refusals::
e2e-oldest: export TIDEGATE_E2E_KUBERNETES := oldest
e2e-oldest: tools build
	@$(STEP) "oldest control plane" e2e/tools/build.sh control-plane-oldest
	@$(STEP) "chart and CRDs on it" bash -c '$(CARGO) test --locked -p tidegate-e2e --test api'
	@$(STEP) "end-to-end tests on it" bash -c '$(CARGO) test --locked -p tidegate-e2e --test suite -- \
		--test-threads=$(E2E_THREADS) $(OLDEST_SUITE)'

# In this order: what fails soonest comes first, and nothing runs beside what it would slow down.
test:
	@$(STEP) "make test" $(MAKE) --no-print-directory -j1 setup fmt-check tools generated clippy deny unit e2e e2e-oldest

busy: tools build
	@$(STEP) "no drift in a busy cluster" bash -c 'TIDEGATE_BUSY_SECONDS=$(BUSY_SECONDS) $(CARGO) test --locked -p tidegate-e2e --test suite a_busy_cluster -- --nocapture'

fuzz: setup
	@$(STEP) "fuzz yaml" bash -c 'TIDEGATE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) run --locked -p tidegate-yaml --example fuzz_stream'
