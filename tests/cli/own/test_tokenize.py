"""``recsys-lab tokenize``, and the codes of runs: made once, kept, of both parts after a refit."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scripts.journeys.how_to import follow

from recsys_lab.cli.main import run_command
from tests.cli.flow import ITEMS, in_shop, record

LOG = ["data=table", "data.path=log.csv"]
FILE = [
    "semantic_ids=residual_kmeans", "semantic_ids.codes=4", "semantic_ids.levels=2",
    "semantic_ids.vectors=vectors.parquet",
]  # fmt: skip
ROOT = Path("prepared/semantic_ids")


@pytest.fixture
def generate(tmp_path, monkeypatch):
    """Trains a generative model of one's own in a shop with a file of vectors."""
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_models")
    with in_shop(tmp_path, monkeypatch):
        [command] = follow("add-a-generative-model")
        command.remove("semantic_ids.codes=8")
        write_vectors()
        few = [*LOG, "tracking=none", "recipe.max_epochs=1", "seed=1", *FILE]
        yield lambda *overrides: run_command([*command, *few, *overrides])
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_models"]:
        del sys.modules[name]


def write_vectors():
    """Of the items of the log."""
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 5))
    table = {"item_id": [f"i{n}" for n in range(ITEMS)], "embedding": vectors.tolist()}
    pl.DataFrame(table).write_parquet("vectors.parquet")


def folders():
    return [path for path in ROOT.iterdir() if path.is_dir()]


def test_codes_are_made_once_and_kept_by_the_run(generate, capsys):
    assert run_command(["tokenize", *LOG, *FILE]) == 0
    [folder] = folders()
    out = capsys.readouterr().out
    assert f"semantic IDs: {folder}" in out
    assert "nearest to their mean" in " ".join(out.split())
    manifest = json.loads((folder / "manifest.json").read_text())
    made = (folder / "codes.parquet").stat().st_ino
    assert generate("run_dir=own") == 0
    assert folders() == [folder]
    assert (folder / "codes.parquet").stat().st_ino == made
    values = record("own")
    assert values["identity"]["semantic_ids"] == manifest["fingerprint"][:8]
    assert values["semantic_ids"]["num_codes"] == manifest["num_codes"]
    assert values["semantic_ids"]["items_sharing_codes"] == 0
    shutil.rmtree(ROOT)
    Path("vectors.parquet").unlink()
    assert run_command(["evaluate", "own"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    assert run_command(["show", "own", "--card"]) == 0
    assert "live codes by level" in Path("own/card.md").read_text()
    kept = Path("own/semantic_ids.parquet")
    content = kept.read_bytes()
    for damaged in (content[:-9] + bytes(9), None):
        kept.unlink() if damaged is None else kept.write_bytes(damaged)
        capsys.readouterr()
        assert run_command(["evaluate", "own"]) == 2
        message = "semantic_ids.parquet is missing" if damaged is None else "is damaged"
        assert message in capsys.readouterr().err


def test_a_refit_has_codes_of_both_parts(generate, capsys):
    assert generate("run_dir=own", "recipe.refit=true") == 0
    chosen, both = sorted(folders(), key=lambda folder: folder.stat().st_mtime)
    parts = [json.loads((f / "manifest.json").read_text())["origin"] for f in (chosen, both)]
    assert parts[0]["training_part"] != parts[1]["training_part"]
    kept = pl.read_parquet("own/semantic_ids.parquet")
    assert kept.equals(pl.read_parquet(both / "codes.parquet"))
    shutil.rmtree(ROOT)
    capsys.readouterr()
    assert run_command(["evaluate", "own"]) == 0
    assert "equal to the run record" in capsys.readouterr().out


def test_options_are_checked_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wrong = ["+semantic_ids.level=3", "semantic_ids.seed=-1", "semantic_ids.deduplicate=1"]
    assert run_command(["tokenize", *wrong]) == 2
    message = capsys.readouterr().err
    assert "semantic_ids.level: ResidualKMeans has no option 'level'; did you mean 'le" in message
    assert "semantic_ids.seed: expected an int >= 0, got -1" in message
    assert "semantic_ids.deduplicate: expected an int >= 2 or null, got 1" in message
    assert list(tmp_path.iterdir()) == []
