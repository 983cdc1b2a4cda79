"""No module imports itself by way of others, not even for types.

The order of the packages is checked by ``lint-imports``, which allows circles inside of one.
"""

from __future__ import annotations

import re
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import grimp
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports, also under TYPE_CHECKING and in functions."""
    graph = grimp.build_graph("recsys_lab", cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_no_circle_of_imports(imports):
    order = list(TopologicalSorter(imports).static_order())
    assert len(order) == len(imports) > 500
    module, imported = "recsys_lab.training.module", "recsys_lab.training.recipe"
    back = {**imports, imported: imports[imported] | {module}}
    with pytest.raises(CycleError):
        list(TopologicalSorter(back).static_order())


def test_imports_for_types_and_in_functions_count(imports):
    assert "recsys_lab.training.recipe" in imports["recsys_lab.training.module"]
    assert "recsys_lab.tracking.epoch_logger" in imports["recsys_lab.tracking.base"]


def test_the_design_page_has_the_layers_that_are_checked():
    [contract] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    checked = " > ".join(contract["layers"]).replace("recsys_lab.", "")
    page = (ROOT / "docs/design.md").read_text()
    [_, shown, *_] = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert " ".join(shown.split()) == checked
    named = set(re.findall(r"^\| `(\w+)` \| [A-Z`]", page, re.MULTILINE))
    assert set(re.findall(r"\w+", checked)) <= named


def test_folders_are_small():
    """A choice of the group of models is a file: see docs/design.md."""
    tops = ("src", "configs", "tests", "docs", "scripts")
    folders = {path for top in tops for path in (ROOT / top).rglob("*") if path.is_dir()}
    kinds = {".py", ".yaml", ".md", ".html", ".toml"}
    counts = {
        folder.relative_to(ROOT).as_posix(): sum(file.suffix in kinds for file in folder.iterdir())
        for folder in folders
    }
    assert {name for name, count in counts.items() if count > 25} == {"configs/model"}


def test_files_are_short():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for top in ("src", "tests", "scripts", "experiments")
        for path in (ROOT / top).rglob("*.py")
    }
    assert not {name: lines for name, lines in lengths.items() if lines > 300}
    of_package = [lines for name, lines in lengths.items() if name.startswith("src/")]
    assert median(of_package) <= 150
