# The command line for other systems, and krew's manifest of it. Included by the Makefile at the root. Neither is a part of
# `make test`: each target is a build of everything.

# Linking for macOS needs the frameworks of Apple's SDK, named by SDKROOT; `make cross-check` needs none.
CROSS_TARGETS ?= x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu
CHECK_TARGETS ?= x86_64-pc-windows-gnu x86_64-apple-darwin aarch64-apple-darwin
CROSS_PROFILE ?= image
# A folder of its own, so that nothing that is built for this machine is lost to it.
CROSS_DIR     := $(CURDIR)/target/cross
DIST          := $(CURDIR)/target/dist
VERSION       ?= v$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
RELEASES      ?= https://flyball.dev/releases/$(VERSION)

.PHONY: cross cross-check krew

cross: $(ZIG) ## Build the command line for other systems into archives in target/dist (CROSS_TARGETS=..., CROSS_PROFILE=dev)
	@mkdir -p $(DIST)
	@for target in $(CROSS_TARGETS); do \
		rustup target list --installed | grep -qx $$target || rustup target add $$target; \
		echo "cargo zigbuild --profile $(CROSS_PROFILE) --target $$target"; \
		PATH="$(TOOLS)/bin:$$PATH" CARGO_TARGET_DIR=$(CROSS_DIR) \
			$(CARGO) zigbuild --locked --profile $(CROSS_PROFILE) --target $$target -p flyball-controller; \
		folder=$(CROSS_DIR)/$$target/$(patsubst dev,debug,$(CROSS_PROFILE)); name=$(DIST)/flyball-$(VERSION)-$$target; \
		case $$target in \
		*windows*) python3 -m zipfile -c $$name.zip $$folder/flyball.exe LICENSE;; \
		*) tar -czf $$name.tar.gz --owner=0 --group=0 -C $$folder flyball -C $(CURDIR) LICENSE;; \
		esac; \
	done
	@ls -l $(DIST)

cross-check: $(ZIG) ## Check that the command line and its tests compile for Windows and macOS
	@for target in $(CHECK_TARGETS); do \
		rustup target list --installed | grep -qx $$target || rustup target add $$target; \
		echo "cargo zigbuild check --tests --target $$target"; \
		PATH="$(TOOLS)/bin:$$PATH" CARGO_TARGET_DIR=$(CROSS_DIR) CARGO_INCREMENTAL=0 \
			$(ZIG) check --locked --tests --target $$target -p flyball-controller -p flyball-core -p flyball-crds; \
	done

krew: ## Print krew's manifest of the archives that `make cross` made (RELEASES=https://...)
	@cd deploy/krew && go run . -version $(VERSION) -base $(RELEASES) -archives $(DIST)
