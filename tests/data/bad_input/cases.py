"""Malformed inputs and what each must end with."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from decimal import Decimal

import polars as pl
import pyarrow as pa

from tests.data.bad_input.inputs import (
    GOOD,
    HEAD,
    NOW,
    RECORD,
    ROWS,
    Bad,
    bomb,
    cut,
    cut_parquet,
    damaged_parquet,
    events,
    files,
    lines,
    long_line,
    no_tables,
    nowhere,
    odd_columns,
    parquet,
    pipe,
    several_forms,
    text,
    twice_in_parquet,
    two_types,
    zoned,
)

MILLISECONDS = GOOD.replace(",1700000001\n", ",1700000001000\n")
MOMENTS = pl.Series(NOW).cast(pl.Int64) * 1000

REFUSED = [
    # Files that are cut or damaged
    Bad("Parquet cut short", cut_parquet, r"log.parquet: cannot be read as Parquet: .*cut short"),
    Bad("Parquet with a damaged page", damaged_parquet, r"log.parquet: cannot be read as Parquet"),
    Bad("no Parquet at all", text("a,b\n", "log.parquet"), "cannot be read as Parquet"),
    Bad("gzip cut short", text(cut(gzip.compress(GOOD.encode())), "log.csv.gz"),
        r"log.csv.gz: is damaged or cut short: its .gz compression"),
    Bad("no gzip at all", text(GOOD, "log.csv.gz"), r"is damaged .* \(Not a gzipped file"),
    Bad("bzip2 cut short", text(cut(bz2.compress(GOOD.encode())), "log.csv.bz2"),
        "its .bz2 compression cannot be undone"),
    Bad("xz cut short", text(cut(lzma.compress(GOOD.encode())), "log.csv.xz"),
        "its .xz compression cannot be undone"),
    Bad("Zstandard cut short",
        text(cut(pa.compress(GOOD.encode(), codec="zstd", asbytes=True)), "log.csv.zst"),
        "its .zst compression cannot be undone"),
    Bad("no bzip2 at all", text(GOOD, "log.csv.bz2"), "its .bz2 compression cannot be undone"),
    Bad("gzip of nothing", text(gzip.compress(b""), "log.csv.gz"), "the file is empty"),
    Bad("a gzip bomb", bomb, r"unpacks to more than 67,108,864 bytes .* as a zip bomb does"),
    Bad("Parquet in gzip", text(b"x", "log.parquet.gz"), "unpack the .gz first"),
    # Encodings and odd bytes
    Bad("Latin-1", text(GOOD.replace("u3", "Zoë").encode("latin-1")),
        r"log.csv: line 5 is not UTF-8 \(byte 0xeb\). If it is Latin-1"),
    Bad("UTF-8 cut inside a character", text((GOOD + "Zoë").encode()[:-1]),
        r"line 42 is not UTF-8 \(byte 0xc3\)"),
    Bad("UTF-16 with its mark", text(GOOD.encode("utf-16")), "is UTF-16 text. Save it as UTF-8"),
    Bad("UTF-16 without it", text(GOOD.encode("utf-16-le")), "line 1 holds a NUL byte"),
    Bad("NUL bytes", text(GOOD.replace("u2", "u\0", 1)), "line 4 holds a NUL byte"),
    Bad("JSON lines in Latin-1", text('{"user_id": "Zoë"}\n'.encode("latin-1"), "log.jsonl"),
        "line 1 is not UTF-8"),
    Bad("lines that end in a carriage return alone", text(GOOD.replace("\n", "\r")),
        "its lines end in a carriage return only"),
    Bad("a line of 64 MB", long_line, r"log.csv: line 42 is longer than 16 MiB"),
    # Delimited text
    Bad("an empty file", text(""), r"log.csv: the file is empty \(0 bytes\)"),
    Bad("a header and nothing else", text(HEAD), "has a header but no rows"),
    Bad("blank lines only", text("\n\n\n"), "the first line is blank; expected a header"),
    Bad("rows of blanks", text(HEAD + ",,\n" * 9 + " , ,\n"),
        "no interaction is left of 10 rows. Dropped: missing user: 10"),
    Bad("a column name twice", text("user_id,item_id,user_id,timestamp\n1,2,3,4\n"),
        "has 2 columns named 'user_id'"),
    Bad("a column name twice in Parquet", twice_in_parquet, "has 2 columns named 'user_id'"),
    Bad("a missing column", text(GOOD.replace("item_id", "itemid")),
        r"data.item_column=item_id: no such column; did you mean 'itemid'\?"),
    Bad("no header", text(ROWS), "data.user_column=user_id: no such column"),
    Bad("another separator", text(GOOD.replace(",", ";")),
        r"has a single column, .*separated by ';'. Set data.separator=';'"),
    Bad("a separator of two characters", text(GOOD),
        "data.separator='::': expected one ASCII character", {"separator": "::"}),
    Bad("a quotation mark that is never closed", text(GOOD.replace("i3", '"i3', 1)),
        r"log.csv: the quotation mark that opens in line 5 is never closed"),
    Bad("one that a later one seems to close", text(GOOD.replace("i3", '"i3')),
        "line 12 has a quotation mark inside a value; the one before it opens in line 5"),
    Bad("a quotation mark inside a value", text(GOOD.replace("i3", '5" nail', 1)),
        "line 5 has a quotation mark inside a value"),
    Bad("a row with too many values", text(GOOD.replace("i3", "i,3", 1)),
        "log.csv: line 5 has 4 values, the header names 3 columns"),
    # JSON lines
    Bad("an object cut short", text(lines(RECORD, '{"user_id": 1,'), "log.jsonl"),
        r"log.jsonl: cannot be read as JSON lines: line 2 \(.*\) is not valid JSON"),
    Bad("a list instead of an object", text(lines([1, 2, 3]), "log.jsonl"),
        "line 1 .* is not an object"),
    Bad("JSON in one piece", text(json.dumps([RECORD] * 2, indent=1), "log.jsonl"),
        "line 1 .* not valid JSON"),
    Bad("NaN in JSON", text(lines(RECORD, '{"user_id": NaN}'), "log.jsonl"),
        "line 2 .*NaN is not a JSON number; write null"),
    Bad("nested without end", text("[" * 100_000 + "\n", "log.jsonl"), "line 1 .* nested too deep"),
    Bad("no record", text("\n\n", "log.jsonl"), "holds no record"),
    # Ids
    Bad("numbers and text as ids",
        text(lines({**RECORD, "user_id": "a"}, RECORD), "log.jsonl"),
        "column 'user_id' mixes types: 1 in row 2 is a number, 'a' in row 1 is a string"),
    Bad("files that differ in the type of ids", two_types,
        "'user_id' mixes types: Int64 in a.parquet, String in b.parquet"),
    Bad("ids beyond 64 bits", parquet(user_id=pl.Series([1, 2**63], dtype=pl.UInt64)),
        "id column 'user_id' holds numbers beyond 64 bits, such as 9223372036854775808 in row 2"),
    Bad("the same in JSON", text(lines(RECORD, {**RECORD, "item_id": 10**25}), "log.jsonl"),
        "id column 'item_id' holds numbers beyond 64 bits, such as 1000.* in row 2"),
    Bad("decimal ids", parquet(user_id=[1.0, 2.5]), "'user_id' holds 2.5 in row 2"),
    Bad("decimal ids too large to be exact", parquet(user_id=[1.0, 2.0**60]),
        "holds 1152921504606846976 in row 2, a float too large to be exact"),
    Bad("the same in text", text(HEAD + f"{2**53 + 1}.0,a,1\n7.0,b,2\n"),
        "holds 9007199254740993.0 in row 1, a decimal number too large to be exact"),
    Bad("ids that a spreadsheet shortened", text(HEAD + "u,17,1\nu,4.00638E+12,2\n"),
        r"'item_id' holds 4.00638E\+12 in row 2, a number that was shortened where it was written"),
    Bad("infinite ids", parquet(item_id=[1.0, float("inf")]), "'item_id' holds inf in row 2"),
    Bad("lists as ids", parquet(item_id=[[1], [2]]), r"'item_id' is of type List"),
    Bad("truth values as ids", parquet(user_id=[True, False]), "'user_id' is of type Boolean"),
    Bad("amounts of money as ids", parquet(user_id=[Decimal("1.50"), Decimal("2.25")]),
        "'user_id' is of type Decimal"),
    Bad("only NaN as ids", parquet(user_id=[float("nan")] * 2), "Dropped: missing user: 6"),
    Bad("one user", text(HEAD + "u,1,1\nu,2,2\nu,3,3\n"), "only one user is left, with 3 events"),
    # Times and numbers
    Bad("times in words", text(HEAD + "a,b,yesterday\nb,c,today\n"),
        r"no time in column 'timestamp' can be read; the first is 'yesterday' \(row 1\)"),
    Bad("times of another format", text(GOOD), r"Tried: format '%Y/%m'",
        {"timestamp_format": "%Y/%m"}),
    Bad("a format that is none", text(GOOD), "timestamp_format=%H: not a valid strptime format",
        {"timestamp_format": "%H"}),
    Bad("only far-future times", parquet(timestamp=[10**17, 10**17 + 1]),
        "timestamp outside the years 1 to 9999: 6", {"timestamp_unit": "s"}),
    Bad("truth values as times", parquet(timestamp=[True, False]), "no time in column 'timestamp'"),
    Bad("places that are no whole numbers", parquet(place=[1.5, 2.0]),
        "data.order_column=place: .* not whole numbers, such as 1.5", {"order_column": "place"}),
    Bad("ratings in words", text("user_id,item_id,timestamp,stars\na,b,1,good\nb,c,2,bad\n"),
        "data.rating_column=stars: .*has no numbers; the first value is 'good'",
        {"rating_column": "stars"}),
    Bad("a feature of the wrong type", parquet(tags=[[1], [2]]),
        r"data.event_features.tags=categorical: .* is of type List\(Int64\); declare it as list",
        {"event_features": {"tags": "categorical"}}),
    Bad("a feature with a name of the log's", text(GOOD),
        "data.event_features.timestamp: the log has a column of this name",
        {"event_features": {"timestamp": "numeric"}}),
    # Places
    Bad("no such file", lambda folder: text(GOOD, "clicks.csv")(folder).with_name("click.csv"),
        "no such file; did you mean '.*clicks.csv'"),
    Bad("an unknown suffix", text(GOOD, "log.xlsx"),
        "suffix '.xlsx' cannot be read; allowed: .csv"),
    # Times that one unit for all would misread
    Bad("times in seconds and in milliseconds", text(MILLISECONDS),
        r"mix units, by their size: 39 \(97.5%\) in s, such as 1700000000 in row 1; 1 \(2.5%\) in "
        "ms, such as 1700000001000 in row 2"),
    Bad("dates and times as numbers", text(GOOD.replace("17000000", "202009131226")),
        "look like dates and times written as numbers; the first is 20200913122600. Set "
        "data.timestamp_format=%Y%m%d%H%M%S"),
    Bad("seconds as float32", parquet(timestamp=pl.Series(NOW, dtype=pl.Float32)),
        "are float32 and reach 1700000000"),
    Bad("seconds in one file, moments in the next", files(
        a=events(), b=events(timestamp=MOMENTS.cast(pl.Datetime("ms")))),
        "column 'timestamp' mixes types: Int64 in a.parquet, Datetime.* in b.parquet"),
    Bad("truth values beside numbers as ids", files(
        a=events(user_id=[True, False] * 3), b=events()),
        "column 'user_id' mixes types: Boolean in a.parquet, Int64 in b.parquet"),
    Bad("quoted values between semicolons", text(
        GOOD.replace("u", '"u').replace(",i", '";"i').replace(",1", '";"1').replace(
            "\n", '"\n').replace('"user_id,item_id,timestamp"', '"user_id";"item_id";"timestamp"')),
        "Its values seem to be separated by ';'. Set data.separator=';'"),
    Bad("quoted values between tabs", text('"user_id"\t"item_id"\t"timestamp"\n"a"\t"b"\t"1"\n'),
        r"Its values seem to be separated by '\\t'. Set data.separator='\\t'"),
    Bad("several files without a byte", files(a="", b=""), "all 2 files are empty"),
    Bad("a folder without tables", no_tables, "holds no table; .* It holds: README.txt"),
    Bad("a folder with tables of several forms", several_forms,
        r"several formats \(.csv: a.csv; .tsv"),
    Bad("files of different columns", odd_columns,
        "no such column.\nColumns of .*: b.csv: user_id, sku, time"),
    Bad("a pattern that nothing matches", lambda folder: folder / "*.csv", "no file matches"),
    Bad("a named pipe", pipe, "not a regular file"),
    Bad("an unknown scheme", nowhere("s4://bucket/log.csv"), "unknown scheme 's4://'"),
    Bad("a server that does not answer", nowhere("http://127.0.0.1:9/log.csv"),
        "http://127.0.0.1:9/log.csv: cannot be read .*Check the address"),
]  # fmt: skip

REFUSED += [
    # Numbers and rows that cannot be used
    Bad("prices with a decimal comma", text(GOOD.replace(",", ";").replace("\n", ";3,5\n").replace(
        "timestamp;3,5", "timestamp;price")),
        r"has no numbers; the first value is '3,5'\. If .*, set data.decimal_comma=true",
        {"separator": ";", "price_column": "price"}),
    Bad("a log of which a fifth has no time that can be read",
        text(GOOD.replace(",17", ",17 or ", 8)),
        r"8 of 40 rows \(20.0%\) cannot be used, more than filter.max_bad_rows=0.1 allows. "
        r"unparseable timestamp: 8, such as row 1: user_id='u0', item_id='i0', "
        "timestamp='17 or 00000000'; row 2: .*; row 3: .*filter.max_bad_rows=1", {}, 0.1),
    Bad("a column with parts that are none", text(
        GOOD.replace("\n", ",train\n").replace("timestamp,train", "timestamp,fold").replace(
            "i3,1700000003,train", "i3,1700000003,hold-out")),
        "column 'fold' holds words that are not parts: 'hold-out'", {"part_column": "fold"}),
    Bad("parts that the split does not read", text(
        GOOD.replace("\n", ",train\n").replace("timestamp,train", "timestamp,fold")),
        "split=leave_one_out: the source states the part of every row", {"part_column": "fold"}),
]  # fmt: skip

COUNTED = [
    Bad("a log of which a tenth has no time that can be read",
        text(GOOD.replace(",17", ",17 or ", 4)), "unparseable timestamp: 4", {}, 0.1),
    Bad("NaN among ids", parquet(user_id=[1.0, 2.0, 1.0, float("nan"), None, 1.0],
        item_id=range(6)), "missing user: 2"),
    Bad("NaN among times", parquet(timestamp=[1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]),
        "unparseable timestamp: 1"),
    Bad("far-future times", parquet(timestamp=[1, 2, 3, 4, 5, 10**15]),
        "timestamp outside the years 1 to 9999: 1", {"timestamp_unit": "s"}),
    Bad("the largest whole number as a time", parquet(
        timestamp=[*range(1_710_000_000_000, 1_710_000_000_005), 2**63 - 1]),
        "unparseable timestamp: 1"),
    Bad("one number among dates", text(
        HEAD + "".join(f"u{n % 2},i,2024-03-0{n}\n" for n in range(1, 7)) + "a,c,7\n"),
        "unparseable timestamp: 1"),
    Bad("one date among numbers", text(GOOD + "a,b,2024-03-01\n"), "unparseable timestamp: 1"),
    Bad("a blank line", text(HEAD + "\n" + ROWS), "missing user: 1"),
    Bad("rows with too few values", text(GOOD + "u1\nu2,i2\n"), "row with too few values: 2"),
    Bad("rows with too few and with empty values", text(GOOD + "u1\nu2,i2,\nu2,,1\n"),
        "row with too few values: 1, missing item: 1, unparseable timestamp: 1"),
    Bad("words for a missing id", text(
        GOOD + "NULL,i1,5\nu1,None,5\n\\N,i1,5\n<NA>,i1,5\nu1,n/a,5\n -,i1,5\nnan,i1,5\n"),
        "missing user: 5, missing item: 2", {"timestamp_unit": "s"}),
    Bad("returns of a till", text("user_id,item_id,timestamp,pieces\n" + "".join(
        f"u{n % 2},i{n},{n},{-1 if n in (3, 8) else 2}\n" for n in range(10))),
        r"return \(negative quantity\); the purchases that it undoes are kept: 2",
        {"quantity_column": "pieces"}),
    Bad("blanks as ids", text(GOOD + " ,i1,5\nu1,\t,5\n"), "missing user: 1, missing item: 1"),
    Bad("text as a place", text(
        "user_id,item_id,n\n" + "".join(f"u{n % 2},i,{n}\n" for n in range(6)) + "a,c,x\n"),
        "unparseable order: 1",
        {"timestamp_column": None, "order_column": "n"}),
]  # fmt: skip

READ = [
    Bad("prices with a decimal comma, as an option says", text(
        GOOD.replace(",", ";").replace("\n", ";1.003,5\n").replace(
            "timestamp;1.003,5", "timestamp;price")),
        "40 rows", {"separator": ";", "price_column": "price", "decimal_comma": True}),
    Bad("rows that lack an optional last value", text(
        GOOD.replace("\n", ",x\n").replace("timestamp,x", "timestamp,note") + "u1,i1,1700000041\n"),
        "41 rows", {"event_features": {"note": "categorical"}}),
    Bad("a byte order mark", text(b"\xef\xbb\xbf" + GOOD.encode()), "40 rows"),
    Bad("a byte order mark before quotes", text(b"\xef\xbb\xbf" + GOOD.replace("user_id",
        '"user_id"').encode()), "40 rows"),
    Bad("a byte order mark in JSON lines", text(b"\xef\xbb\xbf" + lines(
        *({**RECORD, "user_id": n % 2, "timestamp": n} for n in range(6))).encode(), "log.jsonl"),
        "6 rows"),
    Bad("lines that end as on Windows", text(GOOD.replace("\n", "\r\n")), "40 rows"),
    Bad("newlines inside quotes", text(GOOD.replace("i3", '"i\n""3"""')), "40 rows"),
    Bad("no newline at the end", text(GOOD.rstrip("\n")), "40 rows"),
    Bad("quotation marks as characters", text(GOOD.replace("i3", '5" nail')), "40 rows",
        {"quoted": False}),
    Bad("times as PostgreSQL writes them", text(HEAD + "".join(
        f"u{n % 2},i{n},2023-11-14 22:13:2{n}{zone}\n"
        for n, zone in enumerate(["+00", "+00:00", "Z", "-0330", " UTC", ".5+05:30"]))), "6 rows"),
    Bad("a time zone that is an offset", zoned, "6 rows"),
    Bad("an empty file among others", files(a=GOOD, b=""), "40 rows"),
    Bad("a column that one file has and nobody reads", files(
        a=GOOD, b="user_id,item_id,timestamp,x\n" + ROWS.replace("\n", ",1\n").replace("u", "v")),
        "80 rows"),
    Bad("categories in one file, text in the next", files(
        a=events(user_id=pl.Series(["a", "b"] * 3, dtype=pl.Categorical)),
        b=events(user_id=["c", "b"] * 3, item_id=[7, 8] * 3)), "12 rows"),
    Bad("ids with a point, of a column with gaps", text(
        HEAD + "".join(f"{n % 2 + 7}.0,{n},{n}\n" for n in range(6))), "6 rows"),
    Bad("whole amounts as ids, as databases write numbers", parquet(
        user_id=[Decimal("1.00"), Decimal("2.00")], item_id=range(6)), "6 rows"),
    Bad("negative times", parquet(timestamp=range(-5, 1)), "6 rows"),
    Bad("text ids beyond 64 bits", text(GOOD.replace("u3", "9" * 30)), "40 rows"),
]  # fmt: skip
