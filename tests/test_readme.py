"""How to add a model and a dataset, followed to the letter in an empty folder."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.contracts import Traits, check_model

REPOSITORY = Path(__file__).parents[1]
TINY = ["data.num_users=200", "data.num_items=60", "tracking=none"]


def block_after(text: str, phrase: str, language: str) -> str:
    text = text[text.index(phrase) :]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, phrase
    return found[1]


def write(text: str, folder: Path, name: str, language: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block_after(text, f"`{name}`", language))


def follow(
    text: str, folder: Path, phrase: str, extra: list[str]
) -> subprocess.CompletedProcess[str]:
    lines = block_after(text, phrase, "bash")
    (command,) = [line for line in lines.splitlines() if line.startswith("recsys-lab")]
    words = command.split()[1:]
    return subprocess.run(
        [sys.executable, "-m", "recsys_lab", *words, "run_dir=run", *extra],
        cwd=folder, env={"RECSYS_LAB_ALLOWED_TARGETS": "my_models"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("page", "names", "extra"),
    [
        (
            "docs/how-to/add-a-model.md",
            ("my_models/mean_pool.py", "conf/model/mean_pool.yaml"),
            TINY,
        ),
        ("README.md", ("my_models/visits.py", "conf/data/visits.yaml"), TINY[2:]),
    ],
)
def test_how_to_add(tmp_path, page, names, extra):
    text = (REPOSITORY / page).read_text()
    for name in names:
        write(text, tmp_path, name, "python" if name.endswith(".py") else "yaml")
    done = follow(text, tmp_path, names[1], extra)
    assert done.returncode == 0, done.stderr
    assert "ndcg@10" in done.stdout
    assert (tmp_path / "run" / "test_users.parquet").exists()


def test_a_model_is_told_what_it_lacks_and_may_state():
    """The page names what the code reads, no more and no less."""
    text = (REPOSITORY / "docs/how-to/add-a-model.md").read_text()
    page, _, rest = text.partition("## What a model may state")
    must = re.findall(r"^\|[^|]*\| `(\w+)", page, re.MULTILINE)
    may = re.findall(r"^\| `(\w+)", rest.partition("And it may")[0], re.MULTILINE)
    with pytest.raises(UserError) as caught:
        check_model(object())
    needed = re.findall(r"^(?:  ->|    ) +(\w+)", str(caught.value), re.MULTILINE)
    assert must == needed
    assert {"window", *may} == {field.name for field in fields(Traits)}
