# The test bed: a real Kubernetes cluster on this machine, without Docker.
# Included by the Makefile at the root; see tests/testbed/README.md.

TESTBED_DIR ?= $(CURDIR)/.testbed
TESTBED     := $(TESTBED_DIR)/bin/testbed
DEMO_IMAGE  := $(TESTBED_DIR)/images/demo.tar
# The same program for this machine: the load through the gateway, which listens on loopback.
DEMO_PROGRAM := $(TESTBED_DIR)/bin/demo
# The service whose memory is told, with the Go agent in it.
HEAP_IMAGE  := $(TESTBED_DIR)/images/heap.tar
KUBERNETES  := 1.36.3

TESTBED_SOURCES := $(shell find tests/testbed -name '*_test.go' -prune -o -type f \( -name '*.go' -o -path '*/templates/*' \) -print) \
	tests/testbed/go.mod tests/testbed/go.sum
DEMO_SOURCES := $(shell find tests/demo -name '*_test.go' -prune -o -type f -name '*.go' -print) tests/demo/go.mod tests/demo/go.sum
HEAP_SOURCES := $(shell find tests/heap agents/go -name '*_test.go' -prune -o -type f \( -name '*.go' -o -name 'go.mod' -o -name 'go.sum' \) -print)

# Clients read the server's version, and the audit log the clients', from what
# the linker sets here.
TESTBED_LDFLAGS := -s -w \
	-X k8s.io/client-go/pkg/version.gitVersion=v$(KUBERNETES) \
	-X k8s.io/component-base/version.gitVersion=v$(KUBERNETES) \
	-X k8s.io/component-base/version.gitMajor=$(word 1,$(subst ., ,$(KUBERNETES))) \
	-X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES)))

.PHONY: testbed testbed-build testbed-down testbed-linux demo-image heap-image

testbed: testbed-build ## Bring the test bed up (root, Linux)
	@$(TESTBED) up --dir $(TESTBED_DIR)
	@echo "use it: export KUBECONFIG=$(TESTBED_DIR)/kubeconfig; $(TESTBED_DIR)/bin/kubectl get nodes"

testbed-down: ## End the test bed; what was built and fetched stays
	@test ! -x $(TESTBED) || $(TESTBED) down --dir $(TESTBED_DIR)

testbed-build: testbed-linux $(TESTBED) $(TESTBED_DIR)/images/pause.tar $(TESTBED_DIR)/images/runtime.tar ## Build Kubernetes for the test bed (about 10 minutes the first time)

testbed-linux:
	@test "$$(uname -s)" = Linux || { echo "testbed: a node needs Linux: use a Linux machine or a virtual one" >&2; exit 77; }

$(TESTBED): $(TESTBED_SOURCES)
	@test -e $@ || echo "building Kubernetes $(KUBERNETES) from source: about 10 minutes the first time, seconds after that"
	@mkdir -p $(@D)
	cd tests/testbed && go build -buildvcs=false -ldflags "$(TESTBED_LDFLAGS)" -o $@ .

$(TESTBED_DIR)/images/pause.tar: tests/testbed/pause/main.go | $(TESTBED)
	@$(TESTBED) image --go-package tests/testbed/pause --name flyball.dev/pause:1 --out $@

# For pods that run this machine's own JVM, Node or Python: users, and else nothing.
$(TESTBED_DIR)/images/runtime.tar: tests/testbed/pause/main.go tests/testbed/runtime/passwd tests/testbed/runtime/group | $(TESTBED)
	@$(TESTBED) image --go-package tests/testbed/pause --entrypoint /pause --name flyball.dev/runtime:1 --out $@ \
		--file tests/testbed/runtime/passwd:/etc/passwd --file tests/testbed/runtime/group:/etc/group

demo-image: testbed-linux $(DEMO_IMAGE) ## Build the demo image, and import it if the test bed is up
	@if $(TESTBED) status --dir $(TESTBED_DIR) >/dev/null; then $(TESTBED) import-image --dir $(TESTBED_DIR) $(DEMO_IMAGE); fi

$(DEMO_IMAGE): $(DEMO_SOURCES) | $(TESTBED)
	$(TESTBED) image --go-package tests/demo --name flyball.dev/demo:dev --out $@

heap-image: testbed-linux $(HEAP_IMAGE) ## Build the image of the service whose memory is told, and import it if the test bed is up
	@if $(TESTBED) status --dir $(TESTBED_DIR) >/dev/null; then $(TESTBED) import-image --dir $(TESTBED_DIR) $(HEAP_IMAGE); fi

$(HEAP_IMAGE): $(HEAP_SOURCES) | $(TESTBED)
	$(TESTBED) image --go-package tests/heap --name flyball.dev/heap:dev --out $@

$(DEMO_PROGRAM): $(DEMO_SOURCES)
	@mkdir -p $(@D)
	cd tests/demo && go build -buildvcs=false -ldflags "-s -w" -o $@ .
