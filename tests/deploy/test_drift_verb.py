"""`recsys-lab drift`: datasets, runs and files of events, outputs, exit codes, refusals."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, in_shop

COLUMNS = (
    "item_features.kind=categorical", "item_features.price=numeric",
    "event_features.channel=categorical",
)  # fmt: skip
ITEMS, USERS, DAY = 20, 60, 86_400
START = 1_700_000_000


def write_events(name, *, seed=0, start=START, shift=0, users=USERS, price=1.0):
    """Six events a user within 30 days; items of other popularity with ``shift``."""
    rng = np.random.default_rng(seed)
    weights = np.roll(1 / np.arange(1, ITEMS + 1), shift)
    users_T = np.repeat(np.arange(users), 6)
    items_T = rng.choice(ITEMS, len(users_T), p=weights / weights.sum())
    frame = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in users_T],
            "item_id": [f"i{item}" for item in items_T],
            "timestamp": start + rng.integers(0, 30 * DAY, len(users_T)),
            "kind": [["a", "b"][item % 2] for item in items_T],
            "price": price * (1.0 + items_T),
            "channel": rng.choice(["web", "app"], len(users_T)),
        }
    )
    frame.write_csv(f"{name}.csv")
    return frame


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with prepared datasets, a popularity run, and files of events."""
    folder = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        write_events("old")
        write_events("same", seed=1)
        write_events("moved", seed=2, shift=10, price=3.0)
        columns = [f"+data.{column}" for column in COLUMNS]
        run = ["train", *COUNTS[:1], "data.path=old.csv", *COUNTS[2:], "run_dir=run", *columns]
        assert run_command(run) == 0
        [prepared] = Path("prepared").glob("*")
        shutil.copytree(prepared, "old")
        for name in ("same", "moved"):
            assert run_command(["prepare", "data=table", f"data.path={name}.csv", *columns]) == 0
            [made] = set(Path("prepared").glob("*")) - {prepared}
            made.rename(name)
        write_events("untimed", seed=3).drop("timestamp").write_csv("untimed.csv")
        later = write_events("later", seed=4, start=START + 31 * DAY)
        later.write_parquet("later.parquet")
        later.with_columns(pl.col("timestamp") * 1000).write_csv("milliseconds.csv")
        later.head(0).write_parquet("empty.parquet")
        later.rename({"user_id": "customer"}).write_csv("renamed.csv")
        later.with_columns(pl.lit(None, pl.String).alias("item_id")).write_parquet("null.parquet")
    return folder


@pytest.fixture(autouse=True)
def _in_shop(shop, monkeypatch):
    monkeypatch.chdir(shop)
    monkeypatch.setenv("COLUMNS", "120")


def drift(*arguments, code=0, out="out"):
    assert run_command(["drift", *map(str, arguments), "resamples=99", f"output={out}"]) == code
    return json.loads(Path(out, "drift.json").read_text())


def refused(capsys, *arguments):
    assert run_command(["drift", *arguments]) == 2
    return capsys.readouterr().err


class TestExitCode:
    def test_0_without_a_shift(self, capsys):
        result = drift("old", "same")
        assert result["above"] == []
        assert "No shift is above its threshold" in capsys.readouterr().out

    def test_3_with_shifts_which_are_named(self, capsys):
        result = drift("old", "moved", code=3)
        assert {"popularity/js", "item.price/psi"} <= set(result["above"])
        assert "popularity of items (JS, bits)" in capsys.readouterr().out

    def test_0_if_the_thresholds_are_off(self):
        off = [f"max_{name}=null" for name in (
            "new_items", "popularity_js", "popularity_psi", "length_psi", "gap_psi", "pair_js",
            "feature_js", "feature_psi",
        )]  # fmt: skip
        result = drift("old", "moved", *off)
        assert not any(one["above"] for one in result["shifts"])

    def test_a_dataset_and_itself_are_identical(self, capsys):
        result = drift("old", "old")
        assert result["identical"]
        assert {one["value"] for one in result["shifts"]} == {0.0}
        assert (
            "the same dataset (equal fingerprints): every shift is zero" in capsys.readouterr().out
        )

    def test_it_does_not_depend_on_anything_but_the_seed(self):
        assert drift("old", "same", out="a") == drift("old", "same", out="b")


