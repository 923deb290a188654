# The commands of the Broker Portal; each does its work in scripts/ or in one line of cargo.

TARGET := $(or $(CARGO_TARGET_DIR),target)

# Builds read .sqlx, whatever database the shell points at for the server.
export SQLX_OFFLINE := true

.DEFAULT_GOAL := help
.PHONY: help setup run test dev lint bench release queries clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing to build and run
	@scripts/setup.sh run

run: setup ## build the portal and start it, with its own Postgres and demo accounts
	@scripts/build-site.sh
	@echo "==> server: compiling"
	@cargo build --features ssr
	@echo "==> server: starting"
	@LEPTOS_SITE_ROOT="$(TARGET)/site" exec "$(TARGET)/debug/broker-portal" serve

test: ## run every test: unit, integration, end to end in a real browser
	@scripts/test.sh

dev: ## rebuild and restart on every save
	@scripts/dev.sh

lint: ## check formatting, lints and licences
	@scripts/lint.sh

release: setup ## build the optimised server and, beside it, its site
	@scripts/build-site.sh --out "$(TARGET)/release/site"
	@echo "==> server: compiling, optimised"
	@cargo build --release --features ssr
	@echo "==> release: $(TARGET)/release/broker-portal and $(TARGET)/release/site"

bench: release ## measure how soon a revoked device is out and its tabs show it, what checks, streams and reviews cost
	@scripts/setup.sh test
	@node bench/revocation.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/tabs.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/streams.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/review.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"

queries: ## check the SQL against a throwaway database and refresh .sqlx
	@scripts/queries.sh

clean: ## remove what was built; downloaded tools and data stay
	cargo clean
	rm -rf end2end/results
