# The commands of this project, each a line or two over cargo and the bed (tests/bed).
# `make demo` and `make test` do all set-up themselves, on a plain Debian 12 with Rust, Go, a C compiler, make and root.

CARGO ?= cargo
ENGINE ?= $(shell command -v docker || command -v podman || echo docker)
# How many tests with VMs run side by side at most: much of a test is waiting.
LANES ?= 3
VERSION = $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# Where cargo puts what it builds. Programs are run from there: `cargo run --package` would build their dependencies
# anew, with the features that the one package asks for.
TARGET = $(or $(CARGO_TARGET_DIR),target)
BED = $(TARGET)/release/lunette-bed

.PHONY: help demo test test-all bench unit build fuzz fuzzers rooms lint fmt crds reference images manifests deny clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: build ## tell the story: Helm, volumes of pods, a crash, a client outside, and back to nothing
	$(BED) demo

test: unit build fuzzers rooms ## everything: unit tests, a real API server, VMs with both kernels
	$(BED) test --kernel 6.1 --kernel 6.12 --lanes $(LANES)

test-all: unit build fuzzers rooms ## the same, the tests that take minutes each, and on both kernels all that one is enough for otherwise
	$(BED) test --all --kernel 6.1 --kernel 6.12 --lanes $(LANES)

bench: build rooms ## what a command costs, in instructions, beside other targets; writes docs/performance.md (root)
	$(BED) bench --kernel 6.1 --kernel 6.12

rooms: ## the programs by which the cost of ring, SCSI and counting is guarded
	$(CARGO) build --release --package lunette-cost --features mock

unit: ## the tests that need nothing but Rust
	$(CARGO) test --workspace

build: ## the release binaries
	$(CARGO) build --release --workspace

fuzz: build fuzzers ## every fuzzer, LUNETTE_FUZZ_SECONDS each
	$(BED) test fuzz:: --lanes 2

fuzzers: ## the fuzzers, on stable Rust: our own crates are compiled once more, so that libFuzzer sees what an input reaches
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tests/fuzz/watched" \
	$(CARGO) build --release --package lunette-fuzz --features engine --bins

lint: ## formatting, clippy with warnings denied, cargo-deny where it is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else echo 'cargo-deny is not installed (cargo install cargo-deny): its checks are left to CI'; fi

deny: ## licences, bans and sources; needs the network only for packages that are not here yet
	$(CARGO) fetch --quiet --locked
	$(CARGO) deny --offline check bans licenses sources

fmt: ## format
	$(CARGO) fmt --all

crds: build ## write the CRDs anew from the types: manifests/crds and the chart lunette-crds
	for dir in manifests/crds charts/lunette-crds/files; do \
	$(TARGET)/release/lunette-operator crds --write $$dir || exit 1; done

manifests: build ## write manifests/install.yaml, and what the tests compare charts with, anew from the charts
	LUNETTE_WRITE_RENDERED=1 $(BED) test charts::the_plain_manifest,charts::each_value

reference: build ## write the generated parts of the book anew
	$(TARGET)/release/lunette-operator reference --write docs/storage-class.md
	$(CARGO) run --quiet --package lunette-scsi --example reference -- docs/reference/scsi.md

images: ## the container images, with docker or podman: both programs are built in a container of the images' own Debian
	$(ENGINE) run --rm -v "$(CURDIR)":/src -w /src -e CARGO_TARGET_DIR=/src/target/images \
	docker.io/library/rust:1.91-slim-bookworm cargo build --locked --profile dist -p lunette-operator -p lunette-node
	mkdir -p target/images/context
	cp target/images/dist/lunette-operator target/images/dist/lunette-node target/images/context/
	$(ENGINE) build -f images/operator.Dockerfile -t lunette-operator:$(VERSION) target/images/context
	$(ENGINE) build -f images/node.Dockerfile -t lunette-node:$(VERSION) target/images/context

clean: ## remove everything that was built, the bed's cache too
	$(CARGO) clean
