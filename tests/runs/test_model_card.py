"""A run's card: its numbers are the record's, a limit stands there exactly when its fact holds."""

import html as escaping
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lab.pages.markdown import bullets, plain
from recsys_lab.runs.model_card.limits import limits
from recsys_lab.runs.model_card.page import as_markdown, as_page, write_card
from recsys_lab.runs.record import RunRecord
from tests.comparison.made_runs import write_run

USERS = 40


def slice_row(name: str, value: str, users: int, mean: float, metric: str = "ndcg@10") -> dict:
    return {
        "slice": name, "value": value, "users": users, "targets": users, "metric": metric,
        "mean": mean, "low": mean - 0.01, "high": mean + 0.01,
    }  # fmt: skip


SLICES = [
    slice_row("history_length", "1-4", 900, 0.21),
    slice_row("history_length", "5-9", 99, 0.32),
    slice_row("target_popularity", "cold", 150, 0.0123),
    slice_row("target_repeated", "yes", 250, 0.05),
    slice_row("target_repeated", "no", 749, 0.3),
]
RICH = {
    "finished": "2026-01-02T11:30:00+00:00",
    "packages": {"torch": "2.13.0"},
    "leaks": [
        {"kind": "future_in_training", "phase": "test", "severity": "leak",
         "explanation": "9 of 40 test targets (22.5%) are not later"},
        {"kind": "cold_targets", "phase": "test", "severity": "note", "explanation": "told apart"},
        {"kind": "users_in_two_roles", "phase": "test", "severity": "note", "explanation": "all"},
        {"kind": "future_in_training", "phase": "validation", "severity": "leak",
         "explanation": "of validation"},
    ],
    "compute": {
        "seconds": 90.0, "peak_memory_mebibytes": 300.0, "events": 123_456, "steps": 77,
        "step_seconds": 60.0, "wait_seconds": 1.5, "events_per_second": 2007.4,
        "training_flops": 98_765_432_100, "joules": 4321.0, "device_peak_mebibytes": None,
    },
    "epochs": [
        {"epoch": n, "val/ndcg@10": 0.1 + 0.01 * n, "train/loss": 5.0 - n} for n in range(3)
    ],
    "best": {"epoch": 2, "still_improving": True},
    "intervals": {"ndcg@10": [0.1111, 0.2222]},
    "split": {"name": "leave_one_out", "test_targets": 999, "cold_test_targets": 150,
              "test_start_time": 86_400},
    "fairness": {
        "gaps": [{"groups": "user_land", "metric": "ndcg@10", "gap": 0.0707, "gap_low": 0.01,
                  "gap_high": 0.13, "highest": "fr",
                  "highest_mean": 0.3, "highest_users": 1200, "lowest": "de",
                  "lowest_mean": 0.2293, "lowest_users": 150}],
        "exposure": [{"groups": "popularity", "k": 10, "value": "head", "items": 3,
                      "exposure": 0.75, "events": 0.33, "catalogue": 0.05,
                      "exposure_per_item": 15.0, "exposure_per_event": 2.2727},
                     {"groups": "popularity", "k": 10, "value": "cold", "items": 1,
                      "exposure": float("nan"), "events": 0.0, "catalogue": 0.01,
                      "exposure_per_item": 0.0, "exposure_per_event": None}],
    },
}  # fmt: skip


def rich(folder, **changes) -> RunRecord:
    fields = {
        "filter": {"min_user_count": 5, "min_item_count": 0}, "candidates": "sampled",
        "num_candidates": 1000, "exclude_seen": True, **changes.pop("fields", {}),
    }  # fmt: skip
    values = {"ndcg@10": np.full(USERS, 0.25), "hr@10": np.full(USERS, 0.5)}
    write_run(folder, values, **{**RICH, **changes}, fields=fields)
    pl.DataFrame([*SLICES, slice_row("history_length", "1-4", 900, 0.99, "hr@10")]).write_parquet(
        folder / "slices.parquet"
    )
    return RunRecord.load(folder)


