# The Python agent: tests, lint and benchmark. See agents/python/README.md. Included by the Makefile at the root.

PYTHON ?= python3
PYTHON_SOURCES := $(sort $(wildcard agents/python/*.py agents/python/flyball_agent/*.py agents/python/tests/*.py) tests/demo-python/service.py)

# Where Python is missing or too old that is said, and is a failure if CI=true. $(1): what is skipped.
define with_python
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then \
		if [ "$${CI:-}" = true ]; then echo "no Python 3.9 or later: a skipped test is a failure in CI"; exit 1; fi; \
		echo "skipped: $(1): there is no Python 3.9 or later here (set PYTHON to one)"; exit 0; \
	fi;
endef

.PHONY: test-python lint-python bench-python

test-python: ## Run the tests of the Python agent
	$(call with_python,the tests of the Python agent) cd agents/python && $(PYTHON) -W error::ResourceWarning -m unittest discover -s . -t .

# Read as the oldest version that the agent runs on does.
lint-python:
	$(call with_python,the check of the Python agent) $(PYTHON) -c 'import ast, sys; [ast.parse(open(name).read(), name, feature_version=(3, 9)) for name in sys.argv[1:]]' $(PYTHON_SOURCES); \
	PYTHONPYCACHEPREFIX=$$(mktemp -d) $(PYTHON) -m py_compile $(PYTHON_SOURCES)

bench-python: ## Print what the Python agent costs at start and at rest (about 5 minutes)
	$(call with_python,the benchmark of the Python agent) $(PYTHON) agents/python/bench.py
