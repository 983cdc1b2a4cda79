from __future__ import annotations

import io
import re
import sys
import zipfile
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

import polars as pl
import pytest

from recsys_lab.config import UserError, install_hint
from recsys_lab.data.sources.published.online_retail import OnlineRetail
from tests.data.sources.published.readers import taken

# The form of the official sheet; the comment says what happens to a row.
ROWS = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART ,6,12/1/2010 8:26,2.55,17850.0,United Kingdom
536365,71053,"LANTERN, METAL",6,12/1/2010 8:26,3.39,17850.0,United Kingdom
536366,85123A,HEART,1,12/1/2010 8:28,2.55,13047.0,France
536367,85123A,HEART,1,12/1/2010 8:28,2.55,,France
C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527.0,United Kingdom
536380,71053,,-2,12/1/2010 9:42,3.39,14527.0,United Kingdom
536381,,gone,1,12/1/2010 9:43,1.0,14527.0,United Kingdom
536382,22139,GIFT,1,13/13/2010 9:43,0.0,14527.0,United Kingdom
536383,22139,GIFT,2,12/2/2010 10:00,0.5,14527.0,Spain
"""
FIRST = 1291191960  # 2010-12-01 08:26 UTC


@pytest.fixture
def read(tmp_path, make):
    """Write bytes under a name and read them."""

    def do(content=ROWS, name="till.csv", **options):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        reader = make(OnlineRetail, "data", "online_retail", path=str(file), **options)
        return reader.read_raw(tmp_path)

    return do


def test_official_columns(read):
    raw = read()
    log = raw.interactions
    assert log["user_id"].to_list() == [17850, 17850, 13047, 14527]
    assert log["item_id"].to_list() == ["85123A", "71053", "85123A", "22139"]
    assert log["timestamp"].to_list()[:3] == [FIRST, FIRST, FIRST + 120]
    assert log["price"].to_list() == [2.55, 3.39, 2.55, 0.5]
    assert log["quantity"].to_list() == [6.0, 6.0, 1.0, 2.0]
    assert raw.dropped == {
        "missing customer": 1,
        "missing item (StockCode)": 1,
        "cancelled invoice": 1,
        "return (negative quantity)": 1,
        "no price (zero, negative or missing)": 1,
    }
    assert sum(raw.dropped.values()) + len(log) == 9
    assert taken(raw, "item", "title")[0] == "WHITE HANGING HEART"
    assert taken(raw, "user", "country") == ["United Kingdom", "United Kingdom", "France", "Spain"]
    assert raw.features.events == {"price": "numeric", "quantity": "numeric"}
    assert raw.features.users == {"country": "categorical"}
    assert raw.about.licence == "CC BY 4.0"


def test_options_keep_what_they_name(read):
    raw = read(keep_returns=True, keep_cancelled=True, keep_unpriced=True)
    assert raw.dropped == {"missing customer": 1, "missing item (StockCode)": 1}
    assert raw.interactions["event_type"].to_list() == [
        "purchase", "purchase", "purchase", "return", "return", "purchase", "purchase",
    ]  # fmt: skip
    assert raw.features.events["event_type"] == "categorical"
    # The 13th month: unreadable, for the pipeline to count.
    assert raw.interactions["timestamp"].to_list()[5] is None


def test_a_cancelled_invoice_is_not_kept_as_a_return_only(read):
    raw = read(keep_returns=True)
    assert raw.dropped["cancelled invoice"] == 1
    assert raw.interactions["event_type"].to_list().count("return") == 1


def test_item_is_the_description_where_asked(read):
    raw = read(item_column="Description")
    assert raw.interactions["item_id"].to_list()[:2] == ["WHITE HANGING HEART", "LANTERN, METAL"]
    assert raw.dropped["missing item (Description)"] == 1  # the return without one


def test_latin_1_and_parquet_give_the_same(read, tmp_path):
    text = ROWS.replace("HEART ", "HEART £5")
    expected = read(text)
    latin = read(text.encode("latin-1"), "latin.csv")
    assert latin.interactions.equals(expected.interactions)
    assert taken(latin, "item", "title") == taken(expected, "item", "title")
    frame = pl.read_csv(text.encode(), schema_overrides={"InvoiceNo": pl.String})
    frame = frame.with_columns(
        pl.col("InvoiceDate").str.to_datetime("%m/%d/%Y %H:%M", strict=False)
    )
    frame.write_parquet(tmp_path / "a.parquet")
    raw = read((tmp_path / "a.parquet").read_bytes(), "till.parquet")
    assert raw.interactions.equals(expected.interactions)


@pytest.mark.parametrize("name", ["Online Retail.xlsx", "online+retail.zip"])
def test_a_workbook_needs_an_engine(read, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    content = b"PK"
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            archive.writestr("Online Retail.xlsx", b"PK")
        content = (tmp_path / "made.zip").read_bytes()
    with pytest.raises(UserError, match=re.escape(f"needs fastexcel: {install_hint('excel')}. Or")):
        read(content, name)


CELL = '<c t="inlineStr"><is><t xml:space="preserve">{}</t></is></c>'
NUMBER = "<c{}><v>{}</v></c>"
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="{r}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="r1" Type="{r}/worksheet" Target="sheet.xml"/>'
    '<Relationship Id="r2" Type="{r}/styles" Target="styles.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="{m}" xmlns:r="{r}"><sheets>'
    '<sheet name="Online Retail" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/styles.xml": '<styleSheet xmlns="{m}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/>'
    "</cellXfs></styleSheet>",
}
NAMESPACES = {
    "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
}


def workbook(rows):
    """An xlsx as the official one: times are days since 1899-12-30, most numbers are numbers."""
    lines = []
    for row in rows:
        cells = [
            NUMBER.format(' s="1"', repr((when - datetime(1899, 12, 30)) / timedelta(days=1)))
            if isinstance(when := value, datetime)
            else "<c/>" if value is None
            else CELL.format(escape(value)) if isinstance(value, str)
            else NUMBER.format("", value)
            for value in row
        ]  # fmt: skip
        lines.append(f"<row>{''.join(cells)}</row>")
    sheet = f'<worksheet xmlns="{{m}}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {**PARTS, "xl/sheet.xml": sheet}.items():
            for key, value in NAMESPACES.items():
                text = text.replace(f"{{{key}}}", value)
            archive.writestr(name, text)
    return made.getvalue()


def test_the_official_workbook_in_its_zip(read, tmp_path):
    frame = pl.read_csv(ROWS.encode(), infer_schema=False)
    minutes = frame["InvoiceDate"].str.to_datetime("%m/%d/%Y %H:%M", strict=False)
    numbers = frame.with_columns(
        pl.col("Quantity").cast(pl.Int64), pl.col("UnitPrice", "CustomerID").cast(pl.Float64),
        minutes,
    )  # fmt: skip
    # Stock codes and invoices are numbers where they can be, as in the official file.
    rows = [[int(v) if isinstance(v, str) and v.isdigit() else v for v in row]
            for row in numbers.rows()]  # fmt: skip
    content = workbook([frame.columns, *rows])
    expected = read(ROWS)
    plain = read(content, "Online Retail.xlsx")
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("Online Retail.xlsx", content)
    zipped = read((tmp_path / "made.zip").read_bytes(), "online+retail.zip")
    for raw in (plain, zipped):
        assert raw.interactions.equals(expected.interactions)
        for side, column in (("item", "title"), ("user", "country")):
            assert taken(raw, side, column) == taken(expected, side, column)
        assert raw.dropped == expected.dropped
    with pytest.raises(UserError, match=r"Retail.xlsx: is not a complete workbook \("):
        read(content[: len(content) // 2], "Online Retail.xlsx")


def test_errors(read, make, tmp_path):
    with pytest.raises(UserError, match=r"no column Quantity; did you mean 'Quantety'\?"):
        read(ROWS.replace("Quantity", "Quantety"))
    with pytest.raises(UserError, match="no column StockCode or Description"):
        read(ROWS.replace("StockCode", "a").replace("Description", "b"))
    with pytest.raises(UserError, match="the table has no rows"):
        read(ROWS.splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"suffix '\.ods' cannot be read"):
        read(ROWS, "till.ods")
    with pytest.raises(UserError, match=r"cannot be read as \.parquet"):
        read(ROWS, "till.parquet")
    with pytest.raises(UserError, match="not a complete zip archive"):
        read(b"PK cut", "till.zip")
    with pytest.raises(UserError, match="item_column=StockCode"):
        read(ROWS.replace("StockCode", "a"), item_column="StockCode")
    with pytest.raises(UserError, match="no such file"):
        make(OnlineRetail, "data", "online_retail", path=str(tmp_path / "x.csv")).source_key()


def test_the_real_file(shared, make, tmp_path):
    file = shared / "online-retail/online_retail.parquet"
    raw = make(OnlineRetail, "data", "online_retail", path=str(file)).read_raw(tmp_path)
    # Counted by DuckDB in SQL, not by the reader's own steps.
    import duckdb

    known = "FROM read_parquet(?) WHERE CustomerID IS NOT NULL"
    described = f"{known} AND trim(coalesce(Description, '')) <> ''"
    count = {
        name: duckdb.execute(f"SELECT count(*) {where}", [str(file)]).fetchone()[0]
        for name, where in {
            "customers": known,
            "described": described,
            "returns": f"{described} AND Quantity < 0",
            "unpriced": f"{described} AND Quantity >= 0 AND UnitPrice <= 0",
        }.items()
    }
    assert raw.dropped == {
        "missing customer": 541_909 - count["customers"],
        "missing item (Description)": count["customers"] - count["described"],
        "cancelled invoice": 0,  # this file has no invoice numbers
        "return (negative quantity)": count["returns"],
        "no price (zero, negative or missing)": count["unpriced"],
    }
    assert raw.dropped["missing customer"] == 135_080
    assert raw.dropped["return (negative quantity)"] == 8_905
    assert raw.dropped["no price (zero, negative or missing)"] == 40
    assert len(raw.interactions) == 397_884
    items, people, pounds = duckdb.execute(
        "SELECT count(DISTINCT trim(Description)), count(DISTINCT CustomerID), "
        f"sum(Quantity * UnitPrice) {described} AND Quantity >= 0 AND UnitPrice > 0",
        [str(file)],
    ).fetchone()
    assert raw.interactions["item_id"].n_unique() == items
    assert raw.interactions["user_id"].n_unique() == people
    total = (raw.interactions["price"] * raw.interactions["quantity"]).sum()
    assert total == pytest.approx(pounds)
    assert raw.interactions["timestamp"].min() == FIRST
