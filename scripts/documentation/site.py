"""The documentation as a site, built without a warning or a broken link.

The pages of ``docs/``, the generated reference, the studies of ``experiments/`` and the changelog
are put side by side, and zensical makes the site of them. The navigation follows the files: a new
page of ``docs/how-to`` is in it without an entry here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recsys_lab.config.help.keys import GROUPS
from recsys_lab.config.verbs import VERBS

from .notes import with_notes
from .reference import pages

REPOSITORY = Path(__file__).resolve().parents[2]

HOW_TO = (
    "your-own-data",
    "published-data",
    "split",
    "check-for-leaks",
    "shops",
    "features",
    "choose-a-model",
    "resume",
    "track",
    "dashboard",
    "compare",
    "explain",
    "retrain",
    "promote",
    "drift",
    "sweep",
    "sweep-on-a-cluster",
    "serve",
    "docker",
    "secrets",
    "when-something-breaks",
)
"""Pages of ``docs/how-to`` in the order of an experiment; others follow by name."""


def write_pages(folder: Path) -> None:
    """Put all pages of the site into `folder`."""
    shutil.copytree(REPOSITORY / "docs", folder, ignore=shutil.ignore_patterns("*.toml"))
    for name, text in with_notes(pages()).items():
        _write(folder / "reference" / name, text)
    shutil.copy(REPOSITORY / "CHANGELOG.md", folder / "changelog.md")
    shutil.copy(REPOSITORY / "tests/data/bad_input/BAD_INPUT.md", folder / "reference/bad-input.md")
    for study in sorted((REPOSITORY / "experiments").rglob("README.md")):
        name = study.parent.name if study.parent.name != "experiments" else "index"
        _write(folder / "studies" / f"{name}.md", _as_study(study.read_text(encoding="utf-8")))
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        # Links to studies lead into experiments/ for those who read the files themselves.
        up = "../" * (len(page.relative_to(folder).parts) - 1)
        moved = re.sub(r"\((?:\.\./)+experiments/(\w+)/README\.md", rf"({up}studies/\1.md", text)
        moved = re.sub(
            r"\((?:\.\./)+tests/data/bad_input/BAD_INPUT\.md", f"({up}reference/bad-input.md", moved
        )
        if moved != text:
            page.write_text(moved, encoding="utf-8")


def _as_study(text: str) -> str:
    """A study's README: links between studies lead to pages, those to its own files are text."""
    text = re.sub(r"\]\((?:\.\./)?(\w+)/(?:README\.md)?\)", r"](\1.md)", text)
    return re.sub(r"\[([^\]]+)\]\([\w.-]+\.(?:json|md|csv|parquet)\)", _file_of_study, text)


def _file_of_study(link: re.Match[str]) -> str:
    name = link[0].rpartition("(")[2].rstrip(")")
    is_page = name.endswith(".md") and (REPOSITORY / "experiments" / name[:-3]).is_dir()
    return link[0] if is_page else f"{link[1]} (`{name}`)" if link[1] != name else f"`{name}`"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def navigation(folder: Path) -> list[dict[str, Any]]:
    """The navigation of the pages in `folder`, with their first headings as titles."""
    how_to = sorted(page.stem for page in (folder / "how-to").glob("*.md"))
    adding = sorted(page.stem for page in (folder / "how-to/add").glob("*.md"))
    working = [name for name in HOW_TO if name in how_to]
    working += [name for name in how_to if name not in HOW_TO]
    studies = sorted(page.stem for page in (folder / "studies").glob("*.md"))
    studies.remove("index")
    listed = ["metrics", "habits", "run-directory", "environment", "bad-input", "notes"]
    handwritten = [n for n in listed if (folder / f"reference/{n}.md").exists()]
    entries = {
        "Start": ["index", "tutorial", "coming-from"],
        "How to": [f"how-to/{name}" for name in working],
        "Add your own": [f"how-to/add/{name}" for name in adding],
        "Verbs": ["reference/index", *(f"reference/verbs/{verb}" for verb in VERBS)],
        "Config groups": [f"reference/{group}" for group in GROUPS],
        "More reference": [f"reference/{name}" for name in handwritten],
        "Background": ["protocol", "design", "benchmarks", "changelog"],
        "Studies": ["studies/index", *(f"studies/{name}" for name in studies)],
    }
    return [{title: _titled(folder, names)} for title, names in entries.items()]


def _titled(folder: Path, names: Iterable[str]) -> list[dict[str, str]]:
    return [{_title(folder / f"{name}.md"): f"{name}.md"} for name in names]


def _title(page: Path) -> str:
    heading = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None:
        raise SystemExit(f"{page}: no heading '# ...'")
    return heading[1].replace("`", "").removeprefix("recsys-lab ")


def build(output: Path) -> Path:
    """Build the site anew in `output`.

    Returns:
        The folder with ``index.html``.

    Raises:
        SystemExit: zensical warned, of a broken link for example; its words are printed.
    """
    shutil.rmtree(output, ignore_errors=True)
    write_pages(output / "pages")
    look = (REPOSITORY / "docs/zensical.toml").read_text(encoding="utf-8")
    entries = ",\n  ".join(_inline(entry) for entry in navigation(output / "pages"))
    config = output / "zensical.toml"
    config.write_text(look.replace("[project]\n", f"[project]\nnav = [\n  {entries},\n]\n", 1))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr))
    return output / "site"


def _inline(value: object) -> str:
    """A value as inline TOML; text is written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)
