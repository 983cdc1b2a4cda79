"""Numbers to the last bit, whatever the order of users, the size of batches and the threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch

from recsys_lab.evaluation.metrics.accuracy import METRICS, make_metrics
from recsys_lab.evaluation.metrics.registry import BEYOND, make_beyond
from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.results import Results
from recsys_lab.evaluation.sums import mean, sum_by_size, sum_over_ranks
from tests.evaluation.batches import catalogue, ranked, users

PEOPLE, ITEMS, TAGS, K = 300, 60, 12, 10


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


class Plain(UserMean):
    """The mean of what it is given."""

    def update(self, users_B: torch.Tensor, values_B: torch.Tensor) -> None:
        self.add(users_B, values_B)


def test_the_mean_is_the_exact_one_in_any_order():
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.random(100_003) * 10.0 ** rng.integers(-9, 9, 100_003))
    exact = float(sum(map(Fraction, values.tolist()))) / len(values)
    for number in (1, 2):
        with threads(number):
            for order in (np.arange(len(values)), rng.permutation(len(values))):
                metric = Plain(1)
                for part in np.array_split(order, 3):
                    metric.update(torch.from_numpy(part), values[part])
                assert float(metric.compute()) == mean(values[order]) == exact


def test_zeros_change_no_bit():
    rng = np.random.default_rng(1)
    for size in range(1, 24):
        row = torch.from_numpy(rng.normal(size=(1, size)))
        wider = torch.nn.functional.pad(row, (0, 5))
        assert torch.equal(sum_over_ranks(row), sum_over_ranks(wider))
        assert torch.equal(sum_by_size(row), sum_by_size(wider[:, rng.permutation(size + 5)]))
        assert float(sum_over_ranks(row)) == pytest.approx(float(row.sum()))
    assert sum_over_ranks(torch.zeros(2, 0)).tolist() == [0, 0]


def test_means_and_rows_do_not_depend_on_batches_or_threads():
    rng = np.random.default_rng(2)
    histories = [rng.integers(0, ITEMS, rng.integers(1, 30)).tolist() for _ in range(PEOPLE)]
    targets = [rng.choice(ITEMS, rng.integers(1, 9), False).tolist() for _ in range(PEOPLE)]
    lists = [rng.permutation(ITEMS)[:K].tolist() for _ in range(PEOPLE)]
    tags = [rng.choice(TAGS, rng.integers(0, 5), False).tolist() for _ in range(ITEMS)]
    counts = rng.integers(0, 90, ITEMS).tolist()
    items = catalogue(counts, tags, rng.normal(size=(ITEMS, 33)).tolist())
    found = {}
    for size, number in ((PEOPLE, 1), (PEOPLE, 2), (1, 1), (37, 2)):
        results = Results(sorted(METRICS), [5, K], K, make_beyond(sorted(BEYOND), [K], items))
        with threads(number):
            for first in range(0, PEOPLE, size):
                part = slice(first, first + size)
                batch = users(histories[part], targets[part], first)
                results.update(batch, ranked(lists[part]), keep_lists=True)
            found[size, number] = results.compute(), results.per_user()
    first, *others = found.values()
    assert set(first[0]) == {*make_metrics(METRICS, [5, K]), *(f"{name}@{K}" for name in BEYOND)}
    for means, rows in others:
        assert means == first[0]
        assert rows.equals(first[1])


@pytest.mark.parametrize("name", ["novelty", "entropy", "gini"])
def test_a_large_catalogue_on_more_threads(name):
    """So many items that threads divide them among themselves."""
    size = 70_001
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 10_000, size)
    lists = ranked(np.arange(size - 1).reshape(-1, 10).tolist())
    batch = users([[0]] * len(lists.items_BK), [[0]] * len(lists.items_BK))
    items = catalogue(counts.tolist())
    found = set()
    for number in (1, 2):
        with threads(number):
            (metric,) = make_beyond([name], [7], items).values()
            metric.update(batch, lists)
            found.add(float(metric.compute()))
    assert len(found) == 1
    shown = np.arange(size - 1).reshape(-1, 10)[:, :7].ravel()
    if name == "novelty":
        assert found.pop() == pytest.approx(np.log2(counts.sum() / counts[shown]).mean())
    elif name == "entropy":
        assert found.pop() == pytest.approx(np.log2(len(shown)))
    else:
        assert found.pop() == pytest.approx(1 - len(shown) / size)


def test_a_perfect_list_has_exactly_one():
    for k in (1, 3, 7, 10, 50):
        for number in range(1, k + 3):
            hits = torch.arange(k).unsqueeze(0) < number
            assert float(METRICS["ndcg"](k).per_user(hits, torch.tensor([number]))) == 1.0
