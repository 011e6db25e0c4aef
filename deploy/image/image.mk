# The controller's image: one static program, the certificates of public authorities, and nothing else. Included by the
# Makefile at the root. No Docker: the test bed's own tool writes the archive, bit for bit the same from the same inputs
# (`make image-again`).

# x86_64 or aarch64. The test bed takes this machine's.
IMAGE_ARCH    ?= $(shell uname -m)
IMAGE_TARGET  := $(IMAGE_ARCH)-unknown-linux-musl
IMAGE_PROGRAM := $(CURDIR)/target/$(IMAGE_TARGET)/image/flyball
FLYBALL_IMAGE := $(if $(filter $(IMAGE_ARCH),$(shell uname -m)),$(TESTBED_DIR)/images/flyball.tar,$(CURDIR)/target/flyball-$(IMAGE_ARCH).tar)
IMAGE_TAG     ?= dev
ZIG           := $(TOOLS)/bin/cargo-zigbuild
CERTIFICATES  := $(TOOLS)/certificates.pem
SEED          := $(TOOLS)/seed.so

# Neither where it was built nor where its crates lie is in the program.
IMAGE_RUSTFLAGS = --remap-path-prefix=$(CURDIR)=/flyball --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo

.PHONY: image image-program image-again sbom crd-bundle

# A C compiler for musl that is the same everywhere, in a wheel.
$(ZIG): | $(TOOLS)/bin/pip
	$(PIP_INSTALL) ziglang==0.17.1 cargo-zigbuild==0.24.1

$(CERTIFICATES): | $(TOOLS)/bin/pip
	$(PIP_INSTALL) certifi==2026.10.19.post1
	cp "$$($(TOOLS)/bin/python -m certifi)" $@

$(SEED): deploy/image/seed.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -O1 -o $@ $<

image-program: $(ZIG) $(SEED)
	@rustup target list --installed | grep -qx $(IMAGE_TARGET) || rustup target add $(IMAGE_TARGET)
	PATH="$(TOOLS)/bin:$$PATH" RUSTFLAGS="$(IMAGE_RUSTFLAGS)" LD_PRELOAD=$(SEED) \
		$(CARGO) zigbuild --locked --profile image --target $(IMAGE_TARGET) -p flyball-controller

image: $(FLYBALL_IMAGE) ## Build the controller's image, an archive for `ctr image import` or `skopeo copy`
	@ls -l $(FLYBALL_IMAGE) $(IMAGE_PROGRAM)

$(FLYBALL_IMAGE): image-program $(CERTIFICATES) | $(TESTBED)
	@$(TESTBED) image --binary $(IMAGE_PROGRAM) --name flyball.dev/flyball:$(IMAGE_TAG) --out $@ \
		--arch $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(IMAGE_ARCH))) \
		--file $(CERTIFICATES):/etc/ssl/certs/ca-certificates.crt

image-again: image ## Build the image once more, from a copy of the tree in another place, and see that it is the same
	@other=$$(mktemp -d); trap 'rm -rf "$$other"' EXIT; \
	git archive HEAD | tar -x -C "$$other"; cp -a $(TOOLS) "$$other/.tools"; mkdir -p "$$other/.testbed/bin"; \
	cp $(TESTBED) "$$other/.testbed/bin/"; touch "$$other/.testbed/bin/testbed"; \
	$(MAKE) -C "$$other" image; \
	cmp "$$other/target/$(IMAGE_TARGET)/image/flyball" $(IMAGE_PROGRAM); \
	cmp "$$other/.testbed/images/flyball.tar" $(FLYBALL_IMAGE) && sha256sum $(FLYBALL_IMAGE)

# What is in the program, for whoever has to know whether a crate with a hole is.
$(TOOLS)/bin/cargo-cyclonedx:
	$(CARGO) install --locked --quiet --root $(TOOLS) cargo-cyclonedx@0.5.9

sbom: $(TOOLS)/bin/cargo-cyclonedx ## Write the bill of materials of the controller, target/flyball.cdx.json (CycloneDX)
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) cyclonedx --manifest-path controller/Cargo.toml --format json --target $(IMAGE_TARGET) \
		--no-build-deps --override-filename flyball.cdx
	mv controller/flyball.cdx.json target/
	rm -f crds/flyball.cdx.json controller/core/flyball.cdx.json tests/flyball.cdx.json tests/model/flyball.cdx.json

crd-bundle: ## Write the definitions as one file, target/flyball-crds.yaml, for whoever installs them apart from the chart
	@mkdir -p target
	@for file in crds/generated/*.yaml; do echo ---; cat "$$file"; done > target/flyball-crds.yaml
