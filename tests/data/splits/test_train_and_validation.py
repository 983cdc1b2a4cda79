"""Training rows that hold validation events, too, by hand."""

import numpy as np

from recsys_lab.data.splits.cold_start import train_and_validation


def test_rows_reach_to_the_last_validation_target():
    train = np.array([
        [0, 0, 5],  # validation has a target at 5
        [1, 10, 14],  # no validation
        [3, 33, 36],  # trained on a period alone; validation reads from 30 on
    ])  # fmt: skip
    validation = np.array([
        [0, 0, 5, 6],
        [2, 20, 24, 26],  # held out of training: its history and both targets
        [3, 30, 37, 39],  # an event between training and targets is of validation
    ])  # fmt: skip
    rows = train_and_validation(train, validation)
    assert rows.tolist() == [[0, 0, 6], [1, 10, 14], [2, 20, 26], [3, 33, 39]]


def test_nobody_is_held_out():
    train = np.array([[4, 2, 9]])
    rows = train_and_validation(train, np.empty((0, 4), dtype=np.int64))
    assert rows.tolist() == train.tolist()
