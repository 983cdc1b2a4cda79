#!/usr/bin/env bash
# Set up (once), then everything a change has to pass: lint, format, types, layers, tests.
source "$(dirname "$0")/environment.sh"
ensure_environment dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy
.venv/bin/lint-imports
.venv/bin/python -m pytest "$@"
