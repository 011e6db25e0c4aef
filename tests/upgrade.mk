# Whether a controller carries on what another version of it began. Included by the Makefile at the root. It builds that version,
# so it is no part of `make test`, which reads journals that were kept of each version (controller/tests/journals).

# The version before this one, or any other: a tag or a commit.
FORMER ?= $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null)
FORMER_DIR := $(TESTBED_DIR)/former
FORMER_PROGRAM := $(FORMER_DIR)/target/$(IMAGE_TARGET)/image/flyball

.PHONY: test-upgrade former keep-journals

former: $(ZIG) $(SEED) $(CERTIFICATES)
	@test -n "$(FORMER)" || { echo "there is no version before this one; name one: make test-upgrade FORMER=<tag or commit>" >&2; exit 2; }
	@rm -rf $(FORMER_DIR)/tree && mkdir -p $(FORMER_DIR)/tree
	git archive $(FORMER) | tar -x -C $(FORMER_DIR)/tree
	cd $(FORMER_DIR)/tree && PATH="$(TOOLS)/bin:$$PATH" RUSTFLAGS="$(IMAGE_RUSTFLAGS)" LD_PRELOAD=$(SEED) CARGO_TARGET_DIR=$(FORMER_DIR)/target \
		$(CARGO) zigbuild --locked --profile image --target $(IMAGE_TARGET) -p flyball-controller
	$(TESTBED) image --binary $(FORMER_PROGRAM) --name flyball.dev/flyball:former --out $(FORMER_DIR)/flyball.tar \
		--file $(CERTIFICATES):/etc/ssl/certs/ca-certificates.crt

# Killed at each request of each lever, and carried on by the other version, in both directions; then a release of the chart
# that is upgraded and rolled back in the middle of a Change.
define other_version
	export FLYBALL_FORMER=$(FORMER_DIR); \
	$(TESTBED) import-image --dir $(TESTBED_DIR) $(FORMER_DIR)/flyball.tar; \
	echo "begun by $(FORMER), carried on by this version"; \
	FLYBALL_BIN=$(FORMER_PROGRAM) FLYBALL_SUCCESSOR=$(BIN) $(NEXTEST) nextest run --locked --profile cluster -p flyball-tests --test cluster_faults -E 'test(killed)'; \
	echo "begun by this version, carried on by $(FORMER)"; \
	FLYBALL_BIN=$(BIN) FLYBALL_SUCCESSOR=$(FORMER_PROGRAM) $(NEXTEST) nextest run --locked --profile cluster -p flyball-tests --test cluster_faults -E 'test(killed)'; \
	$(NEXTEST) nextest run --locked --profile cluster -p flyball-tests --test cluster_helm --run-ignored only
endef

test-upgrade: build former testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) $(HEAP_IMAGE) $(FLYBALL_IMAGE) $(HELM) $(NEXTEST) ## Run what another version began to its end, and the other way round (FORMER=<tag or commit>)
	$(call on_the_bed,the tests of two versions,$(BIN),$(other_version))

# One journal of each field and phase, as this version writes them.
keep-journals: build testbed-build $(DEMO_IMAGE) $(DEMO_PROGRAM) $(HEAP_IMAGE) $(NEXTEST)
	$(call on_the_bed,the journals of this version,$(BIN),FLYBALL_JOURNALS=$(TESTBED_DIR)/journals $(NEXTEST) nextest run --locked --profile cluster -p flyball-tests --test cluster_faults -E 'test(killed)')
	@echo "kept in $(TESTBED_DIR)/journals"
