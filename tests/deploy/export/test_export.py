"""An exported folder recommends as the run, is read without the lab, and is refused if damaged."""

import json
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import recsys_lab
from recsys_lab.cli.main import run_command
from recsys_lab.deploy.export import export as module
from recsys_lab.deploy.export.exported import ExportedModel
from recsys_lab.deploy.export.pretrained import load_pretrained
from recsys_lab.deploy.serve.export_model import ExportModel
from recsys_lab.deploy.serve.queries import Query
from recsys_lab.deploy.serve.run_model import RunModel
from recsys_lab.files.digests import sha256_of
from tests.cli.flow import ITEMS, USERS

WINDOW = 6


def same(one, two):
    """The same lists, and scores up to rounding."""
    assert one.drop("score").equals(two.drop("score"))
    assert one.schema == two.schema
    np.testing.assert_allclose(one["score"], two["score"], rtol=1e-5, atol=1e-6)


def fuzzed():
    rng = np.random.default_rng(7)
    lengths = [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 20, *rng.integers(1, 15, 20)]
    rows = [[f"i{item}" for item in rng.integers(0, ITEMS, length)] for length in lengths]
    return [*rows, ["i1"] * 9, [], ["nothing"], ["i3", "nothing", None, "i4"]]


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [1, 10, ITEMS])
def test_the_lists_are_the_labs(lab, exported, k, exclude_seen):
    histories = fuzzed()
    wanted = lab.recommend(histories, k, exclude_seen=exclude_seen)
    lists = exported.ranked(histories, k, exclude_seen=exclude_seen)
    same(lists.lists, wanted.lists)
    assert (lists.num_unknown, lists.num_unranked) == (wanted.num_unknown, wanted.num_unranked)
    assert lists.num_unranked == 2


def test_frames_of_events_in_any_order(shop, lab, exported):
    events = recsys_lab.load(shop / "run").dataset.histories("test")
    mixed = events.sample(fraction=1.0, shuffle=True, seed=3)
    same(exported.recommend(mixed), lab.recommend(mixed).lists)
    stranger = mixed.with_columns(user_id=pl.lit("stranger") + pl.col("user_id"))
    same(exported.recommend(stranger), lab.recommend(stranger).lists)
    assert exported.recommend([]).columns == ["history", "rank", "item_id", "score"]


@pytest.mark.parametrize(
    "rules",
    [
        {"candidates": ["i3", "i9", "i4", "nothing"]},
        {"blocklist": [f"i{item}" for item in range(ITEMS - 5)]},
        {"candidates": pl.Series(["i3", "i9"]), "blocklist": ["i9"], "exclude_seen": False},
    ],
)
def test_candidates_and_blocklists_are_those_of_the_run(shop, exported, rules):
    histories = [["i3", "i1"], ["i7", "nothing"], ["nothing"]]
    warned = []
    for recommends in (exported.recommend, recsys_lab.load(shop / "run").recommend):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warned.append((recommends(histories, 6, **rules), len(caught)))
    (lists, num_warnings), (wanted, wanted_num_warnings) = warned
    same(lists, wanted)
    assert num_warnings == wanted_num_warnings >= 2


def test_seen_items_are_left_out_as_in_the_evaluation(lab, exported, monkeypatch):
    history = [["i3", "i1", "i2"]]
    assert exported.manifest["exclude_seen"] is True
    monkeypatch.setitem(exported.manifest, "exclude_seen", False)
    protocol = lab._parts.protocol
    monkeypatch.setattr(protocol, "config", replace(protocol.config, exclude_seen=False))
    every = lab.recommend(history, ITEMS).lists
    assert len(every) == ITEMS
    same(exported.recommend(history, ITEMS), every)
    served = [model.answer(query(history, None)) for model in (RunModel(lab._parts),
              ExportModel(exported))]  # fmt: skip
    for [answer] in served:
        assert answer.items == every["item_id"].to_list()
    assert len(lab.recommend(history, ITEMS, exclude_seen=True).lists) == ITEMS - 3


def query(histories, exclude_seen):
    return Query("histories", histories, ITEMS, exclude_seen)


def test_candidates_that_no_catalogue_has_are_refused(exported):
    with pytest.raises(recsys_lab.UserError, match="candidates: none of the 2 ids is in the cat"):
        exported.recommend([["i1"]], candidates=["x", "y"])
    with pytest.raises(recsys_lab.UserError, match="blocklist: got the text 'i1'"):
        exported.recommend([["i1"]], blocklist="i1")


def test_wrong_lengths_of_lists_and_histories(exported):
    for k in (0, True, "3", None):
        with pytest.raises(recsys_lab.UserError, match="expected a list length, an int of at"):
            exported.recommend([["i1"]], k)
    with pytest.raises(recsys_lab.UserError, match=r"histories\[0\]: got 'i1'; each history"):
        exported.recommend(["i1"])
    assert exported.k == ITEMS  # 100 were asked for
    assert len(exported.recommend([["i1"]], 10**6)) == ITEMS - 1


def test_a_shorter_export_refuses_longer_lists(exported, monkeypatch):
    monkeypatch.setattr(exported, "k", 5)
    with pytest.raises(recsys_lab.UserError, match="k: got 6, but the export has lists of 5 items"):
        exported.recommend([["i1"]], 6)


