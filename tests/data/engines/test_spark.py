"""What is Spark's own: its folder, secrets, masters, damaged pages."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.engines.spark import Spark
from recsys_lab.data.preparation.row_filters import Filters
from tests.data.conftest import LOG, build
from tests.data.splits.test_given import assert_stated_alike

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_spark_without_a_master_it_can_reach(make):
    from recsys_lab.data.engines.spark import Spark

    class Refusing:
        def appName(self, _):
            return self

        master = appName

        def config(self, *_):
            return self

        def getOrCreate(self):
            raise RuntimeError("Java gateway process exited\nmore")

    engine = make(Spark, "engine", "spark", master="spark://nowhere:7077")
    with pytest.raises(UserError, match=r"spark://nowhere:7077 could not be started \(Java gate"):
        engine._start(Refusing())


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_a_damaged_page_is_told(run, table, tmp_path, engine):
    file = tmp_path / "log.parquet"
    rows = 5000
    ids = [f"user {n % 7} {n}" for n in range(rows)]
    pl.DataFrame({"user_id": ids, "item_id": range(rows), "timestamp": range(rows)}).write_parquet(
        file, compression="uncompressed", use_pyarrow=True
    )
    data = bytearray(file.read_bytes())
    data[40:4000] = b"\xff" * 3960
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"(could not be read completely|cannot be read)"):
        run(table(file), engine=engine)
    assert not (tmp_path / "prepared").exists() or not list((tmp_path / "prepared").iterdir())


def test_spark_uses_a_shared_folder_and_leaves_it_empty(table, make, tmp_path):
    from recsys_lab.data.engines.spark import Spark
    from recsys_lab.data.preparation.contents import Preparation
    from recsys_lab.data.prepare import prepare
    from recsys_lab.data.splits.leave_one_out import LeaveOneOut

    shared = tmp_path / "shared"
    shared.mkdir()
    engine = make(Spark, "engine", "spark", staging_dir=shared.as_uri())
    parts = Preparation(
        make(Filters, "filter", "default"), make(LeaveOneOut, "split", "leave_one_out"), engine
    )
    data = prepare(table(LOG), parts, tmp_path / "prepared", "log")
    assert data.items.tolist() == [1, 2, 3, 0, 2, 1, 3, 3]
    assert list(shared.iterdir()) == []


def test_sparks_secrets_come_from_the_environment(monkeypatch):
    class Asked(dict):
        """Stands for Spark's builder: `getOrCreate` gives the properties it was told."""

        def __getattr__(self, name):
            return lambda *_words: self if name != "getOrCreate" else dict(self)

        def config(self, key, value):
            self[key] = value
            return self

    key = "spark.hadoop.fs.s3a.secret.key"
    engine = build(Spark, "engine", "spark", settings_env={key: "SHOP_SECRET"})
    monkeypatch.setenv("SHOP_SECRET", "c4nary-9")
    assert engine._start(Asked())[key] == "c4nary-9"
    monkeypatch.delenv("SHOP_SECRET")
    with pytest.raises(UserError, match=r"engine.settings_env: .*SHOP_SECRET: this environment"):
        engine._start(Asked())


@pytest.mark.parametrize("option", ["settings", "settings_env"])
@pytest.mark.parametrize(
    "key",
    [
        "spark.driver.extraJavaOptions",
        "spark.jars.packages",
        "spark.plugins",
        "spark.submit.pyFiles",
    ],
)
def test_properties_of_spark_that_run_code_may_not_stand_in_a_config(option, key):
    with pytest.raises(UserError, match=rf"engine.{option}: '{key}' may not be set in a config"):
        build(Spark, "engine", "spark", **{option: {key: "HOME"}})


def test_spark_reads_the_parts_of_a_published_split(table, run, tmp_path):
    ours = assert_stated_alike(table, run, tmp_path, "spark", sources=2)
    other = tmp_path / "other"
    other.mkdir()
    theirs = assert_stated_alike(table, run, other, "polars", sources=1)
    assert theirs.fingerprint == ours.fingerprint
