"""The Python how-to, followed from top to bottom in an empty folder."""

import re
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
README = HOW_TO.parents[1] / "README.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(HOW_TO / "python.md"):
        exec(compile(block, "python.md", "exec"), names)
    assert "SASRec has no option 'num_layer'; did you mean" in capsys.readouterr().out
    assert len(names["lists"]) == 10 * names["run"].dataset.prepared.num_users
    assert names["titles"]["title"].null_count() == 0
    assert names["scores"].shape == (1, len(names["data"].items))
    assert names["table"]["model"].to_list() == ["Popularity", "SASRec"]
    assert set(names["comparison"].scores["system"]) == {"Popularity", "SASRec"}


def test_the_block_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [block] = blocks(README)
    names = {"TINY": ["recipe.max_epochs=1", "model.hidden_dim=8"]}
    code = block.replace('"tracking=none"', '"tracking=none", *TINY')
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["run"].recommend([[10001, 10005]], k=5)) == 5


@pytest.mark.parametrize("file", sorted((HOW_TO.parents[1] / "notebooks").glob("*.ipynb")))
def test_every_notebook_is_listed(file):
    assert f"`notebooks/{file.name}`" in (HOW_TO / "python.md").read_text()