def cells(page: str) -> list[list[str]]:
    """Texts of the rows of all tables."""
    return [
        [escaping.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in
         re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", page)
    ]  # fmt: skip


def facts(page: str) -> dict[str, str]:
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    return {name: escaping.unescape(re.sub(r"<[^>]+>", "", value)) for name, value in pairs}


def test_the_numbers_are_the_records(tmp_path):
    record = rich(tmp_path / "run")
    files = write_card(record)
    assert [path.name for path in files] == ["card.md", "card.html"]
    text, page = (path.read_text() for path in files)
    expected = [
        ["metric", "validation", "test", "95% interval"],
        ["ndcg@10", "0.2500", "0.2500", "0.1111 - 0.2222"],
        ["hr@10", "0.5000", "0.5000", ""],
        ["history_length 1-4", "900", "0.2100", "0.2000 - 0.2200"],
        [
            "user_land",
            "ndcg@10",
            "0.0707",
            "0.0100 - 0.1300",
            "fr: 0.3000 (1,200 users)",
            "de: 0.2293 (150 users)",
        ],
        ["popularity: head", "10", "3", "75.0%", "33.0%", "5.00%", "2.2727"],
        ["popularity: cold", "10", "1", "-", "0%", "1.00%", "-"],
        ["1", "0.1000", "5.0000"],
        ["3 (best)", "0.1200", "3.0000"],
    ]
    rows = cells(page)
    for row in expected:
        assert row in rows
        assert f"| {' | '.join(row)} |" in text
    assert "0.9900" not in text  # a slice of another metric
    found = facts(page)
    compute = {
        "parameters": "1,000", "time of the whole run": "90.0 s",
        "in training steps": "60.0 s",
        "waiting for batches": "1.5 s", "peak memory": "300 MiB",
        "training events read (tokens)": "123,456", "tokens per second": "2,007",
        "training steps": "77", "training FLOPs": "9.88e+10", "energy": "4,321 J",
        "best epoch": "3 of 3",
    }  # fmt: skip
    origin = {
        "fingerprint": record.values["protocol"]["fingerprint"], "num_candidates": "1000",
        "hidden_dim": "64", "temperature": "1.0", "min_user_count": "5", "num_users": str(USERS),
        "test_targets": "999", "test_start_time": "1970-01-02 00:00:00", "code": "c0ffee",
        "packages": "torch 2.13.0", "command": "train",
    }  # fmt: skip
    for name, value in {**compute, **origin}.items():
        assert found[name] == value
        assert f"| {name} | {plain(value)} |" in text
    assert "peak memory of the GPU" not in found
    head = page.split("</header>")[0]
    assert re.findall(r"<dd>(.*?)</dd>", head) == ["0.2500", "0.1111 - 0.2222", "1.5 min", "1,000"]
    assert "SASRec on shop · seed 0 · 2026-01-02 11:30" in head
    assert len(re.findall("<svg", page)) == 2


def test_all_limits_of_a_run_that_has_them_all(tmp_path):
    record = rich(tmp_path / "run", code={"commit": "c", "dirty": True})
    record.values["compute"]["joules"] = None
    record.values["fairness"]["gaps"] = []
    record.values["data"]["has_timestamps"] = False
    expected = [
        "Candidates are not all items (1,000 a user, sampled)",
        "250 of 999 test targets (25.0%) are repeat purchases (items of the user's history); "
        "exclude_seen=true makes them unreachable.",
        "The log has no timestamps",
        "Leak check (leak): 9 of 40 test targets (22.5%) are not later.",
        "The best epoch was the last one (3): the model",
        "Only one seed (0)",
        "150 of 999 test targets (15.0%) are items without a training event; on them ndcg@10 is "
        "0.0123.",
        "Users with fewer than 5 events were excluded; results do not apply to them",
        "Slices of fewer than 100 users have unreliable means: history_length 5-9 (99).",
        "No column of the users has two groups of at least 100",
        "The energy of the training could not be read",
        "Made with uncommitted changes",
    ]
    found = limits(record.values, SLICES)
    assert len(found) == len(expected)
    for limit, start in zip(found, expected, strict=True):
        assert limit.startswith(start)
    text, page = as_markdown(record.values, SLICES), as_page(record.values, SLICES)
    assert f"## Limits\n\n{bullets(found)}\n" in text
    listed = re.findall(r"<li><p>(.*?)</p></li>", page)
    assert [escaping.unescape(limit) for limit in listed] == found


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"fields": {"candidates": "all items"}}, "Candidates"),
        ({"leaks": []}, "Leak check"),
        ({"best": {"epoch": 1, "still_improving": False}}, "best epoch"),
        ({"seed": None}, "Only one seed"),
        ({"split": {"test_targets": 999, "cold_test_targets": 0}}, "without a training event"),
        ({"fields": {"filter": {"min_user_count": 1}}}, "events were excluded"),
    ],
)
def test_a_limit_goes_with_its_fact(tmp_path, change, gone):
    whole = limits(rich(tmp_path / "whole").values, SLICES)
    without = limits(rich(tmp_path / "without", **change).values, SLICES)
    assert [limit for limit in whole if gone not in limit] == without
    assert len(without) == len(whole) - 1


