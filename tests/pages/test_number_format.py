"""Numbers of one column, and numbers with their nouns."""

import pytest

from recsys_lab.pages.number_format import counted, decimals


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.1281, 0.123], ["0.1281", "0.1230"]),
        ([1000.0, 20.0], ["1,000", "20"]),
        ([3.0, 1234.56], ["3.0", "1,234.6"]),
        ([0.5, float("nan")], ["0.5000", "nan"]),
    ],
)
def test_a_column_has_one_precision(values, shown):
    assert decimals(values) == shown


def test_decimals_may_be_given_and_whole_numbers_have_none():
    assert decimals([3, 3.5, 4], places=2) == ["3.00", "3.50", "4.00"]
    assert decimals([3, 4], places=2) == ["3", "4"]


def test_one_is_singular():
    assert [counted(n, "trial") for n in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