def test_the_snippet_of_the_readme_needs_nothing_else(shop, lab, monkeypatch, capsys):
    text = (shop / "export" / "README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) == 10
    monkeypatch.chdir(shop / "export")
    exec(code, {})
    history = recsys_lab.load(shop / "run").items["item_id"][:2].to_list()
    wanted = lab.recommend([history], 10).lists["item_id"].to_list()
    assert capsys.readouterr().out == f"{wanted}\n"


def test_it_is_read_without_torch():
    code = "import sys, recsys_lab.deploy.export.exported; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


def test_the_manifest_says_what_was_exported(shop):
    folder = shop / "export"
    manifest = json.loads((folder / "manifest.json").read_text())
    run = recsys_lab.load(shop / "run")
    assert manifest["run"]["name"] == "SASRec"
    assert manifest["run"]["digest"] == run.record["digest"]
    assert manifest["data_fingerprint"] == run.record["data"]["fingerprint"]
    weights = shop / "run" / "checkpoints/best.safetensors"
    assert manifest["weights_sha256"] == sha256_of(weights)
    check = manifest["check"]
    assert (check["users"], check["k"], check["different"]) == (USERS, ITEMS, 0)
    assert check["identical"] + check["near_ties"] == USERS
    assert set(manifest["int8"]) == {"identical", "overlap@10", f"overlap@{ITEMS}"}
    assert manifest["int8"]["overlap@10"] > 0.7
    assert manifest["versions"].keys() >= {"onnxruntime", "torch", "recsys-lab"}
    files = {path.name for path in folder.iterdir()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    assert not [path for path in shop.iterdir() if path.name.startswith(".export")]


def test_the_item_table_keeps_ids_and_columns(shop):
    items = pl.read_parquet(shop / "export" / "items.parquet")
    run = recsys_lab.load(shop / "run")
    assert items.drop("index").equals(run.items)
    assert items["index"].to_list() == list(range(ITEMS))
    ids = json.loads((shop / "export" / "item_ids.json").read_text())
    assert ids == run.items["item_id"].to_list()


def test_the_weights_are_the_runs_bit_for_bit(shop):
    model = load_pretrained(shop / "export")
    run = recsys_lab.load(shop / "run").model
    assert not model.training
    wanted = run.state_dict()
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())
    config = json.loads((shop / "export" / "config.json").read_text())
    assert config["architectures"] == ["SASRec"]
    assert config["hidden_dim"] == 8


def test_the_program_ranks_without_the_lab(shop, lab):
    program = torch.export.load(shop / "export" / "model.pt2").module()
    for rows in ([[1, 2, 3]], [[4, -1], [5, 6]]):
        items = torch.tensor(rows)
        lists, _ = program(items, items, torch.full((len(rows),), USERS))
        ids = recsys_lab.load(shop / "run").items["item_id"].to_list()
        histories = [[ids[item] for item in row if item >= 0] for row in rows]
        wanted = lab.recommend(histories, 5).lists["item_id"].to_list()
        assert [ids[item] for item in lists[:, :5].flatten().tolist()] == wanted


def test_int8_lists_are_valid(shop):
    lists = ExportedModel(shop / "export", int8=True).recommend([["i1", "i2"]], ITEMS)
    assert len(lists) == ITEMS - 2
    assert not set(lists["item_id"]) & {"i1", "i2"}


class TestRefused:
    def test_a_used_output(self, shop, monkeypatch, capsys):
        monkeypatch.chdir(shop)
        before = sha256_of(shop / "export" / "manifest.json")
        for output in ("export", "log.csv"):
            assert run_command(["export", "run", f"output={output}"]) == 2
            assert f"output: {output} exists already; an export is never" in capsys.readouterr().err
        assert sha256_of(shop / "export" / "manifest.json") == before

    def test_no_output(self, shop, monkeypatch, capsys):
        monkeypatch.chdir(shop)
        assert run_command(["export", "run"]) == 2
        assert "output" in capsys.readouterr().err

    def test_a_model_that_is_fitted(self, shop, monkeypatch, capsys):
        monkeypatch.chdir(shop)
        assert run_command(["export", "counts", "output=new"]) == 2
        message = capsys.readouterr().err
        assert "Popularity cannot be exported: it is fitted in one pass" in message
        assert "recsys-lab recommend" in message
        assert not (shop / "new").exists()

    def test_other_lists_than_the_labs_leave_nothing(self, shop, monkeypatch, capsys):
        def write(graph, path):
            del graph
            path.write_bytes((shop / "export" / "model.onnx").read_bytes())

        def others(self, histories, k):
            lists = self.ranked(histories, k).lists
            return lists.with_columns(item_id=pl.col("item_id").reverse().over("user_id"))

        monkeypatch.chdir(shop)
        monkeypatch.setattr(module, "traced", lambda *_, **__: None)
        monkeypatch.setattr(module, "write_onnx", write)
        monkeypatch.setattr(ExportedModel, "recommend", others)
        before = sorted(shop.iterdir())
        assert run_command(["export", "run", "output=new", "check_users=9"]) == 2
        assert "differ from the lab's for 9 of 9 users (top 25" in capsys.readouterr().err
        assert sorted(shop.iterdir()) == before

    def test_a_damaged_or_foreign_folder(self, shop, tmp_path):
        for name in ("manifest.json", "model.onnx", "items.parquet"):
            (tmp_path / name).write_bytes((shop / "export" / name).read_bytes())
        with pytest.raises(recsys_lab.UserError, match=r"README\.md is missing or is not"):
            ExportedModel(tmp_path)
        with pytest.raises(recsys_lab.UserError, match=r"not an export \(manifest\.json or mod"):
            ExportedModel(shop / "run")
        values = json.loads((tmp_path / "manifest.json").read_text())
        (tmp_path / "manifest.json").write_text(json.dumps({**values, "schema": 2}))
        with pytest.raises(recsys_lab.UserError, match="schema 2; this version of recsys_lab re"):
            ExportedModel(tmp_path)
        (tmp_path / "manifest.json").write_text("{")
        with pytest.raises(recsys_lab.UserError, match="cannot be read"):
            ExportedModel(tmp_path)