class TestOutputs:
    def test_the_json_has_what_the_documentation_says(self):
        result = drift("old", "moved", code=3)
        assert set(result) == {
            "schema", "lab_version", "identical", "old", "new", "users", "items", "settings",
            "shifts", "skipped", "notes", "details", "hit_rate", "above",
        }  # fmt: skip
        assert result["schema"] == 1
        assert result["settings"]["resamples"] == 99
        assert result["settings"]["thresholds"]["max_new_items"] == 0.05
        for one in result["shifts"]:
            assert set(one) == {
                "name", "part", "measure", "value", "noise", "excess", "p", "threshold", "key",
                "above",
            }  # fmt: skip
        names = [one["name"] for one in result["shifts"]]
        assert names == [
            "users/new_share", "popularity/js", "popularity/psi", "popularity/new_share",
            "history_length/psi", "gaps/psi", "pairs/js", "item.kind/js", "item.price/psi",
            "event.channel/js",
        ]  # fmt: skip
        assert len(result["old"]["fingerprint"]) == 64
        for rows in result["details"].values():
            assert sum(row["old"] for row in rows) <= 1 + 1e-9

    def test_the_page_has_every_statistic_and_share(self):
        result = drift("old", "moved", code=3)
        page = Path("out/drift.html").read_text()
        assert page.startswith("<!doctype html>")
        for text in (
            "Above thresholds", "popularity of items", "time between a user&#39;s events",
            "item.price", "event.channel", "Jensen-Shannon: the divergence in bits",
        ):  # fmt: skip
            assert text in page
        assert f"{result['shifts'][1]['value']:.3f}" in page
        assert page.count("<svg") >= 2
        assert "<script" not in page
        assert "http" not in page.replace("http-equiv", "")

    def test_nothing_is_written_without_output(self, tmp_path, shop, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run_command(["drift", str(shop / "old"), str(shop / "same"), "resamples=99"]) == 0
        assert list(tmp_path.iterdir()) == []

    def test_a_hostile_title_is_escaped(self):
        path = "<b>x"
        Path(path).unlink(missing_ok=True)
        Path(path).symlink_to("same")
        drift("old", path)
        assert "<b>x" not in Path("out/drift.html").read_text()


class TestFiles:
    @pytest.mark.parametrize("name", ["later.parquet", "later.csv"])
    def test_a_file_of_events_is_compared(self, name):
        result = drift("old", name)
        assert result["new"]["kind"] == "file"
        assert result["new"]["events"] == 360
        reasons = {one["part"]: one["reason"] for one in result["skipped"]}
        assert reasons["item.kind"] == "missing in NEW, a file of events without a table of items"
        assert any(one["name"] == "event.channel/js" for one in result["shifts"])

    def test_milliseconds_are_read_as_such(self):
        assert drift("old", "milliseconds.csv")["new"] | {"path": 0} == drift("old", "later.csv")[
            "new"
        ] | {"path": 0}

    def test_a_wrong_unit_is_refused(self, capsys):
        error = refused(capsys, "old", "later.csv", "timestamp_unit=ms")
        assert "years apart" in error
        assert "timestamp_unit" in error

    def test_without_times(self):
        result = drift("old", "untimed.csv")
        assert {"part": "gaps", "reason": "NEW has no timestamps"} in result["skipped"]

    def test_a_run_stands_for_its_dataset(self):
        result = drift("run", "later.parquet")
        assert result["old"]["kind"] == "run"
        assert result["old"]["events"] == 360


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (
                ["old", "empty.parquet"],
                "empty.parquet: has no events (0 rows, none with a readable user_id, item_id",
            ),
            (["old", "null.parquet"], "no events"),
            (["old", "renamed.csv"], "has no column user_id"),
            (["old", "nothing"], "nothing: does not exist; expected a prepared dataset"),
            (["later.csv", "old"], "later.csv: is neither a prepared dataset nor a run"),
            (["old"], "datasets: got 1, expected two: recsys-lab drift OLD NEW"),
            (["old", "same", "moved"], "datasets: got 3, expected two"),
            ([], "give datasets: recsys-lab drift OLD NEW"),
            (["old", "same", "resamples=5"], "resamples: got 5, but level=0.01 needs at least 99"),
            (["old", "untimed.csv", "days=3"], "has no timestamps"),
            (["old", "same", "max_gap_psi=-1"], "max_gap_psi: expected a float >= 0 or null"),
            (["old", "same", "run=old"], "run.json"),
        ],
    )
    def test_message(self, capsys, arguments, words):
        assert words in refused(capsys, *arguments)

    def test_a_damaged_dataset(self, capsys, tmp_path, shop):
        copy = tmp_path / "copy"
        shutil.copytree(shop / "same", copy)
        (copy / "items.npy").write_bytes(b"x")
        assert "items.npy" in refused(capsys, "old", str(copy))


