"""Codes on disk: found again by what they are made from, refused where they do not belong."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from recsys_lab.config import UserError, config_dir
from recsys_lab.experiment.prepare import prepare_from
from recsys_lab.experiment.restore import restore
from recsys_lab.experiment.semantic_ids import semantic_ids_of, tokenize
from recsys_lab.semantic_ids.artefact import found_or_made, read_ids, write_ids
from recsys_lab.semantic_ids.churn import note_churn
from tests.cli.flow import ITEMS, in_shop, train
from tests.cli.own.test_tokenize import LOG, write_vectors

SMALLEST = {"codes": 4, "levels": 2}
FILE = {**SMALLEST, "vectors": "vectors.parquet"}
OWN = """
from dataclasses import dataclass

import numpy as np

from recsys_lab.semantic_ids.base import Codes, Quantiser


class ByLength(Quantiser):
    @dataclass(frozen=True)
    class Config(Quantiser.Config):
        longest: int

    def quantise(self, items):
        lengths = np.array([len(item) for item in items.data.item_ids()])
        return Codes(lengths[:, None], (self.config.longest + 1,))
"""


@pytest.fixture(scope="module")
def composed():
    """The configs by the name of their quantiser; only the first of a name is composed."""
    known = {}

    def config(name):
        if name not in known:
            with initialize_config_dir(str(config_dir()), version_base=None):
                known[name] = compose("tokenize", [*LOG, f"semantic_ids={name}", "run_dir=unused"])
        return known[name].copy()

    return config


@pytest.fixture
def made(composed, tmp_path, monkeypatch):
    """Makes codes in a shop with a file of vectors."""
    with in_shop(tmp_path, monkeypatch):
        write_vectors()

        def tokenized(name="residual_kmeans", data=None, restore=restore, **options):
            cfg = composed(name)
            OmegaConf.update(cfg, "semantic_ids", options)
            return tokenize(cfg, data or dataset(cfg), restore)

        def dataset(cfg=None):
            return prepare_from(cfg or composed("random"))

        tokenized.dataset = dataset
        yield tokenized


def test_what_is_in_the_folder(made):
    artefact = made(**FILE)
    names = {"codes.parquet", "vectors.npy", "manifest.json", "card.html"}
    assert {file.name for file in artefact.folder.iterdir()} == names
    assert artefact.folder.parent == Path("prepared/semantic_ids")
    table = pl.read_parquet(artefact.folder / "codes.parquet")
    assert table.columns == ["item_id", "code_0", "code_1", "code_2", "has_training_events"]
    assert len(table.select(table.columns[1:4]).unique()) == ITEMS
    page = (artefact.folder / "card.html").read_text()
    assert "Semantic IDs" in page
    assert "<svg" in page
    vectors = np.load(artefact.folder / "vectors.npy")
    by_id = dict(pl.read_parquet("vectors.parquet").iter_rows())
    expected = [by_id[item] for item in table["item_id"]]
    np.testing.assert_array_equal(vectors, np.array(expected, dtype=np.float32))


def test_equal_origins_are_one_artefact(made, caplog):
    first = made(**FILE)
    shutil.copy("vectors.parquet", "copy.parquet")
    assert made(**{**FILE, "vectors": "copy.parquet"}).folder == first.folder
    others = [made(**FILE, seed=1), made(**FILE, standardise=True), made("random")]
    data = made.dataset()
    others.append(made(data=data.with_validation(), **FILE))
    pl.read_parquet("copy.parquet").with_columns(
        pl.col("embedding").list.eval(pl.element() * 2)
    ).write_parquet("copy.parquet")
    others.append(made(**{**FILE, "vectors": "copy.parquet"}))
    assert len({first.folder, *(other.folder for other in others)}) == 6
    for name in ("codes.parquet", "manifest.json"):
        file = first.folder / name
        content = file.read_bytes()
        file.write_bytes(content[:-20] + bytes(20))
        caplog.clear()
        again = made(**FILE)
        assert "Making the semantic IDs again" in caplog.text
        assert again.manifest["fingerprint"] == first.manifest["fingerprint"]
    assert pl.read_parquet(first.folder / "codes.parquet").height == ITEMS


def test_one_process_makes_them_and_the_others_wait(made, tmp_path):
    data, calls = made.dataset(), []
    ids = made("random").ids(data, vectors=False)

    def make(folder):
        calls.append(folder)
        write_ids(folder, ids, data)
        return dict(made("random").manifest)

    def one(_):
        return found_or_made(tmp_path / "root", "x", {"of": 1}, make).folder

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(4)))) == 1
    assert len(calls) == 1


def test_random_draws_elsewhere_are_not_moved(made):
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    made("rq_vae", **FILE, epochs=1, hidden_dims=[], latent_dim=3)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.usefixtures("made")
def test_a_model_that_does_not_read_vectors_gets_none(composed):
    cfg = composed("residual_kmeans")
    OmegaConf.update(cfg, "semantic_ids", FILE)
    data = prepare_from(cfg)
    assert semantic_ids_of(cfg, data, restore).vectors_VE is None
    with_vectors = semantic_ids_of(cfg, data, restore, vectors=True)
    assert with_vectors.vectors_VE.shape == (ITEMS, 5)
    meta_free = semantic_ids_of(cfg, data, restore).codes_VL
    assert meta_free.device.type == "cpu"


def test_codes_of_another_catalogue(made, tmp_path):
    data, artefact = made.dataset(), made("random")
    table = pq.read_table(artefact.folder / "codes.parquet")
    pq.write_table(table.slice(1), "fewer.parquet")
    pattern = "of another catalogue: it has 24 items, .* 25, and 1 of these have no codes, such as"
    with pytest.raises(UserError, match=pattern):
        read_ids(tmp_path / "fewer.parquet", None, data, "")
    with pytest.raises(UserError, match=r"vectors\.parquet: cannot be read .* of another version"):
        read_ids(tmp_path / "vectors.parquet", None, data, "")


def test_vectors_of_a_run(made):
    assert train("run_dir=ids") == 0
    artefact = made(**SMALLEST, vectors="ids")
    assert np.load(artefact.folder / "vectors.npy").shape == (ITEMS, 8)
    both = made(**SMALLEST, vectors=["vectors.parquet", "ids"])
    assert np.load(both.folder / "vectors.npy").shape == (ITEMS, 13)
    few = {"epochs": 1, "hidden_dims": [], "latent_dim": 3}
    aligned, alone = (made("rq_vae", **FILE, **few, align_with=run) for run in ("ids", None))
    assert aligned.folder != alone.folder
    values = json.loads(Path("ids/run.json").read_text())

    def refused(change, **options):
        Path("ids/run.json").write_text(json.dumps({**values, **change, "digest": None}))
        with pytest.raises(UserError) as error:
            made(**{**SMALLEST, "vectors": "ids", **options})
        return str(error.value)

    other = refused({"data": {**values["data"], "fingerprint": "abc"}})
    assert "semantic_ids.vectors=ids: the run is of other data: its fingerprint is abc" in other
    assert "was refit on the events of validation" in refused({"refit": {"phases": []}})
    assert "finish it first" in refused({"status": "failed"})
    assert "not a run (run.json is missing)" in refused({}, vectors="prepared")
    assert "names 'ids' twice" in refused({}, vectors=["ids", "ids"])
    fitted = SimpleNamespace(model=None, model_name="Popularity")
    said = refused({}, seed=9, restore=lambda *_: fitted)
    assert "Popularity has no item vectors" in said


def test_more_items_with_equal_codes_than_there_is_room_for(made):
    with pytest.raises(UserError, match=r"semantic_ids\.deduplicate: got 2, but .* items share"):
        made("random", levels=1, codes=2, deduplicate=2)
    assert made("one_code").manifest["num_codes"] == [ITEMS]


def test_a_quantiser_of_ones_own(made, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_codes")
    monkeypatch.syspath_prepend(Path.cwd())
    own = {"_target_": "my_codes.ByLength", "longest": 3, "deduplicate": 64}
    found = []
    for code in (OWN, OWN.replace("len(item)", "len(item) - 1")):
        Path("my_codes.py").write_text(code)
        monkeypatch.delitem(sys.modules, "my_codes", raising=False)
        cfg = OmegaConf.create({"semantic_ids": own, "prepared_dir": "prepared", "verify": "full"})
        found.append(tokenize(cfg, made.dataset(), restore))
        table = pl.read_parquet(found[-1].folder / "codes.parquet")
        apart = table["item_id"].str.len_chars() - table["code_0"]
        assert apart.unique().to_list() == [len(found) - 1]
    assert found[0].folder != found[1].folder  # of other code
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "")
    with pytest.raises(UserError, match="not under an allowed prefix"):
        tokenize(cfg, made.dataset(), restore)


def test_changes_since_earlier_codes(made):
    first, second = made(**FILE), made(**FILE, seed=1)
    noted = note_churn(second, first.folder).manifest["churn"]
    [churn] = noted.values()
    assert list(noted) == [first.manifest["fingerprint"]]
    assert (churn["items"], churn["new"], churn["gone"]) == (ITEMS, 0, 0)
    assert len(churn["levels"]) == 3
    assert churn["levels"][2]["adjusted_rand"] == 1  # all items are apart in both
    assert "adjusted Rand index" in (second.folder / "card.html").read_text()
    assert made(**FILE, seed=1).manifest["churn"] == noted
    itself = note_churn(first, first.folder).manifest["churn"]
    assert {level["equal"] for level in next(iter(itself.values()))["levels"]} == {1.0}
    table = pq.read_table(first.folder / "codes.parquet")
    ids = [f"other{n}" for n in range(ITEMS)]
    others = table.set_column(0, "item_id", [pl.Series(ids).to_arrow()])
    pq.write_table(others, "others.parquet")
    with pytest.raises(UserError, match="none of its 25 items is in this catalogue, such as 'oth"):
        note_churn(first, Path("others.parquet"))
    with pytest.raises(UserError, match=r"no semantic IDs there \(codes\.parquet is missing\)"):
        note_churn(first, Path())
