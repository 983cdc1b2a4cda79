#!/usr/bin/env bash
# Set up (once), then build the documentation into build/docs/site; fails on any warning.
source "$(dirname "$0")/environment.sh"
ensure_environment docs
exec .venv/bin/python -m scripts.documentation "$@"
