# Everything a developer or a CI machine does. `make help` lists it.
# Long things are built once and cached outside the checkout: see tests/tools and tests/nodes.

CARGO   ?= cargo
TARGET  := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(TARGET)/release/rkadm
NODES   := target/$(TARGET)/debug/nodes
MINORS  ?= 1.36,1.37
NODE    ?= cp1
SHELL   := /bin/bash -o pipefail

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(NODES) ## Install what this machine lacks (Debian packages; needs root)
	$(NODES) setup

.PHONY: build
build: ## Build the release binary (static)
	$(CARGO) build --release --locked --bin rkadm
	@ls -lh $(RELEASE) | awk '{print $$9 ": " $$5}'

.PHONY: tools
tools: setup ## Build and cache the pinned Kubernetes binaries, images and the node tree
	$(NODES) prepare --minors $(MINORS)

.PHONY: demo
demo: build tools ## Make a real Kubernetes cluster on a test node with `rkadm init`
	tests/demo.sh $(RELEASE) $(NODES)

.PHONY: test
test: ## Run every test (sets up all that it needs)
	@MAKE="$(MAKE)" tests/all.sh $(NODES) $(MINORS)
	@echo "all tests passed"

.PHONY: lint
lint: ## Formatting, clippy, licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	tests/deny.sh

.PHONY: unit
unit: ## Unit, scenario, golden, command-line and docs tests; no node needed
	$(CARGO) test --workspace --locked --exclude rkadm-nodes --lib --bins
	$(CARGO) test --workspace --locked --exclude rkadm-nodes --doc
	$(CARGO) test --locked --test golden --test cli --test scenarios --test docs

# Seeds and fixtures are only read; what the fuzzer finds grows in fuzz/corpus.
.PHONY: fuzz
fuzz: ## Fuzz each reader of files for RKADM_SECONDS (60); needs nightly Rust and cargo-fuzz
	for target in database record log backup unpack; do \
		mkdir -p fuzz/corpus/$$target && \
		$(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target \
			$$([ $$target != database ] || echo src/core/etcd/snapshot/fixtures) -- \
			-max_total_time=$${RKADM_SECONDS:-60} -timeout=10 -rss_limit_mb=1024 || exit 1; \
	done

.PHONY: parity
parity: ## Compare what rkadm and the real kubeadm of each minor write; needs Go and root, no node
	$(CARGO) test --locked --test parity $(ARGS)

.PHONY: etcd
etcd: setup ## Compare how rkadm and the real etcd read and write etcd's files; needs Go and root, no node
	$(CARGO) test --locked --test etcd $(ARGS)

.PHONY: ground
ground: tools ## Test the test ground itself
	$(CARGO) test --locked -p rkadm-nodes -- --test-threads=1

# With the tests' own build: the release build is measured by `make bench`, and takes as long as a third of these tests. Two at a
# time: a test on nodes waits for more than half of its time, and each has machines and a network of its own.
.PHONY: e2e
e2e: tools ## Tests on real nodes with real Kubernetes; RKADM=FILE for another build than the tests' own
	$(CARGO) test --locked --test e2e -- --test-threads=2 $(ARGS)

.PHONY: chaos
chaos: build tools ## Joins under random faults; RKADM_ROUNDS says how many, RKADM_SEED replays, RKADM_FAULT picks
	RKADM=$(CURDIR)/$(RELEASE) $(CARGO) test --locked --test e2e -- --ignored --nocapture --test-threads=1 chaos::chaos

.PHONY: older-minors
older-minors: setup ## Clusters of 1.34 and 1.35 taken over, and upgraded over every minor; builds all of them first
	$(NODES) prepare --minors 1.34,1.35,1.36,1.37
	$(CARGO) test --locked --test e2e -- --ignored --nocapture --test-threads=1 older:: upgrade::chain

.PHONY: bench
bench: build tools ## Measure rkadm beside kubeadm on the same node
	RKADM=$(CURDIR)/$(RELEASE) $(CARGO) test --locked --test e2e -- --ignored --nocapture --test-threads=1 bench

.PHONY: etcd-large
etcd-large: ## Verify, back up and restore a database of more than 2 GiB; takes some 10 GiB of disk for a while
	$(CARGO) test --locked --test etcd -- --ignored --exact large::a_database_of_more_than_2_gib_is_verified_backed_up_and_restored

# BENCH_MB=100,1024,4096 says how large the data is, BENCH_LINES=3.7 with which etcd.
.PHONY: bench-etcd
bench-etcd: ## Measure backup, verification and restore beside etcdctl and etcdutl
	$(CARGO) test --release --locked --test etcd -- --ignored --nocapture --exact bench::bench

.PHONY: shell
shell: $(NODES) ## Open a shell on a test node: make shell NODE=cp1
	$(NODES) shell $(NODE)

.PHONY: clean-nodes
clean-nodes: $(NODES) ## Remove all test nodes and what killed tests left behind
	$(NODES) clean

.PHONY: docs
docs: ## Build the book (needs mdbook)
	mdbook build docs

.PHONY: docs-reference
docs-reference: ## Write the generated pages of the book and the schema anew
	UPDATE_DOCS=1 $(CARGO) test --locked --test docs --bin rkadm -- up_to_date

$(NODES): FORCE
	$(CARGO) build --locked --bin nodes -p rkadm-nodes

.PHONY: FORCE
FORCE:
