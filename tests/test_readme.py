"""The README's two how-tos, followed to the letter in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
TINY = ["data.num_users=200", "data.num_items=60", "tracking=none"]


def block_after(phrase: str, language: str) -> str:
    text = README[README.index(phrase) :]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, phrase
    return found[1]


def write(folder: Path, name: str, language: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block_after(f"`{name}`", language))


def follow(folder: Path, phrase: str, extra: list[str]) -> subprocess.CompletedProcess[str]:
    lines = block_after(phrase, "bash")
    (command,) = [line for line in lines.splitlines() if line.startswith("recsys-lab")]
    words = command.split()[1:]
    return subprocess.run(
        [sys.executable, "-m", "recsys_lab", *words, "run_dir=run", *extra],
        cwd=folder, env={"RECSYS_LAB_ALLOWED_TARGETS": "my_models"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "phrase", "extra"),
    [
        (("my_models/mean_pool.py", "conf/model/mean_pool.yaml"), "YAML owns values", TINY),
        (("my_models/visits.py", "conf/data/visits.yaml"), "conf/data/visits.yaml", TINY[2:]),
    ],
)  # fmt: skip
def test_how_to_add(tmp_path, names, phrase, extra):
    for name in names:
        write(tmp_path, name, "python" if name.endswith(".py") else "yaml")
    done = follow(tmp_path, phrase, extra)
    assert done.returncode == 0, done.stderr
    assert "ndcg@10" in done.stdout
    assert (tmp_path / "run" / "test_users.parquet").exists()
