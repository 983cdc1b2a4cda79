"""split=given: the parts that files or a column state, taken as they are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.slice_columns import slice_keys
from recsys_lab.data.sources.hub import Hub
from recsys_lab.data.sources.recbole import RecBole
from recsys_lab.data.splits.given import Given
from recsys_lab.data.splits.last_n import LastN
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from tests.data.conftest import build
from tests.data.splits.toys import in_items

HEADER = "user_id,item_id,timestamp"
ROWS = {  # by hand: b's rows stand in no order, two of its training rows share a time
    "train": ["b,z,9", "b,y,5", "b,x,5", "a,x,1", "c,z,3", "c,x,4"],
    "validation": ["a,y,2", "b,w,10", "d,x,1"],
    "test": ["a,z,3", "a,x,4", "b,x,11", "c,y,4", "d,y,2"],
}
WANT = {
    "train": {"a": "x", "b": "yxz", "c": "zx"},
    "validation": {"a": ("x", "y"), "b": ("yxz", "w")},  # d has nothing before
    "test": {"a": ("xy", "zx"), "b": ("yxzw", "x"), "c": ("zx", "y"), "d": ("x", "y")},
}


def split(**options):
    return build(Given, "split", "given", **options)


def files(folder, rows=ROWS, header=HEADER, names="{}.csv"):
    for part, lines in rows.items():
        (folder / names.format(part)).write_text("\n".join([header, *lines]) + "\n")
    return {f"{part}_path": str(folder / names.format(part)) for part in ("validation", "test")}


def three(table, folder, rows=ROWS, **options):
    return table(folder / "train.csv", **{**files(folder, rows), **options})


def column(table, rows=ROWS, words=None, **options):
    words = words or {"train": "Train", "validation": " val", "test": "TEST"}
    lines = [f"{line},{words[part]}" for part, lines in rows.items() for line in lines]
    text = "\n".join([f"{HEADER},fold", *lines])
    return table(text, "parts.csv", part_column="fold", **options)


def recbole(folder, rows=ROWS):
    names = {"train": "train", "validation": "valid", "test": "test"}
    for part, lines in rows.items():
        text = "\n".join(["user_id:token,item_id:token,timestamp:float", *lines])
        (folder / f"shop.{names[part]}.inter").write_text(text.replace(",", "\t") + "\n")
    return build(RecBole, "data", "recbole", path=str(folder))


def as_words(data):
    """What the split gives, in raw ids."""
    users, items = data.user_ids(), data.item_ids()

    def text(codes):
        return "".join(items[code] for code in codes)

    found = in_items(data, _Segments(data))
    train = {users[user]: text(codes) for user, codes in found["train"].items()}
    phases = {
        phase: {users[u]: (text(h), text(t)) for u, (h, t) in found[phase].items()}
        for phase in ("validation", "test")
    }
    return {"train": train, **phases}


class _Segments:
    def __init__(self, data):
        self.train, self.validation, self.test = map(data.segments, ("train", "validation", "test"))
        self.dropped_targets = data.dropped_targets


def assert_stated_alike(table, run, tmp_path, engine, sources=4):
    """Three files, columns and RecBole's files give the parts by hand; returns one dataset."""
    (tmp_path / "shop").mkdir()
    parquet = tmp_path / "log.parquet"
    pl.read_csv(column(table).config.path).write_parquet(parquet)
    readers = [
        three(table, tmp_path),
        table(parquet, part_column="fold"),
        column(table),
        recbole(tmp_path / "shop"),
    ]
    found = [run(reader, split=split(), engine=engine) for reader in readers[:sources]]
    for data in found:
        assert as_words(data) == WANT
        assert data.num_interactions == sum(map(len, ROWS.values()))  # no row is lost
    assert len({data.fingerprint for data in found}) == 1
    counts = found[0].manifest["split"]
    assert counts["validation_users_without_history"] == 1
    assert counts["test_targets"] == 5
    return found[0]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])  # Spark: see test_engines
