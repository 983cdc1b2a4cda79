"""A journal that was damaged: what reads is kept, and nothing is said of the wrong trial."""

import json

import pytest

from recsys_lab.config import UserError
from tests.sweeps.claimers import study

CREATE, PARAM, STATE = 4, 5, 6


@pytest.fixture
def journal(tmp_path):
    """Six finished trials, of which number ``n`` has the value ``n``."""
    path = tmp_path / "s.journal"
    shared = study(str(path), "random")
    for number in range(6):
        claim = shared.claim(6)
        shared.complete(claim.trial, [float(number)])
    return path


def lines(path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def places(path, op: int, trial: int | None = None) -> list[int]:
    """Lines of an operation, of a trial where it names one."""
    logs = [json.loads(line) for line in lines(path)]
    return [
        place
        for place, log in enumerate(logs)
        if log["op_code"] == op and trial in (None, log.get("trial_id"))
    ]


def damage(path, *damaged: int, by: bytes = b"\x00\xffgarbage\n") -> bytes:
    """Write garbage in place of lines; what the file is then."""
    now = [by if place in damaged else line for place, line in enumerate(lines(path))]
    path.write_bytes(b"".join(now))
    return path.read_bytes()


def opened(path):
    return study(str(path), "random").trials()


def test_a_whole_journal_is_not_touched(journal):
    before = journal.read_bytes()
    assert [trial.value for trial in opened(journal)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert journal.read_bytes().startswith(before)
    assert not list(journal.parent.glob("*.damaged*"))


def test_the_end_of_a_trial_is_lost_and_found_again(journal, caplog):
    place = places(journal, STATE, 2)[-1]
    before = damage(journal, place)
    found = opened(journal)
    assert [trial.state.name for trial in found].count("RUNNING") == 1
    assert [trial.value for trial in found] == [0.0, 1.0, None, 3.0, 4.0, 5.0]
    assert journal.with_name("s.journal.damaged").read_bytes() == before
    assert "1 of" in caplog.text
    assert "the original file is kept as s.journal.damaged" in caplog.text
    assert study(str(journal)).claim(6) is None  # this process lives and has it
    damage(journal, place + 1)
    opened(journal)
    assert journal.with_name("s.journal.damaged+").exists()


@pytest.mark.parametrize("also", [0, 1, 3, 100], ids=["line", "state", "some", "all"])
def test_a_trial_whose_beginning_is_lost_counts_as_failed(journal, caplog, also):
    """However much of what follows is lost with it, values stay with their trials."""
    begin, end = places(journal, CREATE)[3:5]
    points = {trial.number: trial.params for trial in opened(journal)}
    damage(journal, *range(begin, min(begin + 1 + also, end)))
    found = opened(journal)
    assert [trial.number for trial in found] == list(range(6))
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 2
    for trial in found[:3] + found[4:]:
        assert (trial.value, trial.params) == (float(trial.number), points[trial.number])
    assert found[3].params == {}
    assert "the journal was damaged, and this trial is lost" in found[3].user_attrs["cause"]
    assert "trials 3 are lost and count as failed" in caplog.text
    assert study(str(journal)).claim(6) is None


def test_two_neighbours_and_the_last_one_are_lost(journal):
    begins = places(journal, CREATE)
    damage(journal, begins[1], begins[2], begins[5])
    found = opened(journal)
    assert [trial.value for trial in found] == [0.0, None, None, 3.0, 4.0, None]
    assert study(str(journal)).claim(7).trial.number == 6


def test_a_line_that_is_json_and_no_operation(journal):
    damage(journal, places(journal, PARAM, 1)[0], by=b'{"op_code": 5, "trial_id": 1}\n')
    assert [trial.value for trial in opened(journal)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    text = b"[1, 2]\n"
    damage(journal, places(journal, PARAM, 2)[0], by=text)
    assert [trial.value for trial in opened(journal)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert text not in journal.read_bytes()


def test_nothing_is_trusted_after_a_gap_where_trials_do_not_say_their_number(journal):
    """A journal of an earlier version: the next trial may be any."""
    text = journal.read_text()
    for number in range(6):
        text = text.replace(f'"user_attrs":{{"number":{number}}}', '"user_attrs":{}')
    journal.write_text(text)
    begin = places(journal, CREATE)[3]
    damage(journal, begin - 1)
    found = opened(journal)
    assert len(found) == 3
    assert {trial.value for trial in found} <= {0.0, 1.0, 2.0, None}


def test_an_id_out_of_all_bounds_makes_no_million_of_trials(journal):
    with journal.open("ab") as file:
        file.write(b"garbage\n")
        file.write(b'{"op_code":8,"worker_id":"x","trial_id":7000000,"user_attr":{"a":1}}\n')
    assert len(opened(journal)) == 6


def test_a_journal_of_which_nothing_can_be_used_is_left_as_it_is(journal):
    before = damage(journal, 0)
    with pytest.raises(
        UserError, match=r"s\.journal: the lines that describe the study are damaged"
    ):
        opened(journal)
    assert journal.read_bytes() == before
    with pytest.raises(UserError, match=r"use another sweep\.name"):
        opened(journal)


def test_a_journal_that_is_gone_is_not_begun_anew_by_who_has_it_open(journal):
    shared = study(str(journal))
    journal.rename(journal.with_name("away"))
    with pytest.raises(FileNotFoundError):
        shared.claim(7)
    assert not journal.exists()
    journal.with_name("away").rename(journal)
    assert shared.claim(7).trial.number == 6
