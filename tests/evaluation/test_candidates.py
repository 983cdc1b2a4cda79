"""Protocols in which not every item is a candidate."""

import logging
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from recsys_lab.config import UserError
from recsys_lab.evaluation.protocols.base import evaluate
from recsys_lab.evaluation.protocols.candidate_file import CandidateFile
from recsys_lab.evaluation.protocols.sampled_ranking import SampledRanking
from recsys_lab.models.ranking import TIE_RULE, top_k
from tests.evaluation.batches import users

SHARED = {
    "metrics": ["hr"], "ks": [1], "exclude_seen": True, "max_k": 6, "score_mib": 1,
    "beyond_accuracy": [], "beyond_ks": [1], "category_feature": None, "embeddings_path": None,
}  # fmt: skip


class Lowest:
    """The lower an item's number, the better."""

    def recommend(self, batch, k, exclude):
        scores_BV = -torch.arange(SIZE).float().repeat(batch.size, 1)
        return top_k(scores_BV, k, exclude, batch.users_B)


SIZE = 12
COUNTS = np.array([60, 30, 10, *[1] * 8, 0])
HISTORIES = [[0, 1], [2], [3, 3, 4]]
TARGETS = [[5], [6, 7], [0]]


def data(items: list = list(range(100, 112)), people: list = ["ann", "bob", "eve"]):  # noqa: B006
    """Targets of both phases: item 5 of ann, 6 and 7 of bob, 0 of eve."""
    segments = np.array([[0, 0, 2, 3], [1, 3, 4, 6], [2, 6, 9, 10]])
    flat = np.array([0, 1, 5, 2, 6, 7, 3, 3, 4, 0])
    return SimpleNamespace(
        num_items=SIZE, num_users=3, items=flat, segments=lambda _: segments,
        dropped_targets=np.empty(0, dtype=np.int64),
        training_item_counts=lambda: COUNTS, item_ids=lambda: items, user_ids=lambda: people,
    )  # fmt: skip


def sampled(**changes) -> SampledRanking:
    values = {
        **SHARED, "num_candidates": 3, "sampling": "uniform", "seed": 0, "candidates": "all",
        "release_column": None, **changes,
    }  # fmt: skip
    protocol = SampledRanking(SampledRanking.Config(**values))
    protocol.attach(data())
    return protocol


def shown(protocol, batches) -> dict[int, set[int]]:
    rows = evaluate(Lowest(), batches, protocol).per_user()
    return {
        user: {item for item in items if item >= 0}
        for user, items in rows.select("user", "items").iter_rows()
    }


class TestSampled:
    @pytest.mark.parametrize("sampling", ["uniform", "popularity"])
    def test_candidates_are_targets_and_others_never_seen(self, sampling):
        for seed in range(30):
            got = shown(sampled(sampling=sampling, seed=seed), [users(HISTORIES, TARGETS)])
            for user, (history, targets) in enumerate(zip(HISTORIES, TARGETS, strict=True)):
                assert set(targets) <= got[user]
                assert not set(history) & got[user]
                assert len(got[user]) == len(targets) + 3

    def test_a_user_has_the_same_candidates_in_any_batch(self):
        whole = shown(sampled(), [users(HISTORIES, TARGETS)])
        parts = [users([HISTORIES[u]], [TARGETS[u]], first=u) for u in (2, 0, 1)]
        assert shown(sampled(), parts) == whole
        assert shown(sampled(seed=1), parts) != whole

    def test_seen_items_may_be_drawn(self):
        found = set()
        for seed in range(40):
            found |= shown(sampled(seed=seed, exclude_seen=False), [users([[0]], [[5]])])[0]
        assert found == set(range(SIZE))

    @pytest.mark.parametrize("sampling", ["uniform", "popularity"])
    def test_shares_of_the_draws(self, sampling):
        """One candidate for each of many users: chi-square against the weights."""
        number = 4000
        batch = users([[]] * number, [[11]] * number)
        protocol = sampled(sampling=sampling, num_candidates=1, max_k=SIZE)
        rows, items = protocol.exclude(batch)
        kept = torch.ones(number, SIZE, dtype=torch.bool)
        kept[rows, items] = False
        drawn = kept.sum(0)[:11].numpy()
        weights = np.ones(11) if sampling == "uniform" else COUNTS[:11]
        assert drawn.sum() == number
        assert stats.chisquare(drawn, number * weights / weights.sum()).pvalue > 0.001

    def test_fewer_where_fewer_are_allowed(self):
        """Item 11 has no training event, so it is never drawn in proportion to them."""
        got = shown(
            sampled(sampling="popularity", num_candidates=99, max_k=SIZE),
            [users(HISTORIES[:1], TARGETS[:1])],
        )
        assert got == {0: set(range(2, 11))}

    def test_is_named_and_warned_of(self, caplog):
        fields = sampled().fields(TIE_RULE)
        assert fields["candidates"] == "sampled"
        assert "Krichene and Rendle" in caplog.text
        for name in ("num_candidates", "seed"):
            assert sampled(**{name: 5}).fields(TIE_RULE) != fields
        assert sampled(sampling="popularity").fields(TIE_RULE) != fields

    def test_memory_is_bounded(self):
        assert sampled(score_mib=1).batch_size(10**4) == 2**20 // (48 * 10**4)


