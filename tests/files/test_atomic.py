"""Files are whole or absent, with the mode of the umask; leftovers of killed processes go."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recsys_lab.files.atomic import (
    remove_dead_temporaries,
    remove_temporaries,
    replace_atomically,
    write_text,
)


@pytest.fixture(params=[0o022, 0o007, 0o027])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_follow_the_umask_whatever_writes_them(tmp_path, umask):
    weights = {"w": torch.zeros(3)}
    replace_atomically(tmp_path / "best.safetensors", lambda path: save_file(weights, path))
    replace_atomically(tmp_path / "last.ckpt", lambda path: torch.save(weights, path))
    write_text(tmp_path / "run.json", "{}")
    assert {mode(path) for path in tmp_path.iterdir()} == {0o666 & ~umask}


@pytest.mark.usefixtures("umask")
def test_private_files_are_the_owners_alone(tmp_path):
    seen = []
    replace_atomically(tmp_path / "plan.json", lambda path: seen.append(mode(path)), private=True)
    assert seen == [0o600]
    assert mode(tmp_path / "plan.json") == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a", "old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_atomically(tmp_path / "a", fail)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_without_a_lock_only_those_of_dead_processes_go(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    (tmp_path / f".report.html.{done.stdout.strip()}.tmp").touch()
    alive = tmp_path / f".report.html.{os.getpid()}.tmp"
    alive.touch()
    remove_dead_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [alive]


def test_leftovers_go_and_files_of_the_user_stay(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    older = (".run.json.123", "checkpoints/.last.ckpt.99", ".test_users.parquet")
    for name in (".run.json.123.tmp", "checkpoints/.last.ckpt.99.tmp", *older):
        (tmp_path / name).touch()
    kept = [".lock", ".notes.tmp", "x.123.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    found = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert found == sorted(kept)