def test_files_and_columns_state_the_same_parts(table, run, tmp_path, engine, caplog):
    made = assert_stated_alike(table, run, tmp_path, engine)
    other = run(three(table, tmp_path, {**ROWS, "test": ROWS["test"][:-1]}), split=split())
    assert other.fingerprint != made.fingerprint
    moved = {**ROWS, "validation": [*ROWS["validation"], "a,z,3"], "test": ROWS["test"][1:]}
    assert run(three(table, tmp_path, moved), split=split()).fingerprint != made.fingerprint
    assert "dropped by filters" not in caplog.text


def test_folders_of_parts_and_columns_of_the_hub(table, run, tmp_path):
    for part, lines in ROWS.items():
        (tmp_path / part).mkdir()
        for place, rows in enumerate((lines[:2], lines[2:])):
            (tmp_path / part / f"{place}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    later = {f"{part}_path": str(tmp_path / part) for part in ("validation", "test")}
    data = run(table(tmp_path / "train", **later), split=split())
    assert as_words(data) == WANT
    (tmp_path / "hub").mkdir()
    pl.read_csv(column(table).config.path).write_parquet(tmp_path / "hub" / "train.parquet")
    hub = build(Hub, "data", "hub", path=str(tmp_path / "hub"), part_column="fold")
    assert run(hub, split=split()).fingerprint == data.fingerprint


def some_log(seed=3):
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(60), rng.integers(3, 15, 60))
    items = (rng.zipf(1.4, len(users)) % 40).astype(int)
    return pl.DataFrame(
        {"user_id": users, "item_id": items, "timestamp": rng.integers(0, 60, len(users)) + 10**9}
    )


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("leave_one_out", lambda: build(LeaveOneOut, "split", "leave_one_out")),
        ("last_n", lambda: build(LastN, "split", "last_n", validation_events=2, test_events=3)),
    ],
)
def test_another_split_written_out_is_that_split(table, run, tmp_path, name, rule):
    frame = some_log()
    frame.write_csv(tmp_path / "log.csv")
    whole = run(table(tmp_path / "log.csv"), split=rule(), drop_duplicates=False)
    part = np.zeros(whole.num_interactions, dtype=int)
    for number, phase in ((1, "validation"), (2, "test")):
        for _, _, start, end in whole.segments(phase).tolist():
            part[start:end] = number
    users = np.repeat(np.arange(whole.num_users), np.diff(whole.offsets))
    written = pl.DataFrame(
        {
            "user_id": np.array(whole.user_ids())[users],
            "item_id": np.array(whole.item_ids())[whole.items],
            "timestamp": whole.timestamps,
            "part": part,
        }
    )
    for number, place in enumerate(("train", "validation", "test")):
        chosen = written.filter(pl.col("part") == number).drop("part")
        chosen.write_csv(tmp_path / f"{place}.csv")
    later = {f"{place}_path": str(tmp_path / f"{place}.csv") for place in ("validation", "test")}
    given = run(table(tmp_path / "train.csv", **later), split=split(), drop_duplicates=False)
    assert given.items.tolist() == whole.items.tolist()
    for phase in ("train", "validation", "test"):
        assert given.segments(phase).tolist() == whole.segments(phase).tolist(), name


def test_parts_against_time(table, run, tmp_path, caplog):
    rows = {**ROWS, "validation": ["b,w,7"], "test": ["a,z,3", "b,v,8"]}
    with pytest.raises(UserError) as refused:
        run(three(table, tmp_path, rows), split=split())
    assert str(refused.value) == (
        "split=given: 1 of 3 users have a row that is earlier than one of the preceding part, such "
        "as user 'b': validation earlier than train. Their histories would hold events after the "
        "target. Correct the parts, or set split.out_of_order=keep, as published random splits "
        "need"
    )
    data = run(three(table, tmp_path, rows), split=split(out_of_order="keep"))
    assert as_words(data)["validation"]["b"] == ("yxz", "w")
    assert as_words(data)["test"] == {"a": ("x", "z"), "b": ("yxzw", "v")}
    assert "Their histories hold events after the target" in caplog.text
    assert any("1 of 3 users" in said for said in data.manifest["warnings"])


