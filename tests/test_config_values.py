"""Options against their types: bounds, words, near misses."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from recsys_lab.config.errors import closest
from recsys_lab.config.values import describe, problem_with


@given(st.integers(-5, 15))
def test_bounds_agree_with_arithmetic(value):
    annotation = Annotated[int, Gt(0), Le(10)]
    assert (problem_with(value, annotation) is None) == (0 < value <= 10)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_plain_types_are_strict(value):
    kinds = {bool: bool, int: int, float: (float, int), str: str}
    for annotation, accepted in kinds.items():
        fits = isinstance(value, accepted) and (annotation is bool or not isinstance(value, bool))
        assert (problem_with(value, annotation) is None) == fits
        assert (problem_with(value, annotation | None) is None) == (fits or value is None)


def test_types_in_words():
    assert describe(dict[str, float]) == "a mapping of text to a float"
    assert describe(Annotated[float, Ge(0), Lt(1)] | None) == "a float >= 0 and < 1 or null"
    assert describe(list[Literal["a", "b"]]) == "a list, each item one of 'a', 'b'"


def test_nan_is_in_no_range():
    assert problem_with(float("nan"), Annotated[float, Gt(0)]) is not None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("num_layer", "num_layers"), ("num-layers", "num_layers"), ("Layers", "num_layers")],
)
def test_closest(typed, meant):
    assert closest(typed, ["num_layers", "dropout", "norm"]) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ml-1m", "movielens_1m"), ("ML_100k", "movielens_100k"), ("ml-20m", None), ("ml", None),
     ("am-1m", None)],
)  # fmt: skip
def test_closest_knows_names_cut_short(typed, meant):
    names = ["movielens_1m", "movielens_10m", "movielens_100k", "online_retail"]
    assert closest(typed, names) == meant


def test_closest_does_not_guess_wildly():
    assert closest("zebra", ["num_layers", "dropout"]) is None
