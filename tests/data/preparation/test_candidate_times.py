"""What a prepared dataset knows of the moments at which items came."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.splits.rolling import Rolling

DAY = 86_400
START = 1_600_000_000


@pytest.fixture
def data(table, run, make, tmp_path):
    """Two users, one event a day each; item 9 comes after the window, which ends with day 6."""
    days = {0: [1, 2, 3, 4, 5, 6, 9], 1: [2, 1, 4, 3, 6, 5, 9]}
    lines = [
        f"{user},{item},{START + day * DAY + user}"
        for user, items in days.items()
        for day, item in enumerate(items)
    ]
    (tmp_path / "items.csv").write_text("item_id,since\n1,2020-09-01\n2,\n9,2020-10-01\n")
    options = {"num_windows": 2, "window": 0, "window_days": 2, "validation_days": 1}
    split = make(Rolling, "split", "rolling", **options)
    reader = table(
        "\n".join(["user_id,item_id,timestamp", *lines]), items_path=str(tmp_path / "items.csv")
    )
    return run(reader, split=split)


def test_first_events_and_release(data, monkeypatch):
    expected = [START + day * DAY for day in (0, 1 - 1, 2, 3 - 1, 4, 4, 6)]
    expected[1], expected[3], expected[5] = START + 1, START + 2 * DAY + 1, START + 4 * DAY + 1
    assert data.item_ids() == [1, 2, 3, 4, 5, 6, 9]
    assert data.first_event_times().tolist() == expected
    monkeypatch.setattr("recsys_lab.data.splits.ranges.CHUNK", 3)
    assert data.first_event_times().tolist() == expected
    times, known = data.item_times("since")
    assert known.tolist() == [True, False, False, False, False, False, True]
    assert times[known].tolist() == [1_598_918_400, 1_601_510_400]
    with pytest.raises(UserError, match=r"release_column=sinc: the items have no .*mean 'since'"):
        data.item_times("sinc")


def test_items_outside_the_periods_are_counted(data):
    assert data.manifest["split"]["items_unused"] == 1


def test_batches_tell_the_time_of_the_target(data):
    options = {"batch_size": 9, "window": None, "exclude_seen": False}
    [batch] = EvaluationBatches(data, "test", target_times=True, **options)
    at = data.segments("test")[:, 2]
    assert batch.target_times_B.tolist() == data.timestamps[at].tolist()
    assert batch.to("cpu").target_times_B.tolist() == batch.target_times_B.tolist()
    assert batch.history.next_times_B is None  # a model is not told
    [bare] = EvaluationBatches(data, "test", **options)
    assert bare.target_times_B is None