class TestHitRate:
    def test_of_a_popularity_run_by_hand(self):
        result = drift("old", "later.parquet", "run=run", "k=3", "max_hit_rate_fall=null")
        measured = result["hit_rate"]
        old, later = pl.read_csv("old.csv"), pl.read_csv("later.csv")
        # The run is fitted on all but the last two events of each user.
        train = old.sort("user_id", "timestamp", maintain_order=True).group_by(
            "user_id", maintain_order=True
        ).head(4)  # fmt: skip
        counts = dict(train.group_by("item_id").len().iter_rows())
        order = sorted(counts, key=lambda item: -counts[item])
        assert len({counts[item] for item in order[:12]}) > 3
        hits: dict[str, list[float]] = {}
        for (user,), rows in later.sort("timestamp").group_by("user_id", maintain_order=True):
            seen = set(old.filter(pl.col("user_id") == user)["item_id"])
            for item in rows["item_id"]:
                top = [other for other in order if other not in seen][:3]
                hits.setdefault(user, []).append(float(item in top))
                seen.add(item)
        expected = np.mean([np.mean(values) for values in hits.values()])
        assert measured["all"]["hit_rate"] == pytest.approx(expected, abs=0.03)  # ties
        assert measured["events"] == 360
        assert measured["without_history"] == 0
        weeks = [week["start"] for week in measured["weeks"]]
        assert weeks == sorted(weeks)
        assert {datetime.fromisoformat(week).weekday() for week in weeks} == {0}
        assert sum(week["events"] for week in measured["weeks"]) == 360

    def test_the_sample_of_users_is_drawn_with_the_seed(self):
        first = drift("old", "later.parquet", "run=run", "users=20", code=0)["hit_rate"]
        assert (first["users"], first["users_with_later_events"]) == (20, 60)
        assert drift("old", "later.csv", "run=run", "users=20")["hit_rate"] == first
        other = drift("old", "later.parquet", "run=run", "users=20", "seed=1")["hit_rate"]
        assert other["all"] != first["all"]

    def test_a_fall_is_above_its_threshold(self):
        old = pl.read_csv("old.csv")
        # Every later event repeats an item of its user, which the lists leave out: no hits.
        late = old.with_columns(pl.col("timestamp") + 31 * DAY)
        late.write_parquet("repeats.parquet")
        result = drift("old", "repeats.parquet", "run=run", code=3)
        assert "hit_rate/fall" in result["above"]
        assert result["hit_rate"]["all"]["hit_rate"] == 0
        assert result["hit_rate"]["repeats_left_out"] == 360
        assert "hit rate" in Path("out/drift.html").read_text()

    @pytest.mark.parametrize(
        ("new", "reason"),
        [("same", "NEW has no events after"), ("untimed.csv", "NEW has no timestamps")],
    )
    def test_it_is_skipped_with_the_reason(self, new, reason):
        result = drift("old", new, "run=run")
        [one] = [one for one in result["skipped"] if one["part"] == "hit_rate"]
        assert one["reason"].startswith(reason)
        assert result["hit_rate"] is None

    def test_new_users_have_no_list_and_new_items_are_misses(self):
        rows = [("new", f"i{item}", START + (40 + item) * DAY) for item in range(3)]
        rows += [("u1", "unknown", START + 40 * DAY)]
        frame = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
        frame.write_csv("few.csv")
        off = ["max_new_items=null", "max_length_psi=null", "max_gap_psi=null"]
        measured = drift("old", "few.csv", "run=run", *off)["hit_rate"]
        assert measured["without_history"] == 1
        assert measured["on_unknown_items"] == 1
        assert measured["all"]["users"] == 2
        assert measured["all"]["low"] is None
