# Everything here works on a new clone; `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GO            ?= go
GOLANGCI_LINT := .bin/golangci-lint
LINT_VERSION  := v2.15.0
PACKAGES      ?= ./...

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: build postgres ## start everything with sample data, on http://127.0.0.1:8080
	bin/annals serve --demo $(ARGS)

build: ## build bin/annals
	$(GO) build -o bin/annals ./cmd/annals

test: postgres node python ## run all tests, with the race detector
	$(GO) test -race -shuffle=on -count=1 -timeout=40m $(PACKAGES)

lint: $(GOLANGCI_LINT) ## run the linters
	$(GO) mod verify >/dev/null
	$(GOLANGCI_LINT) run

fmt: $(GOLANGCI_LINT) ## format the sources
	$(GOLANGCI_LINT) fmt

bench: build postgres ## measure, each figure against the limit of this machine
	bin/annals bench $(ARGS)

soak: postgres ## kill annals 100 times and its PostgreSQL 20 times under load
	ANNALS_SOAK=full $(GO) test -count=1 -timeout=60m -v -run '^TestSoak$$' ./cmd/annals

fuzz: postgres ## fuzz every target for a while (FUZZTIME=1m)
	@for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
		$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-10s} $$pkg || exit 1; done; done

postgres: ## make sure that PostgreSQL's binaries are there
	@$(GO) run ./internal/postgres/get

node: ## make sure that Node.js and npm are there (for the tests of other languages' clients)
	@command -v npm >/dev/null && command -v node >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -qy --no-install-recommends nodejs npm; \
		else echo "Node.js 18 or later with npm is needed for the tests: see your system's packages (nodejs, npm)" >&2; exit 1; fi; }

python: ## make sure that Python is there (for the test of the second verifier of bundles)
	@command -v python3 >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -qy --no-install-recommends python3; \
		else echo "Python 3.8 or later is needed for the tests: see your system's packages (python3)" >&2; exit 1; fi; }

$(GOLANGCI_LINT): Makefile
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

.PHONY: help run build test lint fmt bench soak fuzz postgres node python
