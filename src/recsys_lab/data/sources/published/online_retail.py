"""Online Retail: a year of invoices of a British gift shop (Chen, 2015; UCI dataset 352)."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, did_you_mean, first_line, install_hint
from recsys_lab.data.columns.ids import Spelling, clean_ids
from recsys_lab.data.columns.timestamps import parse_times
from recsys_lab.data.formats.archives import open_member
from recsys_lab.data.formats.paths import file_key, require_file
from recsys_lab.data.raw import Features, LogColumn, RawData
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import OPTION, About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import to_float

WORKBOOK = "Online Retail.xlsx"
NEEDED = ("Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
OPTIONAL = ("InvoiceNo", "StockCode", "Description", "Country")
SUFFIXES = (".parquet", ".csv", ".xlsx", ".zip")

NAMED = DatasetInfo(
    about=About(
        title="Online Retail (UCI)",
        homepage="https://archive.ics.uci.edu/dataset/352/online+retail",
        licence="CC BY 4.0",
        citation="Chen, D. (2015). Online Retail. UCI Machine Learning Repository. "
        "https://doi.org/10.24432/C5BW33",
        notes=(
            "A quarter of the rows have no customer and cannot be used for histories; they are "
            "counted as 'missing customer'.",
            "Returns, cancelled invoices and rows without a price are not purchases: they are "
            "dropped and counted unless an option keeps them.",
            "The lines of an invoice share one minute and are in the file's order, so a split by "
            "time cuts through ties; and a line may occur several times: filter.drop_duplicates.",
            "Postage and manual corrections are items, too (POSTAGE, Manual, CARRIAGE): "
            "filter.exclude_items drops them.",
            "Many customers are wholesalers, with hundreds of lines per invoice.",
        ),
    ),
    size="541,909 rows, 4,372 customers, 4,070 stock codes; 23 MB",
    needs="nothing: downloaded (its xlsx needs the extra `excel`)",
)


class OnlineRetail(PublishedDataset):
    """Reads one line of an invoice as a purchase."""

    named = NAMED
    official = f"the official zip or workbook, or the same table ({', '.join(SUFFIXES)})"
    url = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `OnlineRetail`.

        Attributes:
            path: the official zip or workbook, or the same table as Parquet or CSV; null:
                download.
            item_column: column of the item; auto: StockCode if the file has it, else Description.
            keep_returns: whether to keep rows with a negative quantity, as type 'return'.
            keep_cancelled: whether to keep invoices whose number begins with C, as type 'return'.
            keep_unpriced: whether to keep rows whose price is zero, negative or missing.
        """

        item_column: Literal["auto", "StockCode", "Description"]
        keep_returns: bool
        keep_cancelled: bool
        keep_unpriced: bool

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the file."""
        return {"path": file_key(self.source_path())}

    def read_raw(self, scratch: Path) -> RawData:
        """Read the table."""
        from recsys_lab.data.features.first_values import plain_from_log  # imports pyarrow

        del scratch
        file = self.source_path()
        table = _checked(_table(file), file)
        item = self._item_column(table, file)
        seconds, _ = parse_times(_times(table["InvoiceDate"]), file)
        invoice = _text(table, "InvoiceNo")
        frame = table.select(
            user_id=_customers(table["CustomerID"], file),
            item_id=_text(table, item),
            timestamp=seconds,
            price=to_float("UnitPrice"),
            quantity=to_float("Quantity"),
            title=_text(table, "Description"),
            country=_text(table, "Country"),
            _country=_text(table, "Country"),  # of each row, for filter.where
            cancelled=invoice.str.to_uppercase().str.starts_with("C").fill_null(False),
        )
        returned = pl.col("cancelled") | (pl.col("quantity") < 0).fill_null(False)
        frame = frame.with_columns(
            event_type=pl.when(returned).then(pl.lit("return")).otherwise(pl.lit("purchase"))
        )
        frame, dropped = self._kept(frame, item)
        kinds: dict[str, Any] = {"price": "numeric", "quantity": "numeric"}
        if self.config.keep_returns or self.config.keep_cancelled:
            kinds["event_type"] = "categorical"
        people: dict[str, Any] = {"country": "categorical"}
        has_country = "Country" in table.columns
        log = frame.drop("cancelled")
        log, items = plain_from_log(log, ("title",), "item")
        log, users = plain_from_log(log, ("country",) if has_country else (), "user")
        return RawData(
            log,
            from_log={"item": items, "user": users},
            dropped=dropped,
            features=Features({"title": "text"}, people if has_country else {}, kinds),
            about=self.about,
            aliases={"country": LogColumn("_country")} if has_country else {},
        )

    def _kept(self, frame: pl.DataFrame, item: str) -> tuple[pl.DataFrame, dict[str, int]]:
        """The purchases, and the number of other rows by the first reason that applies."""
        config = self.config
        reasons = {
            "missing customer": pl.col("user_id").is_null(),
            f"missing item ({item})": pl.col("item_id").is_null(),
        }
        if not config.keep_cancelled:
            reasons["cancelled invoice"] = pl.col("cancelled")
        if not config.keep_returns:
            reasons["return (negative quantity)"] = pl.col("quantity") < 0
        if not config.keep_unpriced:
            priced = (pl.col("price") > 0).fill_null(False)
            reasons["no price (zero, negative or missing)"] = ~priced
        dropped = {}
        for reason, fails in reasons.items():
            kept = frame.filter(~fails.fill_null(False))
            dropped[reason] = len(frame) - len(kept)
            frame = kept
        return frame, dropped

    def _item_column(self, table: pl.DataFrame, file: Path) -> str:
        wanted: str = self.config.item_column
        if wanted == "auto":
            wanted = "StockCode" if "StockCode" in table.columns else "Description"
        if wanted not in table.columns:
            raise UserError(
                f"data.item_column={self.config.item_column}: {file} has no column {wanted}; its "
                f"columns are {', '.join(table.columns)}"
            )
        return wanted

    def source_path(self) -> Path:
        """The one file."""
        if self.config.path is None:
            return super().source_path()
        return require_file(self.config.path, OPTION)


def _table(file: Path) -> pl.DataFrame:
    """The whole table; text of a CSV as strings."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"data.path={file}: a file with suffix '{file.suffix}' cannot be read; Online Retail "
            f"is {', '.join(SUFFIXES)}"
        )
    try:
        if suffix == ".parquet":
            return pl.read_parquet(file, glob=False)
        if suffix == ".zip":
            with open_member(file, WORKBOOK, OPTION) as stream:
                return _workbook(stream.read(), file)
        data = file.read_bytes()
        return _workbook(data, file) if suffix == ".xlsx" else _delimited(data)
    except (PolarsError, OSError) as error:
        raise UserError(
            f"data.path={file}: cannot be read as {suffix}: {first_line(error)}. The file may be "
            "damaged or have the wrong suffix"
        ) from error


