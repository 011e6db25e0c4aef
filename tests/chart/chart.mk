# What the chart is tested with, built from modules. Included by the Makefile at the root. There is no code here.

CHART_BIN   := $(TESTBED_DIR)/chart
HELM        := $(CHART_BIN)/helm
CHART_TOOLS := $(HELM) $(CHART_BIN)/helm-unittest $(CHART_BIN)/helm-docs $(CHART_BIN)/kubernetes-validate

# Without a cluster to ask, helm takes what the linker sets here for the version of Kubernetes.
HELM_MODULE  := helm.sh/helm/v3
HELM_LDFLAGS := -s -w \
	-X $(HELM_MODULE)/pkg/chartutil.k8sVersionMajor=1 -X $(HELM_MODULE)/pkg/chartutil.k8sVersionMinor=36 \
	-X $(HELM_MODULE)/pkg/lint/rules.k8sVersionMajor=1 -X $(HELM_MODULE)/pkg/lint/rules.k8sVersionMinor=36

.PHONY: test-chart

test-chart: $(CHART_TOOLS) ## Run the chart's tests: what it renders, what it refuses, and whether the manifests are its rendering
	FLYBALL_CHART_TOOLS=$(CHART_BIN) $(CARGO) test --locked -p flyball-tests --test chart

# About four minutes the first time.
$(HELM): tests/chart/helm/go.mod tests/chart/helm/go.sum
	@mkdir -p $(@D)
	cd tests/chart/helm && go build -buildvcs=false -ldflags "$(HELM_LDFLAGS)" -o $@ $(HELM_MODULE)/cmd/helm

$(CHART_BIN)/helm-unittest: tests/chart/unittest/go.mod tests/chart/unittest/go.sum
	@mkdir -p $(@D)
	cd tests/chart/unittest && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/helm-unittest/helm-unittest/cmd/helm-unittest

$(CHART_BIN)/helm-docs: tests/chart/docs/go.mod tests/chart/docs/go.sum
	@mkdir -p $(@D)
	cd tests/chart/docs && go build -buildvcs=false -ldflags "-s -w" -o $@ github.com/norwoodj/helm-docs/cmd/helm-docs

$(CHART_BIN)/kubernetes-validate: | $(TOOLS)/bin/pip
	@mkdir -p $(@D)
	$(PIP_INSTALL) kubernetes-validate==1.37.0
	ln -sf $(TOOLS)/bin/kubernetes-validate $@