def test_another_seed_of_a_deterministic_model_changes_nothing(tmp_path):
    values = rich(tmp_path / "run").values
    for name, needs_seeds in (("item_knn.ItemKNN", False), ("ials.IALS", True)):
        model = {"_target_": f"recsys_lab.models.classical.{name}"}
        fitted = {**values, "epochs": [], "config": {**values["config"], "model": model}}
        assert any("Only one seed" in limit for limit in limits(fitted, SLICES)) == needs_seeds


def test_limits_of_slices_need_these():
    some = [row for row in SLICES if row["users"] > 99 and row["value"] != "yes"]
    assert limits({"status": "finished", "test": {"a": 1}, "intervals": {"a": [0, 1]}}, some) == []
    seen = {"protocol": {"fields": {"exclude_seen": False}}, "status": "finished",
            "test": {"a": 1.0}}  # fmt: skip
    found = limits(seen, SLICES[3:])
    assert found[0].endswith("exclude_seen=false makes them easy to hit.")
    assert found[1].startswith("No intervals were recorded")


def test_a_trial_and_a_run_that_did_not_end_say_so():
    trial = limits({"status": "finished", "validation": {"ndcg@10": 0.5}}, [])
    assert trial == [
        "The test split was not evaluated. The model was selected by its validation metrics, "
        "so these are optimistic."
    ]
    values = {"name": "x", "status": "running", "validation": {"ndcg@10": 0.5}}
    assert limits(values, []) == [
        "The run's status is 'running': the card shows what was recorded until then."
    ]
    assert facts(as_page(values, []))["validation ndcg@10"] == "0.5000"


@given(st.sets(st.sampled_from([
    "name", "seed", "config", "code", "machine", "compute", "epochs", "best", "data", "protocol",
    "parameters", "validation", "test", "intervals", "fairness", "split", "leaks", "packages",
    "command", "created", "finished",
])), st.booleans())  # fmt: skip
def test_what_an_older_record_lacks_is_left_out(made, missing, empty):
    values = {k: None if k in missing else v for k, v in made.items() if empty or k not in missing}
    text, page = as_markdown(values, SLICES), as_page(values, SLICES)
    for lacking, heading in (("compute", "tokens per second"), ("fairness", "Fairness"),
                             ("epochs", "Training"), ("packages", "torch 2.13.0")):  # fmt: skip
        assert (heading in text) == (heading in page) == (lacking not in missing)
    assert "None" not in text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rich(tmp_path_factory.mktemp("runs") / "run").values
