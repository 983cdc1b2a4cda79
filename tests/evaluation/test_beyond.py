"""Metrics beyond accuracy against hand-computed numbers, SciPy and NumPy formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy import stats

from recsys_lab.config import UserError, config_dir
from recsys_lab.config.choice import chosen_values
from recsys_lab.config.schema import schema_of_target
from recsys_lab.evaluation.metrics.names import ACCURACY, BEYOND
from recsys_lab.evaluation.metrics.registry import known, make_beyond
from tests.evaluation.batches import catalogue, ranked, users

CATEGORIES = [[0], [0, 1], [1], [2], []]
"""Of five items."""


def value(name, lists, *, k=2, items=None, histories=None, targets=None) -> float:
    items = items or catalogue([8, 4, 2, 1, 0], CATEGORIES)
    batch = users(histories or [[0]] * len(lists), targets or [[0]] * len(lists))
    (metric,) = make_beyond([name], [k], items).values()
    metric.update(batch, ranked(lists))
    return float(metric.compute())


@pytest.mark.parametrize("name", ["full_ranking", "sampled_candidates", "candidate_file"])
def test_the_configs_know_every_metric(name):
    """Read from the source alone, as the check of a config does."""
    target = OmegaConf.load(config_dir() / "evaluation" / f"{name}.yaml")._target_
    types = schema_of_target(target).types
    for option, choice in (("metrics", ACCURACY), ("beyond_accuracy", BEYOND)):
        [(_, _, found)] = chosen_values(["x"], types[option], option)
        assert (found.names, found.renamed) == (choice.names, choice.renamed)


def test_the_table_of_names_and_the_classes_agree():
    assert len(known()) == len(ACCURACY.names) + len(BEYOND.names)
    assert {name: kind.name for name, kind in known().items()} == {name: name for name in known()}
    assert all(isinstance(kind.higher_is_better, bool) for kind in known().values())


@pytest.mark.parametrize(
    ("name", "lists", "expected"),
    [
        ("coverage", [[0, 1], [1, 2]], 3 / 5),
        ("coverage", [[0, 1, 4], [0, 1, 3]], 2 / 5),  # the third place does not count
        # Shown 0, 0, 1, 1, 2: (0 + 0 + 0 + 2 + 8) / (5 * 4).
        ("gini", [[0, 1], [0, 2]], (2 + 8) / 20),
        ("gini", [[0, 1], [2, 3], [4]], 0.0),
        ("entropy", [[0, 1], [0, 2]], 1.5),
        ("entropy", [[0], [0]], 0.0),
        # 15 events: log2(15 / 8) and so on; the item without events counts as one with 1.
        ("novelty", [[0, 1]], (math.log2(15 / 8) + math.log2(15 / 4)) / 2),
        ("novelty", [[3, 4], [0]], (math.log2(15) + math.log2(15 / 8)) / 2),
        ("popularity", [[0, 1], [3]], (6 + 1) / 2),
        # Categories {0} {0, 1}: 1 - 1/2; {0} {1}: 1; no pair in the third list.
        ("category_diversity", [[0, 1], [0, 2], [0, 4]], 0.75),
    ],
)
def test_by_hand(name, lists, expected):
    assert value(name, lists) == pytest.approx(expected)


def test_an_empty_list_is_left_out():
    assert value("popularity", [[0, 1], []]) == 6.0
    assert value("repeat_share", [[0, 1], []]) == 0.5
    assert math.isnan(value("coverage", [[]]))


def test_popularity_lift_is_a_ratio_of_means():
    """Lists 6 and 1; histories (8 + 2) / 2 and 4, a repeated event counting twice."""
    got = value("popularity_lift", [[0, 1], [3]], histories=[[0, 2], [1, 1]])
    assert got == pytest.approx(3.5 / 4.5 - 1)


def test_embedding_diversity():
    items = catalogue([1, 1, 1, 1], embeddings=[[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    assert value("embedding_diversity", [[0, 1, 2]], k=3, items=items) == pytest.approx(4 / 3)
    assert value("embedding_diversity", [[0, 3]], items=items) == pytest.approx(1.0)


def test_serendipity_counts_hits_that_popularity_would_not_show():
    """Items 0 and 1 are the two most popular: of the hits 0 and 3 only 3 is unexpected."""
    assert value("serendipity", [[0, 3], [1, 0]], targets=[[0, 3], [0]]) == 0.25


def test_repeat_share():
    assert value("repeat_share", [[0, 1], [2, 3]], histories=[[0, 0, 3], [1]]) == 0.25


def test_miscalibration_by_hand():
    """History: categories 0 and 1 by 3 to 1 (item 1 is half of each); the list shows 1 alone."""
    got = value("miscalibration", [[2]], histories=[[0, 1]])
    expected = 0.75 * math.log(0.75 / (0.01 * 0.75)) + 0.25 * math.log(0.25 / (0.99 + 0.0025))
    assert got == pytest.approx(expected)
    assert value("miscalibration", [[0, 1]], histories=[[1, 0]]) == pytest.approx(0.0)
    assert value("miscalibration", [[4]], histories=[[0]]) == pytest.approx(math.log(100))
    assert math.isnan(value("miscalibration", [[0]], histories=[[4]]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_random_lists(seed):
    """Other formulas for the same numbers, and all bounds."""
    rng = np.random.default_rng(seed)
    size, k, number = int(rng.integers(6, 20)), int(rng.integers(2, 6)), int(rng.integers(1, 9))
    counts = rng.integers(0, 30, size)
    counts[0] += 1
    shown = np.stack([rng.permutation(size)[:k] for _ in range(number)])
    labels = rng.integers(0, 4, size)
    items = catalogue(counts.tolist(), [[int(label)] for label in labels], rng.random((size, 3)))
    histories = [rng.integers(0, size, rng.integers(1, 9)).tolist() for _ in range(number)]
    targets = [[int(rng.integers(size))] for _ in range(number)]

    def of(name):
        return value(name, shown.tolist(), k=k, items=items, histories=histories, targets=targets)

    exposure = np.bincount(shown.ravel(), minlength=size)
    differences = np.abs(exposure[:, None] - exposure[None, :]).mean()
    assert of("gini") == pytest.approx(differences / 2 / exposure.mean())
    assert of("entropy") == pytest.approx(stats.entropy(exposure, base=2))
    assert of("coverage") == np.count_nonzero(exposure) / size
    unlike = [
        np.mean([labels[a] != labels[b] for i, a in enumerate(row) for b in row[i + 1 :]])
        for row in shown
    ]
    assert of("category_diversity") == pytest.approx(np.mean(unlike))
    divergences = []
    for row, history in zip(shown, histories, strict=True):
        p = np.bincount(labels[history], minlength=4) / len(history)
        q = 0.99 * np.bincount(labels[row], minlength=4) / k + 0.01 * p
        divergences.append(stats.entropy(p[p > 0], q[p > 0] / q[p > 0].sum())
                           - math.log(q[p > 0].sum()))  # fmt: skip
    assert of("miscalibration") == pytest.approx(np.mean(divergences), abs=1e-9)
    bounds = {
        "coverage": (0, 1), "gini": (0, 1 - 1 / size), "entropy": (0, math.log2(size)),
        "novelty": (0, math.log2(counts.sum())), "popularity": (0, counts.max()),
        "popularity_lift": (-1, math.inf), "category_diversity": (0, 1),
        "embedding_diversity": (0, 2), "serendipity": (0, 1 / k), "repeat_share": (0, 1),
        "miscalibration": (0, math.log(100)),
    }  # fmt: skip
    assert set(bounds) == set(BEYOND.names)
    for name, (low, high) in bounds.items():
        if name != "popularity_lift" or counts[np.concatenate(histories)].any():
            assert low - 1e-9 <= of(name) <= high + 1e-9, name


@pytest.mark.parametrize("name", sorted(BEYOND.names))
def test_users_met_twice_count_once_in_any_order(name):
    items = catalogue([8, 4, 2, 1, 0], CATEGORIES, np.eye(5))
    histories, targets = [[0, 1], [2], [3, 3]], [[3], [2], [1]]
    lists = [[2, 3], [0, 2], [0, 1]]
    once, twice = (make_beyond([name], [2], items)[f"{name}@2"] for _ in range(2))
    once.update(users(histories, targets), ranked(lists))
    for user in (2, 0, 1, 0):
        one = users([histories[user]], [targets[user]], first=user)
        twice.update(one, ranked([lists[user]]))
    assert float(twice.compute()) == float(once.compute())


@pytest.mark.parametrize(
    ("name", "k", "message"),
    [
        ("miscalibration", 5, "evaluation.category_feature=item.category"),
        ("category_diversity", 5, "needs item categories"),
        ("embedding_diversity", 5, "evaluation.embeddings_path"),
    ],
)
def test_what_a_metric_lacks_is_told(name, k, message):
    with pytest.raises(UserError, match=message):
        make_beyond([name], [k], catalogue([1, 2]))


def test_diversity_of_one_place_is_refused():
    with pytest.raises(UserError, match="needs k >= 2"):
        make_beyond(["category_diversity"], [1], catalogue([1], [[0]]))
