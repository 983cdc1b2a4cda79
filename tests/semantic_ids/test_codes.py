"""Codes without vectors, duplicates, diagnostics, churn."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from recsys_lab.config import UserError
from recsys_lab.semantic_ids.base import Codes, Items
from recsys_lab.semantic_ids.category_tree import CategoryTree
from recsys_lab.semantic_ids.churn import adjusted_rand
from recsys_lab.semantic_ids.diagnostics import diagnose, nmi, refuse_collapsed
from recsys_lab.semantic_ids.duplicates import deduplicated, extended
from recsys_lab.semantic_ids.one_code import OneCode
from recsys_lab.semantic_ids.random_codes import RandomCodes


class Column:
    """An item column, and no other: texts, lists of codes with values a, b, c, or categories."""

    def __init__(self, kind, values, cardinality=None):
        self.kind, self.stored, self.cardinality = kind, values, cardinality

    def names(self):
        return ["item.kind"]

    def entry(self, name):
        assert name == "item.kind"
        return {"type": self.kind, "cardinality": self.cardinality}

    def text(self, _):
        return self.stored

    def values(self, _):
        return ["a", "b", "c"]

    def column(self, _):
        if self.kind == "categorical":
            return np.array(self.stored)
        flat = np.concatenate([np.array(codes, dtype=int) for codes in self.stored])
        return flat, np.cumsum([0, *map(len, self.stored)])


def tree(values, kind="text", known=None, **options):
    """The codes of a category tree."""
    config = {"column": "kind", "separator": " > ", "levels": None, "deduplicate": None, **options}
    data = SimpleNamespace(num_items=len(values), features=Column(kind, values))
    known = np.ones(len(values)) if known is None else np.array(known)
    return CategoryTree(CategoryTree.Config(**config)).quantise(Items(data, known > 0))


def test_a_tree_of_texts():
    codes = tree(["Beauty > Skin > Face", "Beauty > Hair", "Toys", None, " Toys ", "Games > Hair"])
    assert codes.num_codes == (4, 3, 2)
    assert codes.codes_VL.tolist() == [
        [1, 2, 1],
        [1, 1, 0],
        [3, 0, 0],
        [0, 0, 0],
        [3, 0, 0],
        [2, 1, 0],
    ]
    assert codes.notes == {"items_without_category": 1}
    assert tree(["a > b > c", "a"], levels=2).codes_VL.tolist() == [[1, 1], [1, 0]]


def test_a_tree_of_lists_and_of_categories_that_training_does_not_have():
    codes = tree([[2, 4], [3], [], [1, 4]], "list")  # 1 is unknown: no item of training has it
    assert codes.codes_VL.tolist() == [[1, 1], [2, 0], [0, 0], [0, 1]]
    codes = tree(["a > x", "b > y", "new > y"], known=[1, 1, 0])
    assert codes.num_codes == (3, 3)
    assert codes.codes_VL[2].tolist() == [0, 2]


def test_trees_that_are_refused():
    with pytest.raises(UserError, match="no item with training events has a category"):
        tree([None, "a"], known=[1, 0])
    with pytest.raises(UserError, match="the longest path in kind has 2 categories; use at most"):
        tree(["a > b"], levels=3)


CODES = np.array([[1, 0], [0, 0], [1, 0], [1, 0], [0, 1]])


def test_duplicates_are_numbered_by_training_events_then_raw_id():
    codes = deduplicated(Codes(CODES, (2, 2)), 3, np.array([5, 9, 7, 5, 0]), [30, 5, 8, 20, 1])
    assert codes.num_codes == (2, 2, 3)
    assert codes.codes_VL[:, 2].tolist() == [2, 0, 0, 1, 0]
    assert len(np.unique(codes.codes_VL, axis=0)) == 5
    with pytest.raises(UserError, match=r"got 2, but 3 items share the codes \[1, 0\]; use at l"):
        deduplicated(Codes(CODES, (2, 2)), 2, np.zeros(5), list("abcde"))


def test_agreement_is_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 200), rng.integers(0, 9, 200)
    b[:100] = a[:100]
    assert nmi(a, b) == pytest.approx(normalized_mutual_info_score(a, b))
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert nmi(a, a) == adjusted_rand(a, a) == pytest.approx(1)


def shop(num_items, histories, kinds):
    """A dataset with these training histories, and a categorical column."""
    lengths = list(map(len, histories))
    ends = np.cumsum(lengths)
    segments = np.stack([np.arange(len(histories)), ends - lengths, ends], 1)
    flat = np.concatenate(histories)
    return SimpleNamespace(
        num_items=num_items,
        items=flat,
        segments=lambda phase: {"train": segments}[phase],
        training_item_counts=lambda: np.bincount(flat, minlength=num_items),
        item_titles=lambda: [f"title {n}" for n in range(num_items)],
        features=Column("categorical", kinds, max(kinds) + 1),
    )


def test_diagnostics_by_hand():
    histories = [[0, 1, 2], [4, 3], [2], [1, 1, 0]]
    data = shop(5, histories, kinds=[2, 3, 2, 2, 0])
    before = Codes(CODES, (3, 2), {"error": 0.5})
    codes = deduplicated(before, 3, data.training_item_counts(), list(range(5)))
    found = diagnose(codes, before, data, None)
    assert found["items"] == found["items_with_training_events"] == 5
    assert found["collisions"] == {"items": 3, "share": 0.6, "largest": 3}
    assert found["shared"] == {"items": 0, "share": 0.0, "largest": 1}
    first, second, third = found["levels"]
    assert (first["codes"], first["live"], first["prefixes"]) == (3, 2, 2)
    assert first["perplexity"] == pytest.approx(np.exp(entropy([2, 3])))
    assert first["largest_items_share"] == 0.6
    assert first["largest_events_share"] == pytest.approx(5 / 9)  # items 0, 2 and 3
    assert first["items_by_code"] == [3, 2, 0]
    assert (second["mean_fan_out"], second["largest_fan_out"]) == (1.5, 2)
    assert (third["prefixes"], third["largest_fan_out"]) == (5, 3)
    [kind] = found["categories"]
    assert (kind["column"], kind["items"]) == ("item.kind", 4)  # item 4 has none
    assert kind["levels"][0]["nmi"] == pytest.approx(
        normalized_mutual_info_score([1, 0, 1, 1], [2, 3, 2, 2])
    )
    # Neighbours: (0, 1), (1, 2), (4, 3), (1, 0); the repeat (1, 1) counts as none.
    assert [level["share"] for level in found["neighbours"]] == [0, 0]
    left, right = [0, 1, 4, 1], [1, 2, 3, 0]
    pairs = [(a, b) for a in left for b in right if a != b]
    expected = np.mean([CODES[a, 0] == CODES[b, 0] for a, b in pairs])
    assert found["neighbours"][0]["by_chance"] == pytest.approx(expected)
    assert found["examples"][0]["titles"] == ["title 0", "title 2", "title 3"]
    assert found["learned"] == {"error": 0.5}


def test_examples_are_nearest_to_the_mean():
    data = shop(5, [[0, 1]], kinds=[2, 2, 2, 2, 2])
    vectors = np.array([[0.0], [0], [3], [2], [0]], dtype=np.float32)
    found = diagnose(Codes(CODES, (2, 2)), Codes(CODES, (2, 2)), data, vectors)
    assert found["examples"][0]["titles"] == ["title 3", "title 2", "title 0"]  # the mean is 5 / 3


def test_a_collapse_is_refused_and_dead_codes_are_told(caplog):
    vectors, known = np.eye(5, dtype=np.float32), np.array([1, 1, 1, 1, 0]) > 0
    same = np.array([[2, 1]] * 4 + [[0, 0]])
    with pytest.raises(UserError, match="have collapsed: all 4 items with training events have"):
        refuse_collapsed(Codes(same, (3, 2)), vectors, known)
    refuse_collapsed(Codes(CODES, (5, 3)), vectors, known)
    assert "only 2 of the 5 codes of level 1 have an item" in caplog.text
    assert "only 1 of the 3 codes of level 2" in caplog.text  # the other is of an unknown item


def test_numbers_of_known_items_are_kept_and_new_ones_get_the_lowest_free():
    #            kept number 1, new, kept number 0 of others, new, new
    codes = Codes(np.array([[5, 5], [5, 5], [2, 2], [2, 2], [5, 5]]), (8, 8))
    made = extended(codes, np.array([1, -1, 0, -1, -1]), 2, 9)
    assert made.codes_VL[:, 2].tolist() == [1, 0, 0, 1, 2]
    assert made.num_codes == (8, 8, 3)
    assert extended(codes, np.array([1, -1, 0, -1, -1]), 7, 9).num_codes == (8, 8, 7)
    with pytest.raises(
        UserError, match=r"deduplicate: got 2, but 3 items share the codes \[5, 5\]"
    ):
        extended(codes, np.array([1, -1, 0, -1, -1]), 2, 2)


def test_random_and_single_codes_of_known_items_are_kept():
    kept = np.array([[3, 1], [-1, -1], [0, 2]])
    data = SimpleNamespace(num_items=3)
    drawn = RandomCodes(RandomCodes.Config(None, 2, 4, 0)).extend(
        Items(data, np.ones(3, bool)), Codes(kept, (4, 4))
    )
    assert drawn.codes_VL[[0, 2]].tolist() == [[3, 1], [0, 2]]
    assert (drawn.codes_VL[1] >= 0).all()
    single = OneCode(OneCode.Config(None)).extend(
        Items(data, np.ones(3, bool)), Codes(np.array([[4], [-1], [0]]), (5,))
    )
    assert (single.codes_VL[:, 0].tolist(), single.num_codes) == ([4, 5, 0], (6,))
