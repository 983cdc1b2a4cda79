"""Event types from the log to the targets."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.data.splits.leave_one_out import LeaveOneOut

LOG = """user_id,item_id,timestamp,event
a,1,1,view
a,1,2,purchase
a,2,3,view
a,3,4,purchase
a,4,5,cart
a,4,6,purchase
a,5,7,view
b,5,1,view
b,1,2,purchase
b,2,3,purchase
b,2,4,
"""


PURCHASES = ["purchase"]


@pytest.fixture
def prepared(table, run, make):
    def prepare_it(content=LOG, types=PURCHASES, column="event", **options):
        split = make(LeaveOneOut, "split", "leave_one_out", target_events=types)
        return run(table(content, event_type_column=column), split=split, **options)

    return prepare_it


def test_a_log_by_hand(prepared):
    data = prepared()
    assert data.item_ids() == [1, 2, 3, 4, 5]
    assert data.is_target.tolist() == [c == "p" for c in "vpvpcpv" + "vpp-"]
    assert data.segments("train").tolist() == [[0, 0, 3], [1, 7, 8]]
    assert data.segments("validation").tolist() == [[0, 0, 3, 4], [1, 7, 8, 9]]
    assert data.segments("test").tolist() == [[0, 0, 5, 6], [1, 7, 9, 10]]
    assert data.manifest["settings"]["split"]["target_events"] == ["purchase"]
    assert "target_events" in (data.path / "card.html").read_text()
    [batch] = EvaluationBatches(data, "test", batch_size=9, window=None, exclude_seen=True)
    assert batch.history.items_T.tolist() == [0, 0, 1, 2, 3, 4, 0]
    assert batch.target_items.tolist() == [3, 1]


def test_other_purchases_are_another_dataset(prepared, tmp_path):
    first = prepared().fingerprint
    assert prepared(root=tmp_path / "again").fingerprint == first
    # Equal items and times, and equal targets, but another event may be one.
    other = prepared(LOG.replace("a,1,2,purchase", "a,1,2,view"))
    assert other.segments("test").tolist() == prepared().segments("test").tolist()
    assert other.fingerprint != first
    assert prepared(types=None).fingerprint != first


def test_filters_of_the_training_part_know_the_targets(prepared):
    data = prepared(counts="training", max_history=2, min_item_count=0)
    # Of user a the view of item 1 goes: the last two training events are the purchase and 2.
    assert data.segments("train").tolist() == [[0, 0, 2], [1, 6, 7]]
    assert data.is_target.tolist() == [c == "p" for c in "pvpcpv" + "vpp-"]


@pytest.mark.parametrize(
    ("types", "column", "said"),
    [
        (["purchse"], "event", "split.target_events=[purchse]: no event is of type 'purchse'; did "
         "you mean 'purchase'? Types of the events that were kept: cart (1), purchase (5), "
         "view (4)"),
        (["purchase"], None, "split.target_events=[purchase]: this log has no event types. Name "
         "their column with data.event_type_column"),
        ([], "event", "split.target_events=[]: no type is given. Types"),
    ],
)  # fmt: skip
def test_types_that_are_not_there(prepared, types, column, said):
    with pytest.raises(UserError) as error:
        prepared(types=types, column=column)
    assert said in str(error.value)


def test_batches_say_which_events_the_loss_may_ask_for(prepared):
    data = prepared()
    options = {"batch_size": 9, "window": 3, "seed": 0}
    [batch] = TrainingBatches(data, supervised=data.is_target, **options)
    assert batch.items_T.tolist() == [0, 0, 1]
    assert batch.supervised_T.tolist() == [False, True, False]
    [batch] = TrainingBatches(data, **options)
    assert batch.supervised_T is None
