# Sourced by the other scripts: a virtual environment in .venv with this checkout installed.
# Quick when repeated: a stamp remembers what was installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ensure_environment() { # extras, e.g. "dev" or ""
  local extras="$1" python stamp wanted
  stamp=".venv/.installed"
  wanted="$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)"
  if [ -f "$stamp" ] && grep -qxE "$wanted ($extras|dev)" "$stamp"; then
    return
  fi
  python="${PYTHON:-python3}"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "recsys_lab needs Python 3.11 or newer; found $("$python" --version). Set PYTHON=" >&2
    exit 2
  }
  echo "installing into .venv (some minutes the first time)"
  "$python" -m venv .venv
  local install=(.venv/bin/python -m pip install --quiet --no-compile --constraint constraints.txt)
  "${install[@]}" torch
  "${install[@]}" --editable ".${extras:+[$extras]}"
  # pip compiles on one core. Templates for other versions of Python among the files do not compile.
  .venv/bin/python -W ignore -m compileall -qq -j 0 .venv/lib || true
  echo "$wanted $extras" >"$stamp"
}
