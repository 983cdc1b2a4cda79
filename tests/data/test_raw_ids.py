"""Raw ids are found by their text, whatever their type."""

import numpy as np
import polars as pl
import pytest

from recsys_lab.data.raw_ids import RawIds


@pytest.mark.parametrize("given", [[7, 1], ["7", "1"], [7.0, 1.0], [np.float32(7), np.int64(1)]])
def test_whole_floats_are_integers(given):
    ids = RawIds(pl.Series(["1", "2.5", "7"]))
    assert ids.indices(given).tolist() == [2, 0]
    assert ids.indices(pl.Series(given, strict=False)).tolist() == [2, 0]
    assert ids.indices([2.5, None, "7.0", float("nan")]).tolist() == [1, -1, -1, -1]


def test_text_of_a_whole_decimal_is_an_integer():
    whole, text = RawIds(pl.Series([7, 1])), RawIds(pl.Series(["7", "1.0"]))
    for given in (["7.0", "1", "1.5", None], pl.Series(["7.00", "1", "1.5", None])):
        assert whole.indices(given).tolist() == [0, 1, -1, -1]
    assert text.indices(["7.0", "1.0"]).tolist() == [-1, 1]
    many = pl.Series([f"{n % 2 * 6 + 1}.0" for n in range(5000)])
    assert set(whole.indices(many).tolist()) == {0, 1}
