# The Java agent: build, tests and benchmark. See agents/java/README.md.
# Included by the Makefile at the root.

JAVA_DIR   := $(CURDIR)/agents/java
JAVA_BUILD := $(JAVA_DIR)/build
# The agent, and what an application compiles against.
JAVA_AGENT := $(JAVA_BUILD)/flyball-agent.jar
JAVA_API   := $(JAVA_BUILD)/flyball-api.jar
JAVA_TESTS := $(JAVA_BUILD)/tests
# A service whose memory is steered from outside, in one jar.
JAVA_DEMO  := $(JAVA_BUILD)/flyball-demo.jar

JAVA_SOURCES      := $(sort $(wildcard agents/java/src/main/dev/flyball/*/*.java))
JAVA_TEST_SOURCES := $(sort $(wildcard agents/java/src/test/dev/flyball/agent/*.java))
JAVA_API_SOURCES  := $(sort $(wildcard agents/java/src/main/dev/flyball/api/*.java))
JAVA_DEMO_SOURCES := $(sort $(wildcard agents/java/demo/dev/flyball/demo/*.java))
# Read by JDKs that are too old for the agent, so that it can tell them.
JAVA_OLD_SOURCES  := agents/java/src/main/dev/flyball/agent/Premain.java

# Built by the oldest JDK that the agent runs on, where it is there.
JAVA_HOME_BUILD := $(shell agents/java/jdk 17 || agents/java/jdk 25)

# The same sources and the same JDK make the same bytes: sorted names, one date, no leftovers.
JAVA_JAR := $(JAVA_HOME_BUILD)/bin/jar --create --date=1980-02-01T00:00:00Z

.PHONY: build-java test-java bench-java bench-java-collectors

build-java: $(JAVA_AGENT) $(JAVA_API) $(JAVA_DEMO) ## Build the Java agent, its API and its demo service

$(JAVA_AGENT): $(JAVA_SOURCES) agents/java/manifest.txt agents/java/java.mk LICENSE
	@test -n "$(JAVA_HOME_BUILD)" || { echo "the Java agent needs a JDK 17 or 25: set JAVA_HOME, or install one under /usr/lib/jvm" >&2; exit 1; }
	rm -rf $(JAVA_BUILD)/agent && mkdir -p $(JAVA_BUILD)/agent
	$(JAVA_HOME_BUILD)/bin/javac --release 8 -Xlint:-options -Werror -g:source,lines -d $(JAVA_BUILD)/agent $(JAVA_OLD_SOURCES)
	$(JAVA_HOME_BUILD)/bin/javac --release 17 -Xlint:all -Werror -g:source,lines -cp $(JAVA_BUILD)/agent -d $(JAVA_BUILD)/agent \
		$(filter-out $(JAVA_OLD_SOURCES),$(JAVA_SOURCES))
	install -m 644 -D LICENSE $(JAVA_BUILD)/agent/META-INF/LICENSE
	cd $(JAVA_BUILD)/agent && $(JAVA_JAR) --file $@ --manifest $(JAVA_DIR)/manifest.txt META-INF/LICENSE $$(find . -name '*.class' | LC_ALL=C sort)

$(JAVA_API): $(JAVA_API_SOURCES) agents/java/manifest.txt agents/java/java.mk LICENSE
	rm -rf $(JAVA_BUILD)/api && mkdir -p $(JAVA_BUILD)/api
	$(JAVA_HOME_BUILD)/bin/javac --release 17 -Xlint:all -Werror -g:source,lines -d $(JAVA_BUILD)/api $(JAVA_API_SOURCES)
	install -m 644 -D LICENSE $(JAVA_BUILD)/api/META-INF/LICENSE
	sed -n -e 's/^Implementation-Title: .*/Implementation-Title: flyball-api/p' -e '/^Implementation-Version: /p' -e '$$aAutomatic-Module-Name: dev.flyball.api' agents/java/manifest.txt > $(JAVA_BUILD)/api-manifest.txt
	cd $(JAVA_BUILD)/api && $(JAVA_JAR) --file $@ --manifest $(JAVA_BUILD)/api-manifest.txt META-INF/LICENSE $$(find . -name '*.class' | LC_ALL=C sort)

$(JAVA_DEMO): $(JAVA_DEMO_SOURCES) $(JAVA_API)
	rm -rf $(JAVA_BUILD)/demo && mkdir -p $(JAVA_BUILD)/demo
	cp -r $(JAVA_BUILD)/api/dev $(JAVA_BUILD)/demo/
	$(JAVA_HOME_BUILD)/bin/javac --release 17 -Xlint:all -Werror -cp $(JAVA_BUILD)/api -d $(JAVA_BUILD)/demo $(JAVA_DEMO_SOURCES)
	cd $(JAVA_BUILD)/demo && $(JAVA_JAR) --file $@ --main-class dev.flyball.demo.Demo $$(find . -name '*.class' | LC_ALL=C sort)

$(JAVA_TESTS)/built: $(JAVA_AGENT) $(JAVA_TEST_SOURCES)
	rm -rf $(@D) && mkdir -p $(@D)
	$(JAVA_HOME_BUILD)/bin/javac --release 17 -Xlint:all -Werror -cp $(JAVA_BUILD)/agent -d $(@D) $(JAVA_TEST_SOURCES)
	@touch $@

# On both JDKs. One that is missing is said, and is a failure if CI=true.
test-java: ## Run the tests of the Java agent, on JDK 17 and 25
	@missing=; for version in 17 25; do \
		home="$$(agents/java/jdk $$version)" || { missing="$$missing $$version"; continue; }; \
		$(MAKE) --no-print-directory $(JAVA_TESTS)/built $(JAVA_API) $(JAVA_DEMO); \
		"$$home/bin/java" -cp $(JAVA_TESTS):$(JAVA_BUILD)/agent -Dflyball.vectors=agents/conformance/vectors.json \
			-Dflyball.build=$(JAVA_BUILD) dev.flyball.agent.Tests; \
	done; \
	if [ -n "$$missing" ]; then \
		if [ "$${CI:-}" = true ]; then echo "no JDK$$missing: a skipped test is a failure in CI"; exit 1; fi; \
		echo "skipped: the tests of the Java agent on JDK$$missing, which is not here (JAVA_HOME, /usr/lib/jvm)"; \
	fi

JAVA_BENCH_SOURCES := agents/java/src/bench/dev/flyball/agent/Bench.java agents/java/src/bench/empty/Empty.java

$(JAVA_BUILD)/empty-agent.jar: $(JAVA_BENCH_SOURCES) $(JAVA_TESTS)/built
	$(JAVA_HOME_BUILD)/bin/javac --release 17 -Xlint:all -Werror -cp $(JAVA_BUILD)/agent:$(JAVA_TESTS) -d $(JAVA_TESTS) $(JAVA_BENCH_SOURCES)
	printf 'Premain-Class: Empty\n' > $(JAVA_BUILD)/empty-manifest.txt
	cd $(JAVA_TESTS) && $(JAVA_JAR) --file $@ --manifest $(JAVA_BUILD)/empty-manifest.txt Empty.class

define java_bench
	@for version in 17 25; do \
		home="$$(agents/java/jdk $$version)" || { echo "no JDK $$version here"; continue; }; \
		"$$home/bin/java" -cp $(JAVA_TESTS):$(JAVA_BUILD)/agent -Dflyball.build=$(JAVA_BUILD) dev.flyball.agent.Bench $(1); \
	done
endef

bench-java: $(JAVA_BUILD)/empty-agent.jar ## Print what the Java agent costs at start and idle (about 15 minutes)
	$(call java_bench,)

bench-java-collectors: $(JAVA_BUILD)/empty-agent.jar ## Print which knob gives memory back with which collector (about 25 minutes)
	$(call java_bench,collectors)
