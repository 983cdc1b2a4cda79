"""Rows with a negative quantity: dropped, kept, or not known to be one; told in each case."""

from __future__ import annotations

import shlex

import duckdb
import pytest
import yaml

from recsys_lab.config import UserError
from recsys_lab.data.preparation.own_reader import source_of
from recsys_lab.data.sources.sql import SQL

LOG = "user_id,item_id,timestamp,qty,price\n" + "".join(
    f"u{n % 2},i{n % 5},{1_700_000_000 + 90_000 * n},{-2 if n in (4, 7, 8) else 1},2\n"
    for n in range(12)
)


def test_returns_are_dropped_or_kept_and_told(table, run, tmp_path):
    data = run(table(LOG, quantity_column="qty"))
    (step,) = [entry for entry in data.manifest["counts"] if entry["step"] == "returns"]
    assert (step["dropped"], data.num_interactions) == (3, 9)
    assert step["reason"] == "return (negative quantity); the purchases that it undoes are kept"
    kept = run(table(LOG, quantity_column="qty", keep_returns=True), root=tmp_path / "kept")
    assert kept.num_interactions == 12
    said = "returns: 3 rows with a negative value in column 'qty' count as events like purchases"
    assert kept.manifest["warnings"][0].startswith(said)
    assert "data.keep_returns=false drops them" in kept.manifest["warnings"][0]
    unread = run(table(LOG), root=tmp_path / "unread")
    assert unread.manifest["warnings"][0].startswith(said)
    assert "If they are returns, data.quantity_column=qty drops" in unread.manifest["warnings"][0]
    assert unread.fingerprint == run(table(LOG, price_column="price")).fingerprint
    wanted = run(table(LOG), root=tmp_path / "wanted", where="qty>0")
    assert wanted.num_interactions == 9
    assert not [text for text in wanted.manifest["warnings"] if text.startswith("returns:")]


def test_older_sources_keep_their_identity(table):
    """Datasets that were prepared before there were returns are found."""
    for options in ({}, {"quantity_column": "qty", "keep_returns": True}):
        assert "keep_returns" not in source_of(table(LOG, **options))["config"]
    dropping = source_of(table(LOG, quantity_column="qty"))["config"]
    assert dropping["keep_returns"] is False


def test_columns_of_a_query_are_compared_too(make, run, tmp_path):
    url = f"duckdb:///{tmp_path / 'shop.duckdb'}"
    with duckdb.connect(url.removeprefix("duckdb:///")) as connection:
        connection.execute(
            "CREATE TABLE till AS SELECT (i % 3)::DOUBLE AS who, i AS sku, 100 * i AS moment, "
            "CASE WHEN i % 4 = 0 THEN 'FR' ELSE 'de' END AS land, i % 5 - 1 AS pieces "
            "FROM range(60) rows(i)"
        )
    reader = make(
        SQL, "data", "sql", url=url, query="SELECT * FROM till", user_column="who",
        item_column="sku", timestamp_column="moment", quantity_column="pieces",
    )  # fmt: skip
    data = run(reader, where="land!=fr,moment<1970-01-01T01:00")
    left = [i for i in range(36) if i % 4 and i % 5]
    assert sorted(data.item_ids()) == left


@pytest.mark.parametrize(
    ("column", "advised"),
    [("price", "data.price_column=price"), ("cost", "'data.event_features={cost: numeric}'")],
)
def test_decimal_commas_are_read_as_numbers_by_what_is_advised(table, run, column, advised):
    """The advice, followed, keeps the rows whose number is below 2.5."""
    log = "user_id,item_id,timestamp,price\n" + "".join(
        f'{who},{what},{100 * what},"{what},5"\n' for who in range(3) for what in range(4)
    )
    log = log.replace("price", column)
    with pytest.raises(UserError, match=r"If that is a decimal comma, set (.*)$") as refused:
        run(table(log), where=f"{column}<2.6")
    assert str(refused.value).endswith(f" set data.decimal_comma=true {advised}")
    [override] = shlex.split(advised)
    key, _, value = override.removeprefix("data.").partition("=")
    options = {key: yaml.safe_load(value), "decimal_comma": True}
    data = run(table(log, **options), where=f"{column}<2.6")
    assert sorted(map(str, data.item_ids())) == ["0", "1", "2"]


def test_a_name_that_means_two_columns_is_refused(table, run):
    with pytest.raises(UserError, match=r"the log has no column 'prize'; did you mean 'price'\?"):
        run(table(LOG), where="prize=1")
    reader = table(LOG.replace("qty", "rating"), rating_column="price")
    with pytest.raises(UserError, match=r"'rating' is the lab's name of column 'price' and also"):
        run(reader, where="rating>1")
    assert run(reader, where="price=2").num_interactions == 12
