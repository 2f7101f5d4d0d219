# One line a target; the logic lives in scripts/, local/ and bench/.
PY := .venv/bin/python
SETUP := "$$(scripts/find-python)" scripts/setup.py
export TARGET ENV DEPLOYMENT AWS_REGION SSH_KEY CONNECTION OPERATOR_CIDRS CLIENT_CIDRS STATE_BUCKET CERTIFICATE ACME_EMAIL SECRETS RELEASE AUTO_APPROVE FORCE TF_PLUGIN_DIR
export PORT MIN_WORKERS MAX_WORKERS BOOT_SECONDS WARM_BOOT_SECONDS LOCALSTACK FACE_DATA FACE_URL ONLY PEOPLE STRANGERS PAIRS BOXES

.PHONY: help setup run demo test test-all test-api test-browser test-cloud test-hosts lint lint-cloud bench simulate deploy plan rollback destroy rehearse lock terraform-docs cli-docs clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## install everything that developing needs
	@$(SETUP) dev

run: ## start the whole service on this machine (PORT=8080 MIN_WORKERS=1 MAX_WORKERS=cores BOOT_SECONDS=0 LOCALSTACK=host|docker)
	@$(SETUP) run && exec $(PY) -m local

demo: ## enrol sample people in the running service and recognise sample photos
	@$(SETUP) run && exec $(PY) -m local.demo

test: ## unit, contract, integration and end-to-end tests against LocalStack
	@$(SETUP) dev && $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile tests/unit && \
		exec $(PY) -m pytest tests/contract tests/integration tests/e2e

test-api: ## schemathesis against the live service: at least 100 examples of every call
	@$(SETUP) dev && exec $(PY) -m pytest tests/api

test-browser: ## every page in Chromium: keyboard, accessibility, screenshots (Debian)
	@$(SETUP) dev && exec $(PY) -m pytest tests/browser

test-cloud: ## what Terraform makes on LocalStack, and the roles' rights (needs terraform)
	@$(SETUP) dev && exec $(PY) -m pytest tests/cloud

test-hosts: ## a deployment on systemd machines, and what becomes of photos when hosts are lost (root, Debian, terraform)
	@$(SETUP) hosts && exec $(PY) -m pytest tests/machines tests/hosts

test-all: ## all of these, and the elastic and the chaos tests
	@$(SETUP) hosts && exec $(PY) -m pytest tests

lint: ## ruff, mypy --strict, import-linter
	@$(SETUP) dev && exec scripts/lint

lint-cloud: ## terraform validate and test, checkov, ansible-lint, the compose file (needs terraform and npm)
	@$(SETUP) checks && exec scripts/lint-cloud

bench: ## measure everything against face_recognition (ONLY=pipeline|accuracy|search|system FACE_DATA= PEOPLE= STRANGERS= PAIRS= BOXES= FACE_URL=)
	@$(SETUP) dev && exec $(PY) -m bench

simulate: ## scaling policies over the same loads, in a model (SEED=1 BOOT=40 SERVICE=1.0 MAX_WORKERS=15)
	@$(SETUP) dev && exec $(PY) -m bench.simulation $(if $(SEED),--seed $(SEED)) $(if $(BOOT),--boot $(BOOT)) \
		$(if $(SERVICE),--service $(SERVICE)) $(if $(MAX_WORKERS),--max-workers $(MAX_WORKERS)) $(if $(LOG),--log $(LOG))

deploy: ## make or renew a deployment (TARGET=aws|localstack ENV=default AWS_REGION= SSH_KEY= OPERATOR_CIDRS= AUTO_APPROVE=1; docs/deployment.md)
	@$(SETUP) deploy && exec $(PY) -m deployment deploy

plan: ## show what deploying would change
	@$(SETUP) deploy && exec $(PY) -m deployment plan

rollback: ## back to the release before, or to RELEASE=
	@$(SETUP) deploy && exec $(PY) -m deployment rollback

destroy: ## remove a deployment; its bucket too with FORCE=1
	@$(SETUP) deploy && exec $(PY) -m deployment destroy

rehearse: ## a deployment's whole life on this machine: deploy, burst, scale in, second deploy under load, destroy (root, Debian)
	@$(SETUP) deploy && exec $(PY) -m deployment rehearse

terraform-docs: ## write terraform/README.md
	@$(SETUP) dev && exec $(PY) scripts/terraform_docs.py

cli-docs: ## write what the commands in docs/cli.md print, as the service at FACE_URL answers them (in its collection `docs`)
	@$(SETUP) dev && PYTHONPATH=. exec $(PY) scripts/cli_docs.py

lock: ## write the hashed lock files in requirements/ (UPGRADE=1: newest releases)
	@$(SETUP) dev && exec $(PY) scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove what was installed; enrolled people stay in .local/bucket
	rm -rf .venv .venv-* build .local/cache .local/localstack .local/logs .local/samples
