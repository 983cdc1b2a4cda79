"""Every notebook runs from top to bottom in an empty folder, and is stored without outputs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))
SECONDS = 240  # on a busy machine; a quiet one takes a quarter of a minute


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all, so that a run that several notebooks look at is trained once."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook, folder):
    copy = folder / notebook.name
    copy.write_bytes(notebook.read_bytes())
    options = ["--nbmake", f"--nbmake-timeout={SECONDS}", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", *options, copy.name],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]


def strip(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = folder / "scripts/strip_notebooks.py"
    command = [sys.executable, str(script), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_they_are_stored_without_outputs():
    done = strip(FOLDER.parent, "--check")
    assert done.returncode == 0, f"run scripts/strip_notebooks.py, for:\n{done.stdout}"


def test_what_is_stripped(tmp_path):
    for name in ("scripts/strip_notebooks.py", f"notebooks/{NOTEBOOKS[0].name}"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((FOLDER.parent / name).read_bytes())
    file = tmp_path / "notebooks" / NOTEBOOKS[0].name
    clean = file.read_text(encoding="utf-8")
    used = json.loads(clean)
    cell = next(cell for cell in used["cells"] if cell["cell_type"] == "code")
    cell.update(execution_count=3, outputs=[{"output_type": "stream", "name": "x", "text": "y"}])
    used["metadata"]["language_info"]["version"] = "3.12.1"
    used["cells"][0]["metadata"]["scrolled"] = True
    file.write_text(json.dumps(used), encoding="utf-8")
    assert strip(tmp_path, "--check").returncode == 1
    assert strip(tmp_path).returncode == 0
    assert file.read_text(encoding="utf-8") == clean
    assert strip(tmp_path, "--check").returncode == 0
