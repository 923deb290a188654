# Commands of the Broker Portal. Each runs a script in scripts/ or one cargo command.

TARGET := $(or $(CARGO_TARGET_DIR),target)

# Builds read .sqlx and ignore the shell's DATABASE_URL.
export SQLX_OFFLINE := true

.DEFAULT_GOAL := help
.PHONY: help setup run site server test dev lint bench release queries clean

help: ## list all commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install missing tools to build and run
	@scripts/setup.sh run

run: setup ## build and start the portal with its own Postgres and demo accounts
	@$(MAKE) --no-print-directory --jobs=2 site server
	@echo "==> server: starting"
	@LEPTOS_SITE_ROOT="$(TARGET)/site" exec "$(TARGET)/debug/broker-portal" serve

# In parallel, because the end of each build uses one core.
site:
	@scripts/build-site.sh

server:
	@echo "==> server: compiling"
	@cargo build --features ssr

test: ## run all tests: unit, integration, fault, end to end
	@scripts/test.sh

dev: setup ## rebuild and restart on every save
	@exec node scripts/dev.mjs

lint: ## check formatting, lints and licences
	@scripts/lint.sh

release: setup ## build the optimised server and its site
	@scripts/build-site.sh --out "$(TARGET)/release/site"
	@echo "==> server: compiling, optimised"
	@cargo build --release --features ssr
	@echo "==> release: $(TARGET)/release/broker-portal and $(TARGET)/release/site"

bench: release ## measure revocation latency, session checks, event streams and admin lists
	@scripts/setup.sh test
	@node bench/revocation.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/tabs.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/streams.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"
	@node bench/review.mjs "$(TARGET)/release/broker-portal" "$(TARGET)/release/site"

queries: ## check the SQL against a temporary database and refresh .sqlx
	@scripts/queries.sh

clean: ## remove build output; keep downloaded tools and data
	cargo clean
	rm -rf end2end/results