def test_statistics_and_slices_of_parts_against_time(table, run, tmp_path):
    day = 86_400
    rows = {
        "train": [
            f"{user},{item},{(40 + n) * day}" for user in "abc" for n, item in enumerate("xyz")
        ],
        "validation": [f"{user},w,{20 * day}" for user in "abc"],
        "test": [f"{user},v,{n * day}" for n, user in enumerate("ab")] + [f"c,v,{42 * day + 7}"],
    }
    data = run(three(table, tmp_path, rows), split=split(out_of_order="keep"))
    found = data.manifest["statistics"]["time"]
    assert (found["first"], found["last"]) == ("1970-01-01T00:00:00Z", "1970-02-12T00:00:07Z")
    assert sum(found["events"]["counts"]) == 15
    gaps = [abs(int(gap)) for run in np.split(data.timestamps, data.offsets[1:-1])
            for gap in np.diff(run)]  # fmt: skip
    quartiles = np.quantile(gaps, [0.25, 0.5, 0.75], method="lower").astype(int).tolist()
    assert list(found["gap_seconds"].values()) == quartiles
    since = slice_keys(data, "test")["since_last"].to_list()
    assert since == ["last is later", "last is later", "under 30 days"]


def test_held_out_rows_are_not_dropped_in_silence(table, run, tmp_path, caplog):
    same = {part: [*lines, "a,x,1"] for part, lines in ROWS.items() if part == "train"}
    rows = {**ROWS, **same, "test": [*ROWS["test"], "b,z,11", "b,x,11"]}
    data = run(three(table, tmp_path, rows), split=split())
    # Within the part only: the row of training twice, b's x of test twice.
    assert data.num_interactions == sum(map(len, rows.values())) - 2
    said = [text for text in data.manifest["warnings"] if text.startswith("split=given")]
    assert said == [
        "split=given: 1 of 7 test rows were dropped by filters or as bad rows (see the counts of "
        "rows): results are not those of the published split"
    ]
    assert said[0] in caplog.text
    once = {"train": ["a,x,1", "b,x,1", "b,y,2"], "validation": ["a,x,1", "b,z,3"],
            "test": ["a,x,1", "b,x,4"]}  # fmt: skip
    equal = run(three(table, tmp_path, once), split=split())
    assert as_words(equal)["test"]["a"] == ("xx", "x")  # one event in all parts is a row of each


def test_counts_of_the_given_training_part(table, run, tmp_path):
    rows = {**ROWS, "validation": [*ROWS["validation"], "c,z,4"]}
    counts = {"counts": "training", "min_item_count": 2, "iterative": True}
    data = run(three(table, tmp_path, rows), split=split(), **counts)
    assert as_words(data)["train"] == {"a": "x", "b": "xz", "c": "zx"}  # y is trained on once


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"words": {"train": "1", "validation": "valid", "test": "holdout"}},
         "column 'fold' holds words that are not parts: '1' (6 rows), 'holdout' (5 rows). "
         "Allowed: train, training; validation, valid, val, dev; test"),
        ({"words": {"train": "train", "validation": "", "test": "test"}},
         "column 'fold' holds words that are not parts: None (3 rows)"),
        ({"words": {"train": "train", "validation": "train", "test": "test"}},
         "split=given: the source has no row of validation (rows: train 9, validation 0, test 5)"),
        ({"validation_path": "x.csv"}, "data.validation_path: a published split needs three files"),
        ({"rows": {**ROWS, "train": ["z,y,1"], "validation": ["y,z,2"]}},
         "split=given: no validation target is left (1 users have no event before their targets)"),
    ],
)  # fmt: skip
def test_what_states_no_split_is_refused(table, run, options, said):
    with pytest.raises(UserError) as refused:
        run(column(table, **options), split=split())
    assert said in str(refused.value)


def test_split_and_source_belong_together(table, run, tmp_path):
    with pytest.raises(UserError, match="split=leave_one_out: the source states the part of every"):
        run(column(table))
    plain = table("\n".join([HEADER, *ROWS["train"]]), "plain.csv")
    with pytest.raises(UserError, match=r"split=given: the source does not say .*data.part_column"):
        run(plain, split=split())
    files(tmp_path)
    with pytest.raises(
        UserError, match=r"data\.validation_path: a published split needs three files"
    ):
        run(table(tmp_path / "train.csv", validation_path="validation.csv"), split=split())


