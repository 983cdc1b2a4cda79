from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import yaml

from recsys_lab.config import UserError
from recsys_lab.data.preparation.manifest import SCHEMA_VERSION, fingerprint
from tests.data.conftest import LOG, ROOT, Given, as_nobody


def test_arrays_equal_the_hand_made_ones(table, run):
    data = run(table(LOG))
    assert data.user_ids() == ["a", "b", "c"]
    assert data.item_ids() == ["w", "x", "y", "z"]
    assert data.offsets.tolist() == [0, 3, 7, 8]
    # The tie of b at 5 keeps the file's order: y before x, though x sorts first.
    assert data.items.tolist() == [1, 2, 3, 0, 2, 1, 3, 3]
    assert data.timestamps.tolist() == [1, 2, 3, 1, 5, 5, 9, 3]
    assert (data.num_users, data.num_items, data.num_interactions) == (3, 4, 8)
    assert (data.items.dtype, data.offsets.dtype) == (np.int32, np.int64)
    frame = pl.read_parquet(data.path / "interactions.parquet")
    assert frame.columns == ["user", "item", "timestamp"]
    assert frame["user"].to_list() == [0, 0, 0, 1, 1, 1, 1, 2]
    assert frame["item"].to_list() == data.items.tolist()


def test_leave_one_out_segments(table, run):
    data = run(table(LOG))
    assert data.segments("train").tolist() == [[0, 0, 1], [1, 3, 5], [2, 7, 8]]
    assert data.segments("validation").tolist() == [[0, 0, 1, 2], [1, 3, 5, 6]]
    # At test time the history holds the validation target.
    assert data.segments("test").tolist() == [[0, 0, 2, 3], [1, 3, 6, 7]]
    assert data.training_item_counts().tolist() == [1, 1, 1, 1]
    assert data.manifest["split"]["users_without_targets"] == 1
    assert data.truth() is None
    assert data.item_titles() is None
    with pytest.raises(ValueError, match="unknown phase 'dev'; allowed: train, validation, test"):
        data.segments("dev")


def test_manifest_says_everything(table, run):
    data = run(table(LOG))
    stored = json.loads((data.path / "manifest.json").read_text())
    assert stored == data.manifest
    assert stored["schema_version"] == SCHEMA_VERSION
    assert stored["source"]["reader"] == "Table"
    assert "path" not in stored["source"]["config"]
    assert stored["source"]["key"]["path"]["bytes"] == len(LOG)
    assert stored["tie_rule"] == "file order"
    options = yaml.safe_load((ROOT / "configs/filter/default.yaml").read_text())
    late = (
        "counts", "catalogue", "session_gap", "window", "where", "exclude_items", "sample_users",
    )  # fmt: skip
    for option in ("_target_", "max_bad_rows", *late):
        del options[option]  # it changes nothing, or has the value of before there was a choice
    assert stored["settings"]["filter"] == options
    assert data.protocol_fields() == {
        "data": stored["fingerprint"],
        "tie_rule": "file order",
        "filter": stored["settings"]["filter"],
        "split": stored["settings"]["split"],
    }
    assert stored["settings"]["split"]["name"] == "leave_one_out"
    assert set(stored["files"]) == {p.name for p in data.path.iterdir()} - {"manifest.json"}
    for name, noted in stored["files"].items():
        content = (data.path / name).read_bytes()
        assert noted == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_fingerprint_depends_on_content_and_rules_alone(table, run, tmp_path):
    first = run(table(LOG))
    copy = tmp_path / "elsewhere" / "other.tsv"
    copy.parent.mkdir()
    copy.write_text(LOG.replace(",", "\t"))
    second = run(table(copy), root=tmp_path / "second")
    assert second.fingerprint == first.fingerprint
    assert second.path.name != first.path.name
    assert run(table(LOG), drop_duplicates=False).fingerprint != first.fingerprint
    assert run(table(LOG.replace("b,w,1", "b,v,1"))).fingerprint != first.fingerprint
    assert run(table(LOG.replace("b,w,1", "b,w,2"))).fingerprint != first.fingerprint


def test_fingerprint_formula():
    value = fingerprint([np.arange(3, dtype=np.int32)], [pa.array(["a"])], {"split": 1})
    big_endian = fingerprint([np.arange(3, dtype=">i4")], [pa.array(["a"])], {"split": 1})
    assert value == big_endian
    assert value != fingerprint([np.arange(3, dtype=np.int64)], [pa.array(["a"])], {"split": 1})
    assert value != fingerprint([np.arange(3, dtype=np.int32)], [pa.array([1])], {"split": 1})