def _delimited(data: bytes) -> pl.DataFrame:
    """A CSV in UTF-8 or, like a common copy, in Latin-1."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return pl.read_csv(io.BytesIO(text.encode()), infer_schema=False)


def _workbook(data: bytes, file: Path) -> pl.DataFrame:
    try:
        fastexcel: Any = importlib.import_module("fastexcel")
    except ImportError as error:
        raise UserError(
            f"{file}: reading a workbook needs fastexcel: {install_hint('excel')}. Or "
            "save the sheet as CSV or Parquet and pass it: data.path=FILE.csv"
        ) from error
    try:
        # As strings, because invoices and stock codes mix numbers and text.
        texts = dict.fromkeys(("InvoiceNo", "StockCode", "Description", "CustomerID"), pl.String)
        return pl.read_excel(io.BytesIO(data), engine="calamine", schema_overrides=texts)
    except fastexcel.FastExcelError as error:
        raise UserError(f"{file}: is not a complete workbook ({error})") from error


def _checked(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """The known columns.

    Raises:
        UserError: a needed column is absent, or there are no rows.
    """
    problems = [
        f"no column {name}{did_you_mean(name, table.columns)}"
        for name in NEEDED
        if name not in table.columns
    ]
    if not {"StockCode", "Description"} & set(table.columns):
        problems.append("no column StockCode or Description: one of them is the item.")
    if problems:
        raise UserError(
            f"data.path={file}: is not the table of Online Retail: {' '.join(problems)} Its "
            f"columns are {', '.join(table.columns)}"
        )
    if table.is_empty():
        raise UserError(f"data.path={file}: the table has no rows")
    return table.select(name for name in (*NEEDED, *OPTIONAL) if name in table.columns)


def _text(table: pl.DataFrame, name: str) -> pl.Series:
    """A column as stripped text, null if blank; an absent column is all null."""
    if name not in table.columns:
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, len(table))
    text = table[name].cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _customers(column: pl.Series, file: Path) -> pl.Series:
    """Customer ids; 12346.0, as pandas writes a column with gaps, is 12346."""
    if column.dtype == pl.String:
        text = column.str.strip_chars().str.replace(r"\.0$", "")
        column = text.set(text == "", None)
    return clean_ids(column, f"data.path={file}", untyped=True, spelling=Spelling())[0]


def _times(column: pl.Series) -> pl.Series:
    """Text such as 12/1/2010 8:26 (month first) as a datetime; other values unchanged."""
    if column.dtype != pl.String:
        return column
    american = column.str.strip_chars().str.to_datetime("%m/%d/%Y %H:%M", strict=False)
    return column if american.null_count() == len(american) else american
