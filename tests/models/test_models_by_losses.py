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


@pytest.mark.parametrize(("name", "loss"), PAIRS)
def test_the_loss_falls(name, loss):
    before, after = SCRIPT.before_and_after(SCRIPT.models()[name], loss)
    assert after < 0.95 * before


def test_the_page_has_every_model_and_loss():
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line[:1] == "|"]
    assert [cell.strip() for cell in rows[0][1:]] == SCRIPT.losses()
    assert [row[0].strip() for row in rows[2:]] == list(SCRIPT.models())
