"""Events from Hugging Face ``datasets``: an id on the Hub, or a local folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys_lab.config import UserError, first_line
from recsys_lab.data.columns.conditions import Condition
from recsys_lab.data.formats.paths import file_key, require_option
from recsys_lab.data.formats.staging import stage_batches, staging_folder
from recsys_lab.data.raw import PART, RawData
from recsys_lab.data.sources.options import ColumnOptions
from recsys_lab.data.sources.staged_table import read_mapped
from recsys_lab.files.faults import MachineFault, out_of_space

ROWS_A_BATCH = 50_000


class Hub:
    """Reads one split as events, or three as the parts of a published split.

    Code in the dataset's repository is never run.

    Args:
        config: the dataset and its columns.
    """

    @dataclass(frozen=True)
    class Config(ColumnOptions):
        """Options of `Hub`.

        Attributes:
            path: an id on the Hub (owner/name), a folder of data files, or one that
                ``Dataset.save_to_disk`` wrote.
            name: configuration of the dataset; null: its only one.
            hub_split: the split to read, e.g. train.
            validation_split: with split=given, the split of the dataset for the validation part;
                ``hub_split`` is then the training part. null for none.
            test_split: likewise for the test part.
            revision: commit, tag or branch on the Hub; null: the newest.
            streaming: read without storing a copy in the cache of ``datasets``.
        """

        path: str | None
        name: str | None
        hub_split: str
        validation_split: str | None = field(default=None, kw_only=True)
        test_split: str | None = field(default=None, kw_only=True)
        revision: str | None
        streaming: bool

    def __init__(self, config: Config) -> None:
        self.config = config
        self.where_conditions: Sequence[Condition] = ()
        self.staging_root: Path | None = None
        self._staged: Path | None = None
        options = {"train": "hub_split", "validation": "validation_split", "test": "test_split"}
        given = {part: (option, getattr(config, option)) for part, option in options.items()}
        self._splits = {part: pair for part, pair in given.items() if pair[1] is not None}
        if len(self._splits) == 2 or (len(self._splits) > 2 and config.part_column):
            raise UserError(
                "data.validation_split, data.test_split: a published split needs three splits "
                "(data.hub_split for training and these two), or one split with data.part_column"
            )

    def source_key(self) -> dict[str, Any]:
        """SHA-256 of the split's rows; reads them."""
        return {key: value for key, value in file_key(self._file()).items() if key != "name"}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the rows that `source_key` has staged."""
        setting = f"data.path={self.config.path}"
        config = self.config
        if len(self._splits) > 1:
            config = replace(config, part_column=PART)
        return read_mapped(
            config, {"path": self._file()}, scratch, {"path": setting}, self.where_conditions
        )

    def _file(self) -> Path:
        """The rows as Parquet, in a folder that is removed with this reader."""
        if self._staged is None:
            path = require_option(self.config.path, "data.path", "data.path=owner/name")
            with staging_folder(self) as folder:
                file = folder / "rows.parquet"
                stage_batches(self._batches(path), file, f"data.path={path}")
            self._staged = file
        return self._staged

    def _batches(self, path: str) -> Iterator[Any]:
        for part, (option, split) in self._splits.items():
            # A stream is only read here, so damage also shows here.
            with self._explained(path, f"data.{option}={split}"):
                data = self._load(path, split).with_format("arrow")
                for table in data.iter(ROWS_A_BATCH):
                    if len(self._splits) > 1:
                        table = table.append_column(PART, pa.repeat(part, len(table)))
                    yield from table.combine_chunks().to_batches()

    def _load(self, path: str, split: str) -> Any:
        """One split, as loaded by the library."""
        import datasets

        config = self.config
        folder = Path(path).expanduser()
        if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
            loaded = datasets.load_from_disk(str(folder))
            if not isinstance(loaded, datasets.DatasetDict):
                return loaded
            if split not in loaded:
                raise ValueError(f"Splits: {', '.join(loaded)}")
            return loaded[split]
        return datasets.load_dataset(
            str(folder) if folder.exists() else path,
            config.name,
            split=split,
            revision=config.revision,
            streaming=config.streaming,
        )

    @contextmanager
    def _explained(self, path: str, split: str) -> Iterator[None]:
        """Turn errors of the library into a `UserError`."""
        try:
            yield
        except Exception as error:  # the library does not limit what it raises
            if out_of_space(error) or (error.__cause__ and out_of_space(error.__cause__)):
                raise MachineFault(
                    f"data.path={path}: no space left in the cache of datasets. Free some space, "
                    "choose another folder (HF_HOME=FOLDER recsys-lab ...), or set "
                    "data.streaming=true"
                ) from error
            raise UserError(
                f"data.path={path}, {split}: cannot be loaded by datasets "
                f"({type(error).__name__}: {first_line(error)}). Expected an id on the Hub "
                "(owner/name; needs a network), a folder of data files, or one written by "
                "save_to_disk"
            ) from error
