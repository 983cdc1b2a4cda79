"""``explain`` on trained runs: what it prints, writes and refuses, and whether it is faithful."""

import html
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.contracts import Batch
from recsys_lab.data.histories import Histories
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.evaluation.attribution import scores_of
from recsys_lab.evaluation.occlusion import Replacements, occlusion
from recsys_lab.experiment.explain import explain
from recsys_lab.experiment.restore import restore
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, ITEMS, USERS, in_shop, rewrite, train
from tests.models.generative.test_runs import TINY

PROTOCOLS = {
    "listed": ["evaluation=candidate_file", "evaluation.path=pairs.parquet"],
    "sampled": ["evaluation=sampled_candidates", "evaluation.num_candidates=4"],
    "unfiltered": ["evaluation.exclude_seen=false"],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, in_shop(tmp_path_factory.mktemp("x"), patch):
        assert train("run_dir=sasrec", "recipe.max_epochs=15", "recipe.learning_rate=1e-2") == 0
        assert run_command(["train", *COUNTS, "run_dir=popular"]) == 0
        item_knn = ["model=item_knn" if text.startswith("model=") else text for text in COUNTS]
        assert run_command(["train", *item_knn, "run_dir=knn"]) == 0
        split = ["split=last_n", "split.validation_events=2", "split.test_events=3"]
        split += ["split.target=successive"]
        assert run_command(["train", *item_knn, "run_dir=successive", *split]) == 0
        pairs = [(f"u{u}", f"i{i}") for u in range(USERS) for i in range(u % 3, ITEMS, 3)]
        pl.DataFrame(pairs, ["user_id", "item_id"], orient="row").write_parquet("pairs.parquet")
        for name, protocol in PROTOCOLS.items():
            assert run_command(["train", *item_knn, f"run_dir={name}", *protocol]) == 0
        yield


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
@pytest.mark.usefixtures("shop")
def test_the_list_is_the_one_of_the_test(capsys, method):
    command = ["explain", "sasrec", "--user", "u7", "k=5", f"method={method}", f"output={method}"]
    assert run_command(command) == 0
    said = capsys.readouterr().out
    assert f"written: {method}/explanation.html" in said
    told = json.loads(Path(f"{method}/explanation.json").read_text())
    log = pl.read_csv("log.csv").filter(pl.col("user_id") == "u7").sort("timestamp")
    *before, last = log["item_id"].to_list()
    assert told["wanted"] == [last]
    seconds = log["timestamp"].to_list()[-7:-1]
    assert told["times"] == [f"1970-01-01 {s // 3600:02}:{s % 3600 // 60:02}" for s in seconds]
    assert told["history"] == told["history_ids"] == before[-6:]  # the model's window
    assert told["hits"] == [item == last for item in told["items"]]
    data = restore(RunRecord.load(Path("sasrec"))).data
    ids = [str(item) for item in data.item_ids()]
    rows = pl.read_parquet("sasrec/test_users.parquet")
    row = rows.filter(pl.col("user") == [str(u) for u in data.user_ids()].index("u7"))
    assert told["ids"] == [ids[item] for item in row["items"][0][:5]]
    assert np.shape(told["attributions"]) == (5, 6)
    page = Path(f"{method}/explanation.html").read_text()
    assert "<script" not in page
    assert told["times"][-1] in page
    for text in (page, said):  # what the numbers mean, and the item that came
        assert " ".join(told["meaning"].split()) in " ".join(html.unescape(text).split())
        assert "actual next item" in " ".join(text.split())


@pytest.mark.usefixtures("shop")
def test_of_several_lists_any_can_be_explained(capsys):
    """The last three events of a user, each by all events before it."""
    log = pl.read_csv("log.csv").filter(pl.col("user_id") == "u7").sort("timestamp")
    events = log["item_id"].to_list()
    for asked, number in ((["list=1"], 1), (["list=2"], 2), ([], 3)):
        assert run_command(["explain", "successive", "user=u7", *asked, "output=each"]) == 0
        heading = f"Why user u7 got these recommendations: list {number} of 3"
        assert heading in " ".join(capsys.readouterr().out.split())
        assert heading in Path("each/explanation.html").read_text()
        told = json.loads(Path("each/explanation.json").read_text())
        assert (told["list_number"], told["num_lists"]) == (number, 3)
        assert (told["history"], told["wanted"]) == (events[: 4 + number], [events[4 + number]])
        rows = pl.read_parquet("successive/test_users.parquet")
        row = rows.filter(user_id="u7", list=number - 1)
        assert told["ids"] == row["item_ids"][0].to_list()[:10]
    assert run_command(["explain", "successive", "user=u7", "list=4"]) == 2
    assert "list: got 4, expected a number from 1 to 3" in capsys.readouterr().err
    assert run_command(["explain", "knn", "user=u7", "list=2"]) == 2
    assert "expected a number from 1 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(PROTOCOLS))
@pytest.mark.usefixtures("shop")
def test_the_list_is_the_one_of_the_run_s_protocol(name):
    """The explained items are those that the run listed: the same candidates, the same filter."""
    for user in ("u7", "u8", "u9"):
        assert run_command(["explain", name, "--user", user, "k=9", f"output=why_{name}"]) == 0
        told = json.loads(Path(f"why_{name}/explanation.json").read_text())
        rows = pl.read_parquet(f"{name}/test_users.parquet").filter(user_id=user)
        folder = Path(json.loads(Path(f"{name}/run.json").read_text())["data"]["path"])
        ids = pl.read_parquet(folder / "items.parquet")["item_id"]
        assert told["ids"] == [ids[item] for item in rows["items"][0][:9] if item >= 0]
        assert told["ids"]
        if name == "listed":
            assert {int(item[1:]) % 3 for item in told["ids"]} == {int(user[1:]) % 3}
        if name == "sampled":
            assert len(told["ids"]) == 5


@pytest.mark.usefixtures("shop")
def test_validation_is_the_history_without_its_last_event(capsys):
    command = ["explain", "sasrec", "user=u7", "phase=validation", "k=5", "output=earlier"]
    assert run_command(command) == 0
    assert "SASRec, occlusion, validation split)" in " ".join(capsys.readouterr().out.split())
    told = json.loads(Path("earlier/explanation.json").read_text())
    log = pl.read_csv("log.csv").filter(pl.col("user_id") == "u7").sort("timestamp")
    *before, wanted, _ = log["item_id"].to_list()
    assert (told["history"], told["wanted"]) == (before[-6:], [wanted])


@pytest.mark.usefixtures("shop")
def test_a_user_is_found_as_the_file_writes_the_id(capsys):
    """Pandas writes whole numbers as 7.0 in a column with gaps; the data have 7."""
    log = pl.read_csv("log.csv").with_columns(pl.col("user_id").str.slice(1) + ".0")
    log.write_csv("gaps.csv")
    knn = ["model=item_knn" if text.startswith("model=") else text for text in COUNTS]
    assert run_command(["train", *knn, "data.path=gaps.csv", "run_dir=gaps"]) == 0
    for number, user in enumerate(("7", "7.0")):
        assert run_command(["explain", "gaps", f"user={user}", f"output=gaps_{number}"]) == 0
    assert read_bytes("gaps_0") == read_bytes("gaps_1").replace(b'"7.0"', b'"7"')
    capsys.readouterr()
    assert run_command(["explain", "gaps", "--user", "7.5"]) == 2
    assert "user: '7.5' is not in the data; users of the test split are e.g. 0, 1, 2" in (
        capsys.readouterr().err
    )


def read_bytes(folder):
    return Path(f"{folder}/explanation.json").read_bytes()


@pytest.mark.usefixtures("shop")
def test_of_a_model_that_reads_no_history_it_is_said(capsys):
    """It reads one event; what that does to the scores is measured all the same."""
    said = "No event of the history changes these scores: for this user, Popularity does not use it"
    assert run_command(["explain", "popular", "user=u7", "output=none"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert said in Path("none/explanation.html").read_text()
    assert not np.any(json.loads(Path("none/explanation.json").read_text())["attributions"])
    assert run_command(["explain", "knn", "user=u7", "k=3"]) == 0
    assert "No event" not in capsys.readouterr().out


@pytest.mark.usefixtures("shop")
def test_of_a_generative_model_it_is_the_change_of_the_codes_log_probabilities():
    """Each attribution, by ranking one history after the other."""
    assert train("run_dir=tiger", "recipe.max_epochs=1", base=TINY) == 0
    command = ["explain", "tiger", "user=u7", "k=3", "replacements=5", "output=codes"]
    assert run_command(command) == 0
    told = json.loads(Path("codes/explanation.json").read_text())
    rows = pl.read_parquet("tiger/test_users.parquet").filter(user_id="u7")
    assert told["ids"] == rows["item_ids"][0].to_list()[:3]
    assert "(5 items, drawn by their number of training events)" in told["meaning"]
    assert np.shape(told["attributions"]) == (3, len(told["history"])) == (3, 4)  # the window
    parts = restore(RunRecord.load(Path("tiger")))
    ids = [str(item) for item in parts.data.item_ids()]
    user = [str(user) for user in parts.data.user_ids()].index("u7")
    history = parts.batches("test").of_user(user).history
    counts = parts.data.training_item_counts()
    drawn = np.random.default_rng(0).choice(len(ids), 5, replace=False, p=counts / counts.sum())

    def score(events, item):
        row, batch = torch.tensor([0]), replace(history, items_T=torch.tensor(events))
        with torch.inference_mode():
            ranked = parts.model.rank_candidates(batch, (row, torch.tensor([item])), 1)
        return float(ranked.scores_BK[0, 0])

    events = history.items_T.tolist()
    for k, item in enumerate(map(ids.index, told["ids"])):
        assert score(events, item) == pytest.approx(told["scores"][k], abs=1e-4)
        for t in range(4):
            others = [int(r) for r in drawn if r not in (item, events[t])]
            changed = [score([*events[:t], r, *events[t + 1 :]], item) for r in others]
            expected = score(events, item) - np.mean(changed)
            assert told["attributions"][k][t] == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("shop")
def test_an_arbitrary_event_gets_nothing_on_average_of_a_trained_model():
    """Whatever item stands in a place: by removal, nearly all is what any removal does."""
    parts = restore(RunRecord.load(Path("sasrec")))
    num_items, replaced, removed = parts.data.num_items, [], []
    users = np.asarray(parts.data.segments("test"))[:2, 0]
    every = history_of(range(num_items))
    with torch.inference_mode():
        for user in users:
            history = parts.batches("test").of_user(int(user)).history
            items_K = torch.arange(0, num_items, 5)
            for place in (0, 3):
                of_replaced, of_removed = [], []
                for item in range(num_items):
                    batch = replace(history, items_T=history.items_T.clone())
                    batch.items_T[place] = item
                    others = Replacements(every, num_items)
                    found_KT, _ = occlusion(
                        parts.model, batch, items_K, num_items, others, at_once=200
                    )
                    of_replaced.append(found_KT[:, place].numpy())
                    whole = scores_of(parts.model, batch, items_K, num_items)[0]
                    rest = without(batch, place)
                    left = scores_of(parts.model, rest, items_K, num_items)[0]
                    of_removed.append((whole - left).numpy())
                replaced.append(sizes(of_replaced))
                removed.append(sizes(of_removed))
    (mean, size), (mean_removed, size_removed) = np.mean(replaced, 0), np.mean(removed, 0)
    assert mean < 0.1 * size
    assert mean_removed > 0.3 * size_removed


def sizes(attributions):
    """Size of the mean over all items of a place, and the mean size."""
    return np.abs(np.mean(attributions, 0)).mean(), np.abs(attributions).mean()


def history_of(items):
    events = torch.tensor([*items])
    return Batch(torch.tensor([0]), events, torch.tensor([0, len(events)]), (len(events),))


def without(history, place):
    kept = torch.tensor([t for t in range(history.lengths[0]) if t != place])
    return history.events(kept, (len(kept),))


@pytest.mark.usefixtures("shop")
def test_what_the_user_got_wrong_is_told(capsys, monkeypatch):
    assert run_command(["explain", "sasrec", "--user", "u77"]) == 2
    said = capsys.readouterr().err
    assert "'u77' is not in the data; users of the test split are e.g. u" in said
    assert run_command(["explain", "sasrec"]) == 2
    assert "user: missing" in capsys.readouterr().err
    assert run_command(["explain", "sasrec", "user=u7", "output=log.csv"]) == 2
    assert "output: cannot create the folder log.csv" in capsys.readouterr().err
    assert run_command(["explain", "knn", "user=u7", "method=integrated_gradients"]) == 2
    assert "ItemKNN has no gradients" in capsys.readouterr().err
    assert run_command(["explain", "knn", "user=u7", "replacements=3"]) == 2
    assert "replacements: expected an int >= 4, got 3" in capsys.readouterr().err
    monkeypatch.setattr(PreparedDataset, "training_item_counts", lambda _: np.eye(2, ITEMS).sum(0))
    assert run_command(["explain", "knn", "user=u7"]) == 2
    assert "needs at least 3 items with training events; these data have 2" in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("shop")
def test_a_trial_of_a_search_keeps_its_test_closed(capsys):
    shutil.copytree("sasrec", "trial")
    values = json.loads(Path("trial/run.json").read_text())
    del values["test"]
    rewrite("trial", values)
    assert run_command(["explain", "trial", "user=u7"]) == 2
    assert "has no test result; use phase=validation" in capsys.readouterr().err
    assert run_command(["explain", "trial", "user=u7", "phase=validation"]) == 0


@pytest.mark.usefixtures("shop")
def test_removing_the_top_event_moves_the_score_more_than_removing_another():
    parts = restore(RunRecord.load(Path("sasrec")))
    data, generator = parts.data, np.random.default_rng(0)
    users = [str(user) for user in data.user_ids()][:40]
    asked = {"list": None, "k": 3, "method": "integrated_gradients", "phase": "test"}
    top, random = [], []
    for user in users:
        told = explain(parts, "SASRec", OmegaConf.create(asked | {"user": user}))
        ids = [str(item) for item in data.item_ids()]
        items_K = torch.tensor([ids.index(item) for item in told.ids])
        _, start, end, _ = np.asarray(data.segments("test"))[users.index(user)]
        begin = max(start, end - 6)
        history = Histories(data, ())(np.array([0]), np.array([begin]), np.array([end]))
        with torch.inference_mode():
            whole = scores_of(parts.model, history, items_K, data.num_items)[0]
            length = history.lengths[0]
            moved = []
            for place in range(length):
                left = scores_of(parts.model, without(history, place), items_K, data.num_items)[0]
                moved.append((whole - left).abs().numpy())
        for k, causes in enumerate(np.abs(told.attributions)):
            top.append(moved[int(causes.argmax())][k])
            random.append(moved[int(generator.integers(length))][k])
    assert np.mean(top) > 1.2 * np.mean(random)
