#!/usr/bin/env bash
# Set up (once), then everything a change has to pass: lint, format, types, layers, tests.
source "$(dirname "$0")/environment.sh"
ensure_environment dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy
.venv/bin/lint-imports
# Two processes, a test file in one of them, in the order of tests/conftest.py; torch must not start
# two threads in each on two cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
