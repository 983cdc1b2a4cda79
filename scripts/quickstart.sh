#!/usr/bin/env bash
# Set up (once), then train SASRec on the built-in synthetic shop and show it beside popularity
# and the oracle.
source "$(dirname "$0")/environment.sh"
ensure_environment ""
exec .venv/bin/python scripts/quickstart.py "$@"
