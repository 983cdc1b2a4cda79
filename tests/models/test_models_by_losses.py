"""Every trained model learns with every loss; the page that says so is complete."""

from pathlib import Path

import pytest
from experiments.models_by_losses.run import before_and_after, losses, models

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "experiments" / "models_by_losses" / "README.md"
PAIRS = [(name, loss) for name in models() for loss in losses()]


def printed() -> list[list[str]]:
    """Cells of the page's table."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_the_loss_falls_as_the_page_says(name, loss):
    before, after = before_and_after(models()[name], loss)
    assert after < 0.95 * before
    names, *rows = printed()
    (row,) = [row for row in rows if row[0] == name]
    told = [float(number) for number in row[names.index(loss)].split(" → ")]
    # Other processors round otherwise, which 30 steps make visible.
    assert [before, after] == pytest.approx(told, abs=0.05), "write the page anew: see its head"


def test_the_page_has_every_model_and_loss():
    rows = printed()
    assert rows[0][1:] == losses()
    assert [row[0] for row in rows[2:]] == list(models())