class TestFile:
    ROWS = (("ann", 105), ("ann", 100), ("ann", 103), ("bob", 107), ("bob", 108), ("eve", 109))

    @pytest.fixture
    def protocol(self, tmp_path):
        def make(rows=self.ROWS, name="pairs.csv", prepared=None, **changes):
            path = tmp_path / name
            frame = pl.DataFrame(rows, ["user_id", "item_id"], orient="row")
            frame.write_csv(path) if name.endswith(".csv") else frame.write_parquet(path)
            config = {**SHARED, "path": str(path), **changes}
            made = CandidateFile(CandidateFile.Config(**config))
            made.attach(prepared or data())
            return made

        return make

    @pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
    def test_only_listed_items(self, protocol, name):
        got = shown(protocol(name=name), [users(HISTORIES, TARGETS)])
        assert got == {0: {5, 3}, 1: {7, 8}, 2: {9}}  # ann saw 0
        got = shown(protocol(name=name, exclude_seen=False), [users(HISTORIES, TARGETS)])
        assert got[0] == {5, 0, 3}

    def test_ids_that_look_like_numbers_stay_text(self, protocol):
        items = [f"{i:03}" for i in range(12)]
        rows = [("ann", "005"), ("bob", "006"), ("eve", "000"), ("eve", "0")]
        got = shown(protocol(rows, prepared=data(items)), [users(HISTORIES, TARGETS)])
        assert got == {0: {5}, 1: {6}, 2: {0}}

    def test_the_fingerprint_follows_the_pairs_not_the_file(self, protocol):
        fields = protocol().fields(TIE_RULE)
        assert fields["candidates"] == "file"
        again = protocol(self.ROWS[::-1] + self.ROWS[:1], "other.parquet")
        assert again.fields(TIE_RULE) == fields
        assert protocol((*self.ROWS, ("eve", 100))).fields(TIE_RULE) != fields

    def test_what_cannot_be_hit_is_told(self, protocol, caplog):
        with caplog.at_level(logging.WARNING):
            protocol((*self.ROWS, ("zoe", 100), ("eve", 999)))
        assert "2 of 8 pairs have users or items that are not in the prepared" in caplog.text
        assert "50.0% of the test targets are candidates of their user" in caplog.text

    def test_users_without_candidates_are_refused(self, protocol):
        with pytest.raises(UserError, match="1 of 3 validation users have no candidate, e"):
            protocol(self.ROWS[:-1])

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            (None, "evaluation.path: missing; name a Parquet or CSV file"),
            ("pairs.xlsx", "got suffix '.xlsx', expected .parquet or .csv"),
            ("absent.csv", "absent.csv: cannot be read as a table with columns user_id"),
            ("other.csv", "other.csv: cannot be read as a table with columns user_id"),
        ],
    )
    def test_unreadable_files(self, path, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "other.csv").write_text("user,item\n1,2\n")
        protocol = CandidateFile(CandidateFile.Config(**SHARED, path=path))
        with pytest.raises(UserError) as caught:
            protocol.attach(data())
        assert message in str(caught.value)
