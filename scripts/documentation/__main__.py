"""Build the documentation into ``build/docs/site``.

python -m scripts.documentation [--output FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .site import REPOSITORY, build

parser = argparse.ArgumentParser(description="Build the documentation; fail on any warning.")
parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "docs")
print(f"open {build(parser.parse_args().output) / 'index.html'}")
