"""Build the documentation into ``build/docs/site``.

python -m scripts.documentation [--output FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .site import REPOSITORY, build

parser = argparse.ArgumentParser(description="Build the documentation; fail on any warning.")
parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "docs")
site = build(parser.parse_args().output)
print(f"built: {site}; to read it: python -m http.server --directory {site}")
