"""A loaded run: it recommends what its own test ranked, refuses what it cannot know, and has data.

One file, so that the runs of `shop` are trained once.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

import recsys_lab
from recsys_lab.data.raw_ids import RawIds
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.experiment.restore import restore
from recsys_lab.models.inputs.context import Context
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import ITEMS

HISTORIES = [["i0", "i3"], ["i5"], ["i1", "i2", "i4"]]


@pytest.fixture
def sasrec(shop):
    return recsys_lab.load(shop / "sasrec")


def lists_of(frame: pl.DataFrame, key: str = "history") -> list[list[str]]:
    return frame.group_by(key, maintain_order=True).agg("item_id")["item_id"].to_list()


@pytest.mark.parametrize("name", ["sasrec", "timed", "known", "popularity", "knn"])
def test_the_lists_are_those_of_the_runs_test(shop, name):
    run = recsys_lab.load(shop / name)
    rows = run.per_user()
    keys = ["user_id", *({"list"} & {*rows.columns})]
    wanted = rows.unique(keys, keep="first", maintain_order=True)
    length = run.config["evaluation"]["max_k"]
    found = run.recommend(run.dataset.histories("test"), k=length)
    lists = found.group_by(keys, maintain_order=True).agg("item_id")
    assert lists["item_id"].to_list() == wanted["item_ids"].to_list()
    assert lists.select(keys).rows() == wanted.select(keys).rows()
    assert (name == "knn") == ("list" in keys)


def test_a_frame_of_events_in_any_order_is_sorted_by_time(sasrec):
    events = sasrec.dataset.histories("test")
    mixed = events.sample(fraction=1.0, shuffle=True, seed=3)
    key = ["user_id", "rank"]
    assert sasrec.recommend(mixed).sort(key).equals(sasrec.recommend(events).sort(key))
    days = mixed.with_columns(pl.from_epoch("timestamp"))
    assert sasrec.recommend(days).equals(sasrec.recommend(mixed))


def test_one_row_for_each_item_best_first(sasrec):
    found = sasrec.recommend(HISTORIES, k=4)
    assert found.columns == ["history", "rank", "item_id", "score"]
    assert found["history"].to_list() == [0] * 4 + [1] * 4 + [2] * 4
    assert found["rank"].to_list() == [1, 2, 3, 4] * 3
    for history, (_, part) in zip(
        HISTORIES, found.group_by("history", maintain_order=True), strict=True
    ):
        assert part["score"].is_sorted(descending=True)
        assert not set(history) & set(part["item_id"])
    assert found.join(sasrec.items, on="item_id", how="anti").is_empty()


def test_a_list_does_not_depend_on_its_companions(shop):
    run = recsys_lab.load(shop / "popularity")  # many equal scores
    alone = [lists_of(run.recommend([history]))[0] for history in HISTORIES]
    assert lists_of(run.recommend(HISTORIES)) == alone


def test_histories_may_be_generators(sasrec):
    found = sasrec.recommend((iter(history) for history in HISTORIES), k=np.int64(3))
    assert found.equals(sasrec.recommend(HISTORIES, k=3))
    assert len(found) == 9


def test_seen_items_may_stay(sasrec):
    [found] = lists_of(sasrec.recommend([["i0"] * 3], k=ITEMS, exclude_seen=False))
    assert len(found) == ITEMS
    assert "i0" in found


def test_no_more_than_the_catalogue_is_ranked(sasrec):
    [found] = lists_of(sasrec.recommend([["i0", "i3"]], k=10**9))
    assert len(found) == ITEMS - 2
    assert sasrec.recommend([], k=5).is_empty()


def test_unknown_items_are_counted_and_skipped(sasrec):
    with pytest.warns(UserWarning, match="2 events were skipped: their items are not in the"):
        found = sasrec.recommend([["i0", "nothing", "i3", None]])
    assert found.equals(sasrec.recommend([["i0", "i3"]]))


def test_ids_are_compared_as_text(shop):
    reader = recsys_lab.load(shop / "sasrec").ranker.read
    reader.items = RawIds(pl.Series([7, 8]))  # a log whose ids are numbers
    assert reader([[7, "8", np.int64(7)]]).items.tolist() == [0, 1, 0]


def test_histories_without_a_known_item(shop):
    run = recsys_lab.load(shop / "sasrec")
    with pytest.warns(UserWarning, match="1 histories have no known item and got no recommend"):
        found = run.recommend([["i0"], []], k=3)
    assert found["history"].to_list() == [0, 0, 0]
    assert run.ranker.recommend([["i0"], [], ["nothing"]], k=3).num_unranked == 2
    popular = recsys_lab.load(shop / "popularity")
    assert len(popular.recommend([["i0"], []], k=3)) == 6


def test_vectors_multiply_to_the_scores(shop):
    for name in ("sasrec", "known"):  # the latter ranks by cosines
        run = recsys_lab.load(shop / name)
        users, items = run.user_vectors(HISTORIES), run.item_vectors()
        assert users.shape == (3, 8)
        assert items.shape == (ITEMS, 8)
        best = run.recommend(HISTORIES, k=1, exclude_seen=False)
        np.testing.assert_allclose((users @ items.T).max(1), best["score"], rtol=1e-5)
        top = run.items["item_id"].gather((users @ items.T).argmax(1))
        assert top.to_list() == best["item_id"].to_list()


def test_threads_share_a_run(shop):
    single = {name: recsys_lab.load(shop / name).recommend(HISTORIES) for name in ("sasrec", "knn")}
    with ThreadPoolExecutor(8) as pool:
        for name, wanted in single.items():
            run = recsys_lab.load(shop / name)  # also restored by whoever is first
            found = list(pool.map(lambda _, run=run: run.recommend(HISTORIES), range(40)))
            assert all(one.equals(wanted) for one in found)


class TestRefused:
    @pytest.mark.parametrize(
        ("histories", "message"),
        [
            (["i0", "i3"], r"histories\[0\]: got 'i0'; each history is a list of item ids"),
            (pl.DataFrame({"user_id": [1], "item": ["i0"]}), "no column item_id; give a polars"),
            (
                pl.DataFrame({"user_id": [1], "item_id": ["i0"], "timestamp": ["noon"]}),
                "timestamp has 0 missing values and the type String; seconds since the epoch",
            ),
            (None, "histories: got NoneType; give a list of histories"),
            ({"u1": ["i0"]}, "histories: got dict; give a list of histories"),
            (pl.LazyFrame({"user_id": [1]}), r"got LazyFrame; .* call \.collect"),
            (
                pl.DataFrame({"user_id": [1], "item_id": [["i0"]]}),
                "item_id has the type List.*a row is one event",
            ),
        ],
    )
    def test_another_form(self, sasrec, histories, message):
        with pytest.raises(recsys_lab.UserError, match=message):
            sasrec.recommend(histories)

    @pytest.mark.parametrize("k", [0, True, "3", 1.5, None])
    def test_a_length_that_is_none(self, sasrec, k):
        with pytest.raises(recsys_lab.UserError, match=f"k: got {k!r}, expected a list length"):
            sasrec.recommend(HISTORIES, k=k)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"candidates": "i1"}, "candidates: got the text 'i1', expected a list"),
            ({"blocklist": "i1"}, "blocklist: got the text 'i1', expected a list"),
            ({"exclude_seen": 0}, "exclude_seen: got 0, expected True, False or None"),
            ({"exclude_seen": "no"}, "exclude_seen: got 'no', expected True, False or None"),
        ],
    )
    def test_options_of_another_type(self, sasrec, options, message):
        with pytest.raises(recsys_lab.UserError, match=message):
            sasrec.recommend([["i1"]], **options)

    def test_words_and_folders_that_are_none(self, shop, sasrec):
        for wrong, message in [
            (lambda: sasrec.dataset.histories("tset"), "got 'tset'; allowed: 'validation', 'test'"),
            (lambda: sasrec.dataset.histories("train"), "got 'train'; allowed: 'validation'"),
            (lambda: sasrec.dataset.events("foo"), "got 'foo'; allowed: 'train', 'validation'"),
            (lambda: recsys_lab.load(3), "load: got 3; expected a folder"),
            (lambda: recsys_lab.dataset(3), "dataset: got 3; expected a folder"),
            (lambda: recsys_lab.find_runs(None), "find_runs: got None; expected a folder"),
            (lambda: recsys_lab.load(shop / "sasrec", verify="x"), "got 'x'; allowed: 'full'"),
            (lambda: recsys_lab.dataset(shop, verify="x"), "verify: got 'x'; allowed: 'full'"),
        ]:
            with pytest.raises(recsys_lab.UserError, match=message):
                wrong()

    def test_no_times_for_a_model_that_reads_them(self, shop):
        message = "HSTU reads timestamp of every event, and lists of item ids do not have it; give"
        with pytest.raises(recsys_lab.UserError, match=message):
            recsys_lab.load(shop / "timed").recommend(HISTORIES)

    def test_inputs_that_read_times(self, shop):
        model = recsys_lab.load(shop / "sasrec").model
        assert not model.reads_times
        data = recsys_lab.load(shop / "sasrec").dataset.prepared
        model.context = Context(["time.hour"], data, dim=8)
        assert model.reads_times

    def test_a_model_that_reads_the_time_of_what_comes(self, shop):
        parts = restore(RunRecord.load(shop / "timed"), "sizes")
        parts.model.reads_next_time = True
        with pytest.raises(recsys_lab.UserError, match="unknown when recommending; train a"):
            HistoryRanker(parts)

    def test_vectors_of_a_model_without(self, shop):
        with pytest.raises(recsys_lab.UserError, match="ItemKNN has no vectors of users and items"):
            recsys_lab.load(shop / "knn").item_vectors()

    def test_the_vector_of_an_empty_history(self, sasrec):
        message = "1 of 2 have no known item, so they have no vector .the first one has index 1"
        with pytest.raises(recsys_lab.UserError, match=message):
            sasrec.user_vectors([["i0"], []])

    def test_no_run(self, tmp_path):
        with pytest.raises(recsys_lab.UserError, match="not a run"):
            recsys_lab.load(tmp_path)


class TestDataset:
    def test_events_of_the_parts_are_the_log(self, shop):
        log = pl.read_csv(shop / "log.csv").sort("user_id", "timestamp")
        data = recsys_lab.load(shop / "sasrec").dataset
        events = data.events()
        assert events.drop("part").sort("user_id", "timestamp").equals(log)
        last = log.group_by("user_id", maintain_order=True)
        assert data.events("test").sort("user_id").equals(last.last().select(log.columns))
        assert (
            data.histories("test")
            .sort("user_id", "timestamp")
            .equals(log.filter(pl.col("timestamp") < pl.col("timestamp").max().over("user_id")))
        )
        counts = dict(events["part"].value_counts().iter_rows())
        assert counts == {"train": 60 * 6, "validation": 60, "test": 60}
        assert data.users.columns == ["user_id"]
        assert set(data.items["item_id"]) == set(log["item_id"])

    def test_it_is_opened_by_its_folder(self, shop):
        run = recsys_lab.load(shop / "sasrec")
        data = recsys_lab.dataset(run.dataset.path)
        assert repr(data) == "<Dataset table_log: 60 users, 25 items, 480 events>"
        assert data.events("train").equals(run.dataset.events("train"))
        with pytest.raises(recsys_lab.UserError, match="not a usable prepared dataset"):
            recsys_lab.dataset(shop)


def test_what_a_run_says(shop):
    run = recsys_lab.load(shop / "sasrec")
    assert repr(run) == f"<Run SASRec, finished, {shop / 'sasrec'}>"
    assert run.metrics["test/ndcg@10"] == run.record["test"]["ndcg@10"]
    assert run.main_metric == "ndcg@10"
    assert run.epochs["epoch"].to_list() == [0]
    assert run.per_user()["ndcg@10"].mean() == pytest.approx(run.metrics["test/ndcg@10"])
    assert run.slices()["metric"].is_in(["ndcg@10"]).any()
    assert run.items.columns == ["item_id"]
    assert recsys_lab.load(shop / "knn").epochs.is_empty()
