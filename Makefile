# `make test` checks everything and installs what it needs for that; `make demo` shows it at work.

CARGO ?= cargo
# Where cargo puts what it builds.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

# What the tests are told: a missing real part is a failure, and where the parts are.
REAL_PARTS := JDCLOUD_REQUIRE_REAL_PARTS=1 \
	JDCLOUD_TEST_PYTHON=$(CURDIR)/.cache/python/bin/python \
	JDCLOUD_EXPORTER_BINARY=$(TARGET)/release/jdcloud-cdn-exporter

# How long `make chaos` goes on.
export JDCLOUD_CHAOS_SECONDS ?= 120

.PHONY: help test demo lint bench chaos fuzz deb package parts

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Before the tests, so that a slip in the formatting is told first. The real-stack test takes the
# release binary, all others that of the test build. The chaos test has its short run here.
test: parts lint ## Checks everything; installs what it needs (Debian: apt-get, as root or by sudo)
	$(CARGO) build --locked --release
	env -u JDCLOUD_CHAOS_SECONDS $(REAL_PARTS) $(CARGO) test --locked
	$(REAL_PARTS) deploy/test
	$(REAL_PARTS) docs/test
	python3 benches/scale --help >/dev/null
	@echo "make test: everything passed"

demo: ## Runs the exporter against a simulated provider; look at http://localhost:10530/
	$(CARGO) run --locked -- demo

lint: ## Checks formatting, clippy's lints and the documentation; a warning is a failure
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

bench: ## Measures what README and docs/performance.md state; installs what it compares with (half an hour)
	@.ci/parts bench
	benches/run
	python3 benches/scale

chaos: ## Faults, reloads and rude clients at random, 2 minutes (JDCLOUD_CHAOS_SECONDS)
	$(CARGO) test --locked --test chaos -- --nocapture

fuzz: ## Feeds made-up input to every decoder, a minute each
	fuzz/run

deb: ## Builds and packs a Debian package into target/package
	$(CARGO) build --locked --release
	deploy/package/pack --binary=$(TARGET)/release/jdcloud-cdn-exporter --output=$(TARGET)/package deb

package: ## The same with a tarball, both with a bill of materials and check sums
	$(CARGO) build --locked --release
	deploy/package/pack --binary=$(TARGET)/release/jdcloud-cdn-exporter --output=$(TARGET)/package

parts:
	@.ci/parts
