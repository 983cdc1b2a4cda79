"""Every trained model learns with every loss; the page that says so is complete."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "experiments" / "models_by_losses" / "README.md"


def script():
    path = ROOT / "scripts" / "models_by_losses.py"
    spec = importlib.util.spec_from_file_location("models_by_losses", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script()
PAIRS = [(name, loss) for name in SCRIPT.models() for loss in SCRIPT.losses()]


def printed() -> list[list[str]]:
    """Cells of the page's table."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_the_loss_falls_as_the_page_says(name, loss):
    before, after = SCRIPT.before_and_after(SCRIPT.models()[name], loss)
    assert after < 0.95 * before
    names, *rows = printed()
    (row,) = [row for row in rows if row[0] == name]
    told = [float(number) for number in row[names.index(loss)].split(" → ")]
    # Other processors round otherwise, which 30 steps make visible.
    assert [before, after] == pytest.approx(told, abs=0.05), "write the page anew: see its head"


def test_the_page_has_every_model_and_loss():
    rows = printed()
    assert rows[0][1:] == SCRIPT.losses()
    assert [row[0] for row in rows[2:]] == list(SCRIPT.models())
