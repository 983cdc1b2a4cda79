"""The Spark engine: on one or many machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.config.environment import environment_value
from recsys_lab.data.engines.base import FILE, NUMBER, PLACE, ROW, ROWS_A_FILE, Frame, stage
from recsys_lab.data.raw import ParquetLog

_ALLOWED = re.compile(
    r"spark\.((driver|executor)\.(memory|memoryOverhead|cores|instances|maxResultSize)"
    r"|cores\.max|task\.cpus|default\.parallelism|local\.dir|network\.timeout|memory\.[\w.]+"
    r"|dynamicAllocation\.\w+|ui\.(enabled|port|showConsoleProgress)|log\.level"
    r"|sql\.(shuffle\.partitions|files\.\w+|autoBroadcastJoinThreshold|adaptive\.[\w.]+))"
)
"""Properties that a config may set: a config must not be able to run code."""
_SECRET = re.compile(r"spark\.(hadoop\.(fs|google)\.[\w.-]+|[\w.-]*[pP]assword|[\w.-]*[sS]ecret)")
"""Properties that a config may set by naming an environment variable."""


class Spark:
    """For logs too large for one machine. Needs the extra ``spark`` and Java.

    Args:
        config: the master and its settings.
    """

    name = "spark"

    @dataclass(frozen=True)
    class Config:
        """Options of `Spark`.

        Attributes:
            master: e.g. local[2], yarn, spark://host:7077; null: that of spark-submit or
                spark-defaults.conf.
            staging_dir: a folder or URL that this process and all workers can read and write;
                null: a folder below prepared_dir, which is enough for a local master.
            settings: Spark properties of memory, cores and partitions, e.g.
                +engine.settings={spark.executor.memory: 8g}. Set all others, some of which run
                code (Java options, packages, plugins), in spark-defaults.conf.
            settings_env: properties with a secret -> environment variable that holds it, e.g.
                +engine.settings_env={spark.hadoop.fs.s3a.secret.key: AWS_SECRET_ACCESS_KEY}.
        """

        master: str | None
        staging_dir: str | None
        settings: dict[str, str]
        settings_env: dict[str, str] = field(default_factory=dict, kw_only=True)

    def __init__(self, config: Config) -> None:
        self._refuse(config.settings, "settings", _ALLOWED, "memory, cores, partitions, timeouts")
        self._refuse(
            config.settings_env, "settings_env", _SECRET, "spark.hadoop.fs.*, passwords, secrets"
        )
        self.config = config

    @staticmethod
    def _refuse(
        settings: Mapping[str, str], option: str, allowed: re.Pattern[str], words: str
    ) -> None:
        refused = [key for key in settings if not allowed.fullmatch(key)]
        if refused:
            raise UserError(
                f"engine.{option}: {', '.join(map(repr, refused))} may not be set in a config, as "
                f"many of Spark's properties run code. Allowed: {words}; set all others in "
                "spark-defaults.conf"
            )

    @contextmanager
    def open(self, scratch: Path) -> Iterator[SparkSession]:
        """Start a Spark session, or join the running one."""
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession as Builder
        except ImportError as error:
            raise UserError(
                f"engine=spark needs pyspark: {install_hint('spark')}, and Java 17"
            ) from error
        running = Builder.getActiveSession()
        try:
            session = running or self._start(Builder.builder)
            with closing(SparkSession(session, scratch, self.config.staging_dir)) as opened:
                yield opened
        except PySparkException as error:
            raise UserError(f"engine=spark: {first_line(error)}") from error
        finally:
            if running is None and (started := Builder.getActiveSession()) is not None:
                started.stop()

    def _start(self, builder: Any) -> Any:
        builder = builder.appName("recsys-lab prepare")
        if self.config.master is not None:
            builder = builder.master(self.config.master)
        settings = {
            "spark.sql.session.timeZone": "UTC",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
            **self.config.settings,
            **{
                key: environment_value(variable, f"engine.settings_env: {key}: {variable}")
                for key, variable in self.config.settings_env.items()
            },
        }
        for key, value in settings.items():
            builder = builder.config(key, value)
        try:
            return builder.getOrCreate()
        except Exception as error:  # py4j raises its own kinds, pyspark RuntimeError without Java
            raise UserError(
                f"engine=spark: a session on engine.master={self.config.master} could not be "
                f"started ({first_line(error)}). It needs Java 17 (JAVA_HOME) and a reachable "
                "master"
            ) from error


class SparkSession:
    """See `recsys_lab.data.engines.base.Session`."""

    def __init__(self, session: Any, scratch: Path, staging_dir: str | None) -> None:
        self._session = session
        self._scratch = scratch
        own = str(scratch.resolve())
        self._staging = f"{staging_dir.rstrip('/')}/{scratch.name}" if staging_dir else own
        self._is_shared = staging_dir is not None
        self._kept: list[Any] = []

    def scan(self, log: pl.DataFrame | pl.LazyFrame | ParquetLog) -> Frame:
        """The log; rows are numbered by file and row in it."""
        from pyspark.sql import functions as F

        if isinstance(log, ParquetLog):
            files = [f if "://" in f else str(Path(f).resolve()) for f in log.files]
        else:
            files = [stage(log, self._staging)]
        frame = self._session.read.parquet(*map(_escaped, files))
        file_path = F.col("_metadata.file_path").alias(FILE)
        frame = frame.select("*", file_path, F.col("_metadata.row_index").alias(PLACE))
        # Spark escapes file names: match its spelling of each.
        order = {_bare(file): number for number, file in enumerate(files)}
        spelt = [row[FILE] for row in frame.select(FILE).distinct().collect()]
        file_numbers = [order[_bare(unquote(name))] for name in spelt]
        numbers = pa.table({FILE: spelt, NUMBER: file_numbers})
        frame = frame.join(F.broadcast(self._session.createDataFrame(numbers)), on=FILE)
        scanned: Frame = nw.from_native(frame)
        row = (nw.col(NUMBER) * ROWS_A_FILE + nw.col(PLACE)).alias(ROW)
        if isinstance(log, ParquetLog):
            return scanned.select(row, **log.columns)
        return scanned.with_columns(row).drop(FILE, PLACE, NUMBER)

    def table(self, table: pa.Table) -> Frame:
        """Send a table to the workers."""
        sent: Frame = nw.from_native(self._session.createDataFrame(table))
        return sent

    def keep(self, frame: Frame) -> Frame:
        """Cache a frame on the workers' disks."""
        from pyspark import StorageLevel

        self._kept.append(frame.to_native().persist(StorageLevel.DISK_ONLY))
        kept: Frame = nw.from_native(self._kept[-1])
        return kept

    def ordered(self, frame: Frame, by: Sequence[str]) -> Frame:
        """The rows by some columns, then by `ROW`."""
        return frame.sort(*by, ROW).drop(ROW)

    def batches(self, frame: Frame) -> Iterator[pa.RecordBatch]:
        """Rows that the workers write in parts, read here in the order of the parts."""
        target = f"{self._staging}/sorted"
        frame.to_native().write.parquet(target)
        import fsspec

        files, path = fsspec.core.url_to_fs(target)
        names = files.ls(path, detail=False)
        for part in sorted(name for name in names if name.endswith(".parquet")):
            with files.open(part, "rb") as stream:
                yield from pq.ParquetFile(stream).iter_batches()

    def close(self) -> None:
        """Free the workers' disks and remove the shared folder; its owner removes the scratch."""
        for kept in self._kept:
            kept.unpersist()
        if self._is_shared:
            import fsspec

            files, path = fsspec.core.url_to_fs(self._staging)
            if files.exists(path):
                files.rm(path, recursive=True)


def _escaped(file: str) -> str:
    """Escape a name so that Hadoop does not read it as a pattern."""
    return re.sub(r"([\\{}\[\]*?^])", r"\\\1", file)


def _bare(file: str) -> str:
    """A file's name without its scheme, which Spark may spell differently (s3, s3a, file:)."""
    scheme, colon, rest = file.partition(":")
    return "/" + (rest if colon and scheme.isalnum() else file).lstrip("/")
