"""Remove outputs, counters and an editor's metadata from the notebooks, as they are stored.

With --check: change nothing, and fail if one is not clean.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(text: str) -> str:
    """A notebook's text as it is stored."""
    notebook: dict[str, Any] = json.loads(text)
    for number, cell in enumerate(notebook["cells"]):
        cell.update(id=f"cell-{number}", metadata={})
        if cell["cell_type"] == "code":
            cell.update(execution_count=None, outputs=[])
    notebook.update(metadata=METADATA, nbformat=4, nbformat_minor=5)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Strip all notebooks; the exit code."""
    texts = {file: file.read_text(encoding="utf-8") for file in sorted(NOTEBOOKS.rglob("*.ipynb"))}
    unclean = [file for file, text in texts.items() if stripped(text) != text]
    for file in unclean:
        if "--check" not in arguments:
            file.write_text(stripped(texts[file]), encoding="utf-8")
        print(file.relative_to(NOTEBOOKS.parent))
    return int(bool(unclean) and "--check" in arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
