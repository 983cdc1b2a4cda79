"""Hugging Face ``datasets``: an id on the Hub, or a local folder."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from recsys_lab.config import UserError
from recsys_lab.data.formats.paths import file_key, require_option
from recsys_lab.data.formats.staging import stage_batches, staging_folder
from recsys_lab.data.raw import PART
from recsys_lab.data.sources.staged_table import read_mapped
from recsys_lab.files.faults import MachineFault, out_of_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.data.raw import RawData

ROWS_A_BATCH = 50_000


class Hub:
    """Reads one split as events, or three as the parts of a published split.

    No code of the dataset's repository is run.

    Args:
        config: the dataset and its columns.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Hub`.

        Attributes:
            path: an id on the Hub (owner/name), a folder of data files, or one that
                ``Dataset.save_to_disk`` wrote.
            name: configuration of the dataset; null: its only one.
            hub_split: e.g. train.
            validation_split: with split=given, the dataset's split that is the validation part;
                ``hub_split`` is the training part then. null for none.
            test_split: likewise.
            revision: commit, tag or branch on the Hub; null: the newest.
            streaming: read without storing a copy in the cache of ``datasets``.
            missing_values: words that stand for a missing value; null: the common ones, as with
                data=table.
            id_normalization: differences in spelling that tell no ids apart, as with data=table.
            decimal_comma: whether numbers that are text are written 1.234,5, as with data=table.
            user_column: who; integers or strings.
            item_column: what; integers or strings.
            timestamp_column: when: numbers, dates or datetimes; null: the order of the rows.
            timestamp_unit: of numbers; auto: by their size.
            timestamp_format: of text and whole numbers, as in strptime; null: numbers or ISO 8601.
            order_column: the place in the user's history, integers; null for none.
            event_type_column: what kind of event; null for none.
            part_column: of a published split, the part of every row, for split=given, as with
                data=table; null for none.
            session_column: which visit the event belongs to; null for none. See
                `recsys_lab.data.preparation.event_units`.
            basket_column: which order or receipt the event belongs to; null for none. Without one
                the events of a user at one time are a basket.
            rating_column: null for none.
            price_column: null for none.
            quantity_column: null for none.
            event_features: columns of the events that models may read, with their type.
            item_features: columns of the items, likewise; of the log see data=table. Text of type
                list is split at ``|`` where any value of the column holds one, else at blanks.
            user_features: columns of the users, likewise.
            title_column: item title for people to read; null for none.
        """

        path: str | None
        name: str | None
        hub_split: str
        validation_split: str | None = field(default=None, kw_only=True)
        test_split: str | None = field(default=None, kw_only=True)
        revision: str | None
        streaming: bool
        missing_values: list[str] | None = field(default_factory=list, kw_only=True)
        id_normalization: list[Literal["blanks", "case", "unicode", "decimal"]] = field(
            default_factory=list, kw_only=True
        )
        decimal_comma: bool = field(default=False, kw_only=True)
        user_column: str
        item_column: str
        timestamp_column: str | None
        timestamp_unit: Literal["auto", "s", "ms", "us", "ns"]
        timestamp_format: str | None
        order_column: str | None
        event_type_column: str | None
        part_column: str | None = field(default=None, kw_only=True)
        session_column: str | None = field(default=None, kw_only=True)
        basket_column: str | None = field(default=None, kw_only=True)
        rating_column: str | None
        price_column: str | None
        quantity_column: str | None
        event_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        item_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        user_features: dict[str, Literal["categorical", "numeric", "text", "list"]]
        title_column: str | None

    def __init__(self, config: Config) -> None:
        self.config = config
        self.staging_root: Path | None = None
        self._staged: Path | None = None
        options = {"train": "hub_split", "validation": "validation_split", "test": "test_split"}
        given = {part: (option, getattr(config, option)) for part, option in options.items()}
        self._splits = {part: pair for part, pair in given.items() if pair[1] is not None}
        if len(self._splits) == 2 or (len(self._splits) > 2 and config.part_column):
            raise UserError(
                "data.validation_split, data.test_split: a published split has three splits "
                "(data.hub_split for training and these two), or one with data.part_column"
            )

    def source_key(self) -> dict[str, Any]:
        """SHA-256 of the split's rows; reads them."""
        return {key: value for key, value in file_key(self._file()).items() if key != "name"}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the rows that `source_key` brought here."""
        place = f"data.path={self.config.path}"
        config = self.config
        if len(self._splits) > 1:
            config = replace(config, part_column=PART)
        return read_mapped(config, {"path": self._file()}, scratch, {"path": place})

    def _file(self) -> Path:
        """The rows as Parquet, in a folder that goes with this reader."""
        if self._staged is None:
            path = require_option(self.config.path, "data.path", "data.path=owner/name")
            with staging_folder(self) as folder:
                file = folder / "rows.parquet"
                stage_batches(self._batches(path), file, f"data.path={path}")
            self._staged = file
        return self._staged

    def _batches(self, path: str) -> Iterator[Any]:
        for part, (option, split) in self._splits.items():
            # A stream is read, and may be found damaged, only here.
            with self._told(path, f"data.{option}={split}"):
                data = self._load(path, split).with_format("arrow")
                for table in data.iter(ROWS_A_BATCH):
                    if len(self._splits) > 1:
                        table = table.append_column(PART, pa.repeat(part, len(table)))
                    yield from table.combine_chunks().to_batches()

    def _load(self, path: str, split: str) -> Any:
        """One split, as the library gives it."""
        import datasets

        config = self.config
        place = Path(path).expanduser()
        if (place / "dataset_dict.json").exists() or (place / "dataset_info.json").exists():
            found = datasets.load_from_disk(str(place))
            if not isinstance(found, datasets.DatasetDict):
                return found
            if split not in found:
                raise ValueError(f"Splits: {', '.join(found)}")
            return found[split]
        return datasets.load_dataset(
            str(place) if place.exists() else path,
            config.name,
            split=split,
            revision=config.revision,
            streaming=config.streaming,
        )

    @contextmanager
    def _told(self, path: str, split: str) -> Iterator[None]:
        """Turn what the library says into a `UserError`."""
        try:
            yield
        except Exception as error:  # the library raises whatever its many parts raise
            if out_of_space(error) or (error.__cause__ and out_of_space(error.__cause__)):
                raise MachineFault(
                    f"data.path={path}: no space left in the cache of datasets. Free some, name "
                    "another place (HF_HOME=FOLDER recsys-lab ...), or set data.streaming=true"
                ) from error
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"data.path={path}, {split}: cannot be loaded by datasets "
                f"({type(error).__name__}: {reason}). Allowed are an id on the Hub "
                "(owner/name; needs a network), a folder of data files, or one written by "
                "save_to_disk"
            ) from error