def test_files_of_a_published_split_must_be_whole(run, tmp_path):
    reader = recbole(tmp_path)
    (tmp_path / "shop.item").write_text("item_id:token\ttitle:token\nx\tHat\n")
    assert "Hat" in run(reader, split=split()).item_titles()
    (tmp_path / "shop.valid.inter").unlink()
    with pytest.raises(UserError, match=r"shop\.valid\.inter of a published split is missing"):
        run(recbole_of(tmp_path), split=split())
    other = "user_id:token\titem_id:token\ttime:float\na\tx\t1\n"
    (tmp_path / "shop.valid.inter").write_text(other)
    with pytest.raises(UserError, match="all parts must have the same fields"):
        run(recbole_of(tmp_path), split=split())
    listed = "user_id:token\titem_id_list:token_seq\titem_id:token\na\tx y\tz\n"
    (tmp_path / "shop.valid.inter").unlink()
    (tmp_path / "shop.test.inter").unlink()
    (tmp_path / "shop.train.inter").write_text(listed)
    with pytest.raises(UserError, match="'item_id_list' holds whole histories"):
        run(build(RecBole, "data", "recbole", path=str(tmp_path / "shop.train.inter"),
                  time_field=None))  # fmt: skip


def recbole_of(folder):
    return build(RecBole, "data", "recbole", path=str(folder))


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_without_times_rows_stand_in_the_order_of_the_files(table, run, tmp_path, engine):
    rows = {part: [line.rpartition(",")[0] for line in lines] for part, lines in ROWS.items()}
    later = files(tmp_path, rows, header="user_id,item_id")
    reader = table(tmp_path / "train.csv", **later, timestamp_column=None)
    data = run(reader, split=split(), engine=engine)
    assert as_words(data)["test"]["b"] == ("zyxw", "x")
    assert data.manifest["engine"] == engine


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_columns_of_items_are_those_of_training_rows(table, run, tmp_path, engine):
    rows = {part: [f"{line},{part}" for line in lines] for part, lines in ROWS.items()}
    later = files(tmp_path, rows, header=f"{HEADER},brand")
    reader = table(tmp_path / "train.csv", **later, item_features={"brand": "categorical"})
    data = run(reader, split=split(), engine=engine)
    brands = dict(pl.read_parquet(data.path / "items.parquet")["item_id", "brand"].iter_rows())
    assert brands == {"w": None, "x": "train", "y": "train", "z": "train"}


def test_messages_name_the_files_as_they_were_given(table, run, tmp_path, caplog):
    reader = three(table, tmp_path, event_features={"amount": "numeric"})
    for part in ("train", "validation"):
        path = tmp_path / f"{part}.csv"
        first, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{first},amount", *(f"{line},1" for line in lines)]) + "\n")
    with pytest.raises(UserError) as told:
        run(reader, split=split())
    assert "data.event_features.amount=amount: no such column" in str(told.value)
    columns = "user_id, item_id, timestamp"
    assert f"Columns of data.test_path={tmp_path / 'test.csv'}: {columns}" in str(told.value)
    assert "_part" not in str(told.value)
    reader = three(table, tmp_path, {**ROWS, "test": ["a,,3", *ROWS["test"]]})
    run(reader, split=split())
    assert f"row 1 of data.test_path={tmp_path / 'test.csv'}: user_id='a'" in caplog.text
    (tmp_path / "test.tsv").write_text((tmp_path / "test.csv").read_text().replace(",", "\t"))
    with pytest.raises(UserError, match=r"published split have several formats: data\.path="):
        run(three(table, tmp_path, test_path=str(tmp_path / "test.tsv")), split=split())


def test_numbers_of_parts_are_told_how_to_be_written(table, run):
    numbers = {part: str(number) for number, part in enumerate(ROWS)}
    with pytest.raises(UserError) as told:
        run(column(table, words=numbers), split=split())
    code = str(told.value).partition("log.with_columns(")[2].removesuffix(")")
    log = pl.DataFrame({"fold": [0, 1, 2]}).with_columns(eval(code, {"pl": pl}))
    assert log["fold"].to_list() == list(ROWS)
