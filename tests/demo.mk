# The demo: the loop, live in the terminal, with a report at the end. See tests/demo/README.md.
# Included by the Makefile at the root, after tests/testbed.mk.
#
#   make demo                    on the test bed, with short windows: at most 10 minutes once built
#   make demo VERBATIM=1         with the rule's own 5m and 2m: about 20 minutes
#   make demo CLUSTER=current    on the cluster that kubectl points to; FLYBALL_DEMO_IMAGE names an
#                                image in a registry, where the nodes can't be handed one
#   make demo ONLY=weights       the chapter on weights alone; ONLY=replicas leaves it out
#   make demo KEEP=1             leave cluster and services as they are at the end

VERBATIM ?=
CLUSTER ?= testbed
KEEP ?=
ONLY ?=
# release takes minutes more to build; the report says which it was.
DEMO_PROFILE ?= dev
DEMO_REPORT ?= demo-report

.PHONY: demo

demo: testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) ## Show the loop live, from a breach to a verified change, and one that is rolled back
	$(CARGO) build --profile $(DEMO_PROFILE) -p flyball-controller -p flyball-tests --bin flyball --bin demo
	@$(CARGO) run --quiet --profile $(DEMO_PROFILE) -p flyball-tests --bin demo -- \
		--testbed-dir $(TESTBED_DIR) --cluster $(CLUSTER) --report $(DEMO_REPORT) \
		$(if $(VERBATIM),--verbatim) $(if $(KEEP),--keep) $(if $(ONLY),--only $(ONLY))
