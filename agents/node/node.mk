# The Node agent: tests, lint and benchmark. See agents/node/README.md. Included by the Makefile at the root.

NODE ?= node
NODE_SOURCES := $(sort $(wildcard agents/node/*.js agents/node/lib/*.js agents/node/test/*.js agents/node/test/fixtures/*.js) tests/demo-node/service.js)

# Where Node is missing or too old that is said, and is a failure if CI=true. $(1): what is skipped.
define with_node
	@if ! $(NODE) -e 'process.exit(parseInt(process.versions.node, 10) < 18 ? 1 : 0)' 2>/dev/null; then \
		if [ "$${CI:-}" = true ]; then echo "no Node 18 or later: a skipped test is a failure in CI"; exit 1; fi; \
		echo "skipped: $(1): there is no Node 18 or later here (set NODE to one)"; exit 0; \
	fi;
endef

.PHONY: test-node lint-node bench-node

test-node: ## Run the tests of the Node agent
	$(call with_node,the tests of the Node agent) $(NODE) --test $(wildcard agents/node/test/*.test.js)

lint-node:
	$(call with_node,the check of the Node agent) for file in $(NODE_SOURCES); do $(NODE) --check $$file; done

bench-node: ## Print what the Node agent costs at start and at rest (about 8 minutes)
	$(call with_node,the benchmark of the Node agent) $(NODE) agents/node/bench.js