def test_same_source_is_reused(table, run, caplog):
    first = run(table(LOG))
    stamp = (first.path / "items.npy").stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        again = run(table(LOG))
    assert again.path == first.path
    assert (again.path / "items.npy").stat().st_mtime_ns == stamp
    assert f"Reusing the prepared dataset {first.path}" in caplog.text


def test_items_keep_titles_and_other_columns(run):
    data = run(
        Given(
            interactions=pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [5, 6, 7, 5]}),
            items=pl.DataFrame(
                {"item_id": [7, 5, 5, 99], "title": ["g", "e", "late", "?"], "item": [1, 2, 3, 4]}
            ),
            users=pl.DataFrame({"user_id": ["2"], "age": [30]}),
        )
    )
    table = pl.read_parquet(data.path / "items.parquet")
    assert table.columns == ["item", "item_id", "title", "item_raw"]
    assert table["item"].to_list() == [0, 1, 2]
    assert table["title"].to_list() == ["e", None, "g"]  # the first of two rows; 99 is not sold
    assert data.item_titles() == ["e", "6", "g"]
    assert pl.read_parquet(data.path / "users.parquet")["age"].to_list() == [None, 30]


def test_truth_is_copied(run, tmp_path):
    truth = tmp_path / "made.npz"
    np.savez(truth, weights=np.arange(3))
    frame = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [5, 6, 7, 5]})
    data = run(Given(interactions=frame, truth_path=truth))
    assert (data.path / "truth.npz").read_bytes() == truth.read_bytes()


def test_unusable_logs_have_clear_errors(table, run):
    head = "user_id,item_id,timestamp\n"
    with pytest.raises(UserError, match="only one user is left, with 3 events"):
        run(table(head + "u,a,1\nu,b,2\nu,c,3\n"))
    with pytest.raises(UserError, match=r"users with 3 events; the longest history has 2"):
        run(table(head + "u,a,1\nu,b,2\nv,c,3\n"))
    with pytest.raises(UserError, match=r"left of 8 rows.*fewer than 9.*: 8.*min_user_count"):
        run(table(LOG), min_user_count=9)
    with pytest.raises(UserError, match=r"left of 2 rows. Dropped: missing user: 2. Check the col"):
        run(table(head + ",a,1\n,b,2\n"))


def test_unwritable_root_is_named(table, run, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(
        UserError, match=r"prepared_dir=.*taken.*cannot create or write this folder"
    ):
        run(table(LOG), root=tmp_path / "taken" / "inside")


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_root_that_may_not_be_written_is_named(run, mode):
    with tempfile.TemporaryDirectory() as outer:  # tmp_path lies where only its owner may look
        Path(outer).chmod(0o755)
        root = Path(outer) / "prepared"
        root.mkdir(mode=mode)
        root.chmod(mode)
        reader = Given(interactions=pl.read_csv(LOG.encode()))
        with (
            as_nobody(),
            pytest.raises(UserError, match=r"prepared_dir=.*\(Permission denied\); .*chmod"),
        ):
            run(reader, root=root)
        root.chmod(0o755)
        assert not list(root.iterdir())


def test_preparing_does_not_import_torch():
    code = (
        "import sys, recsys_lab.data.prepare, recsys_lab.data.sources.table, "
        "recsys_lab.data.sources.published.movielens, "
        "recsys_lab.data.sources.sequences; sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_ml_1m_counts(shared, table, run):
    log = shared / "ml-1m" / "interactions.parquet"
    data = run(
        table(
            log,
            timestamp_column=None,
            order_column="position",
            items_path=str(log.with_name("items.parquet")),
            title_column="title",
        )
    )
    assert (data.num_users, data.num_items, data.num_interactions) == (6040, 3416, 999_611)
    assert data.item_titles()[0] == "Toy Story (1995)"
    assert "repeated_targets" not in {leak["kind"] for leak in data.manifest["leaks"]}
    frame = pl.read_parquet(log)  # another way to the same targets
    last = frame.sort("user_id", "position").group_by("user_id", maintain_order=True).last()
    ids = np.array(data.item_ids())
    assert ids[data.items[data.segments("test")[:, 2]]].tolist() == last["item_id"].to_list()
    shutil.rmtree(data.path)
