"""What a training tells: a line per epoch, wherever its output goes."""

import io
import logging
import re
import shlex
import subprocess
import sys

import pytest
from rich.console import Console

from recsys_lab.config import Interrupted
from recsys_lab.pages.terminal import PROGRESS, progress_on
from tests.training.test_resume import EPOCHS, last_state, train

LINE = re.compile(
    r"epoch (\d) of 4: loss (\d\.\d{4}), (?:val/ndcg@10 (\d\.\d{4}), )?"
    r"[\d.]+ s, (?:at most )?\d+ s left"
)


@pytest.fixture
def told():
    """The lines that a console without a terminal got."""
    PROGRESS.setLevel(logging.INFO)
    file = io.StringIO()
    with progress_on(Console(file=file, width=40)):
        yield lambda: file.getvalue().splitlines()
    PROGRESS.setLevel(logging.NOTSET)


def test_each_epoch_has_a_line_with_its_numbers(tmp_path, monkeypatch, told):
    keeper, _ = train(tmp_path, monkeypatch, None, validate_every_epochs=3)
    lines = [LINE.fullmatch(line) for line in told()]
    assert len(keeper.history) == EPOCHS
    assert [line and line.groups() for line in lines] == [
        (
            str(row["epoch"] + 1),
            f"{row['train/loss']:.4f}",
            f"{row['val/ndcg@10']:.4f}" if "val/ndcg@10" in row else None,
        )
        for row in keeper.history
    ]
    assert told()[-1].endswith(", 0 s left")


def test_a_resumed_training_counts_on(tmp_path, monkeypatch, told):
    """Stopped within the third epoch, of five steps each."""
    with pytest.raises(Interrupted):
        train(tmp_path, monkeypatch, 12)
    assert last_state(tmp_path)["global_step"] == 12
    train(tmp_path, monkeypatch, None)
    assert [LINE.fullmatch(line)[1] for line in told()] == ["1", "2", "3", "4"]


def test_a_terminal_has_a_bar_below_the_lines(tmp_path, monkeypatch):
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, legacy_windows=False)
    PROGRESS.setLevel(logging.INFO)
    with progress_on(console):
        train(tmp_path, monkeypatch, None, console=console, accumulate_grad_batches=2)
    PROGRESS.setLevel(logging.NOTSET)
    shown = re.sub(r"\x1b\[[\d;?]*\w", "", file.getvalue())
    assert len(re.findall(r"[\r\n]epoch \d of 4: loss", shown)) == EPOCHS
    assert "epoch 4 of 4 ━" in shown
    assert "12/12" in shown  # of optimizer steps: three of two batches, or one, per epoch


def test_a_reader_that_has_gone_does_not_end_the_work(tmp_path):
    """As in ``recsys-lab train | head -1``; in a process, as Rich replaces its stdout."""
    code = (
        "import logging\n"
        "from recsys_lab.pages.terminal import PROGRESS, Terminal, progress_on\n"
        "PROGRESS.setLevel(logging.INFO)\n"
        "with progress_on(Terminal()):\n"
        "    for number in range(20000): PROGRESS.info('epoch %d', number)\n"
        f"open({str(tmp_path / 'end')!r}, 'w').close()\n"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("epoch 0\n", "")
    assert (tmp_path / "end").exists()


def test_the_innermost_console_gets_the_lines():
    outer, inner = io.StringIO(), io.StringIO()
    PROGRESS.setLevel(logging.INFO)
    with progress_on(Console(file=outer)):
        with progress_on(Console(file=inner)):
            PROGRESS.info("of a window")
        PROGRESS.info("[bold]%s", "\x1b[31mof all")
    PROGRESS.setLevel(logging.NOTSET)
    assert inner.getvalue() == "of a window\n"
    assert outer.getvalue() == "[bold]?[31mof all\n"
    assert not PROGRESS.handlers
