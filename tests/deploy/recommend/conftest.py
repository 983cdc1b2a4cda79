"""A classical, a trained and a generative run on one small shop with titles and categories."""

import json
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

import recsys_lab
from recsys_lab.api import run
from recsys_lab.cli.main import run_command
from recsys_lab.deploy.recommend import plan
from recsys_lab.evaluation.protocols.base import RankingProtocol
from recsys_lab.experiment.restore import restore
from tests.cli.flow import ITEMS, in_shop, train

AT_ONCE = 16  # users of a batch, and so the smallest part
TABLE = [
    "data=table", "data.path=log.csv", "data.items_path=items.parquet",
    "+data.item_features={tags: list}",
]  # fmt: skip
RUNS = {
    "popularity": ["model=popularity"],
    "sasrec": [
        "model.hidden_dim=8", "model.feedforward_dim=8", "model.max_length=6",
        "recipe.max_epochs=1", "recipe.batch_size=16",
    ],
    "tiger": [
        "model=tiger", "model.hidden_dim=8", "model.head_dim=4", "model.num_layers=1",
        "model.num_decoder_layers=1", "model.feedforward_dim=8", "model.max_length=4",
        "semantic_ids=random", "semantic_ids.codes=8", "recipe.batch_size=128",
        "recipe.crop=sliding", "recipe.max_epochs=1", "decoding.num_beams=20",
    ],
}  # fmt: skip


def catalogue() -> pl.DataFrame:
    """Items with a category (one in seven without), lists of tags, prices and some titles."""
    numbers = range(ITEMS)
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in numbers],
            "title": [None if n < 20 else f'Thing "{n}", new' for n in numbers],
            "category": [None if n % 7 == 3 else ["shoes", "hats", "bags"][n % 3] for n in numbers],
            "tags": [["red"] * (n % 2 == 0) + ["big"] * (n % 5 == 0) for n in numbers],
            "price": [float(n) for n in numbers],
        }
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of the runs, each named as in `RUNS`."""
    folder = tmp_path_factory.mktemp("recommend")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        catalogue().write_parquet("items.parquet")
        for name, overrides in RUNS.items():
            assert train(*overrides, f"run_dir={name}", base=TABLE) == 0
    return folder


@pytest.fixture(scope="session")
def restored():
    """Restores a run, once in all tests: a model does not change when it ranks."""
    known = {}

    def restore_once(record, *arguments, **options):
        if record.folder not in known:
            known[record.folder] = restore(record, *arguments, **options)
        return known[record.folder]

    return restore_once


@pytest.fixture
def shop(trained, restored, tmp_path, monkeypatch):
    """An empty folder to work in, and small batches."""
    monkeypatch.setattr(RankingProtocol, "batch_size", lambda *_: AT_ONCE)
    monkeypatch.setattr(plan, "restore", restored)
    monkeypatch.setattr(run, "restore", restored)
    monkeypatch.chdir(tmp_path)
    return trained


@pytest.fixture
def recommend(shop, capsys):
    """Run the command on a run; returns exit code, rows, manifest, stdout and stderr."""

    def call(name: str, *options: str, output: str = "lists", suffix: str = "parquet"):
        code = run_command(["recommend", str(shop / name), f"output={output}", *options])
        out, err = capsys.readouterr()
        manifest = Path(output) / "manifest.json"
        values = json.loads(manifest.read_text()) if manifest.exists() else None
        rows = rows_of(output, suffix) if code == 0 else None
        return SimpleNamespace(code=code, rows=rows, manifest=values, out=out, err=err)

    return call


@pytest.fixture
def opened(shop):
    """Open a run."""
    return lambda name: recsys_lab.load(shop / name)


def rows_of(folder: str | Path, suffix: str = "parquet") -> pl.DataFrame:
    """The rows of all parts, in their order."""
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    files = sorted(Path(folder).glob(f"part-*.{suffix}"))
    return pl.concat([read(file) for file in files])
