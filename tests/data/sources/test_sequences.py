from __future__ import annotations

from pathlib import Path

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.sequences import Sequences


@pytest.fixture
def sequences(tmp_path, make):
    def write(content):
        path = tmp_path / "log.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return make(Sequences, "data", "sequences", path=str(path))

    return write


def test_lines_become_events_in_order(sequences, run):
    reader = sequences("2 30 4 4\r\n\n  1\t7  30 4 \n2 9\n3\n")
    raw = reader.read_raw(Path())
    assert raw.interactions.rows() == [
        *[(2, 30), (2, 4), (2, 4)],
        *[(1, 7), (1, 30), (1, 4)],
        (2, 9),
    ]
    assert raw.dropped == {"line with a user and no item": 1}
    data = run(reader)
    assert data.user_ids() == [1, 2]
    assert data.item_ids() == [4, 7, 9, 30]
    assert data.items.tolist() == [1, 3, 0, 3, 0, 0, 2]  # the repeat of 4 stays
    assert data.timestamps is None


def test_text_ids(sequences):
    raw = sequences("u1 B00 B01\nu2 007 7").read_raw(Path())
    assert raw.interactions.rows() == [("u1", "B00"), ("u1", "B01"), ("u2", "007"), ("u2", "7")]


def test_errors(sequences, make):
    with pytest.raises(
        UserError, match=r"no line is 'user item item ...'.*the first is 'user,item'"
    ):
        sequences("user,item\n1,2\n").read_raw(Path())
    with pytest.raises(UserError, match="no line is"):
        sequences("\n\n").read_raw(Path())
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte 2\)"):
        sequences(b"1 \xff\n").read_raw(Path())
    with pytest.raises(UserError, match=r"data.path is not set.*data.path=Beauty.txt"):
        make(Sequences, "data", "sequences").source_key()


def test_beauty_counts(shared, make, run):
    path = shared / "amazon-2014" / "Beauty.txt"
    data = run(make(Sequences, "data", "sequences", path=str(path)))
    assert (data.num_users, data.num_items, data.num_interactions) == (22_363, 12_101, 198_502)
    last = [line.split()[-1] for line in path.read_text().splitlines()]
    targets = data.items[data.segments("test")[:, 2]]
    assert [data.item_ids()[i] for i in targets[:100]] == [int(x) for x in last[:100]]
