"""Cards of runs that lack, or have damaged, parts of their results."""

import json
import re

import numpy as np

from recsys_lab.pages.markdown import table
from recsys_lab.runs.model_card.page import as_markdown, as_page, write_card
from recsys_lab.runs.record import RunRecord
from tests.comparison.made_runs import config, write_run
from tests.runs.test_model_card import USERS, rich, slice_row
from tests.support.browser import look

HOSTILE = "<script>alert('x')</script> | `a` *b* [c](https://x.example) &amp;\n# d"


def test_damaged_slices_are_left_out_and_told_by_name(tmp_path, caplog):
    record = rich(tmp_path / "run")
    (record.folder / "slices.parquet").write_text("no parquet")
    write_card(record)
    assert "history_length" not in (record.folder / "card.html").read_text()
    assert "the card lacks the slices" in caplog.text
    assert "slices.parquet: cannot be read (" in caplog.text


def test_missing_slices_and_diverged_training_are_no_crash(tmp_path):
    epochs = [{"epoch": 0, "val/ndcg@10": 0.1, "train/loss": float("nan")}]
    record = rich(tmp_path / "run", epochs=epochs)
    (record.folder / "slices.parquet").unlink()
    write_card(record)
    page = (record.folder / "card.html").read_text()
    assert "history_length" not in page
    assert len(re.findall("<svg", page)) == 1


def test_a_fitted_model_has_no_training(tmp_path):
    write_run(tmp_path / "run", {"ndcg@10": np.full(USERS, 0.5)}, config=config("Popularity"))
    write_card(RunRecord.load(tmp_path / "run"))
    text = (tmp_path / "run" / "card.md").read_text()
    for absent in ("## Training", "recipe", "loss", "best epoch"):
        assert absent not in text
    assert "### model: Popularity" in text


def test_a_back_test_shows_its_windows():
    windows = [
        {"folder": f"window_{n}", "data": {"name": "shop", "fingerprint": str(n)},
         "split": {"test_start_time": 86_400 * n}, "test": test}
        for n, test in enumerate([{"ndcg@10": 0.1, "novelty@10": 5.0}, {"ndcg@10": 0.3}])
    ]  # fmt: skip
    values = {"name": "b", "status": "finished", "windows": windows, "test": {"ndcg@10": 0.2}}
    text = as_markdown(values, [])
    assert "| metric | window 0, from 1970-01-01 | window 1, from 1970-01-02 | mean |" in text
    assert "| ndcg@10 | 0.1000 | 0.3000 | 0.2000 |" in text
    assert "| novelty@10 | 5.0000 | - | - |" in text
    assert "Means of 2 test windows" in text
    assert "fingerprint" not in text


def test_names_from_elsewhere_stay_text(tmp_path):
    changes = config("SASRec")
    changes |= {"name": HOSTILE, "notes": HOSTILE}
    record = rich(tmp_path / "run", config=changes, name=HOSTILE)
    record.values["data"]["name"] = HOSTILE
    rows = [slice_row(HOSTILE, HOSTILE, 3, 0.5)]
    page, text = as_page(record.values, rows), as_markdown(record.values, rows)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?<!\\)<script", text)
    assert "](https" not in text.replace("\\](", "")
    assert "\n# d" not in text
    for line in text.splitlines():
        if "script" in line and line.startswith("|"):
            wide = 2 if "notes" in line or "name" in line else 4
            assert len(re.findall(r"(?<!\\)\|", line)) == wide + 1


def test_markdown_of_a_table():
    made = table(("a|b", "n"), [("x_y *z", "1"), ("two\nlines", "_2_")], right=[1])
    assert made == "| a\\|b | n |\n| --- | ---: |\n| x_y \\*z | 1 |\n| two lines | \\_2_ |"


def test_the_card_in_a_browser(tmp_path):
    record = rich(tmp_path / "run")
    _, page = write_card(record)
    seen = look(page, tmp_path / "card.png", phone=True)
    assert seen.console == []
    picture = seen.pixels()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    assert json.loads((record.folder / "run.json").read_text())["name"] == "SASRec"
