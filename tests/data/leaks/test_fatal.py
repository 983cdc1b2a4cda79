"""``fail_on_leaks``: which findings stop, and what is said then."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.leaks.check import ALL_KINDS, KINDS
from recsys_lab.data.leaks.fatal import fatal, words_of
from recsys_lab.data.leaks.finding import SEVERITIES, Leak

ABOUT_CANDIDATES = next((name for name, kind in ALL_KINDS.items() if kind.of_candidates), None)


def finding(kind, severity, cure=""):
    return Leak(kind, "test", 3, 4, 0.75, severity, f"3 of 4 test targets {kind}", cure).to_json()


def manifest(*leaks, kinds=KINDS):
    return {"leaks": list(leaks), "leak_kinds": list(kinds)}


EACH = manifest(
    finding("cold_targets", "note"), finding("future_in_training", "property"),
    finding("users_in_two_roles", "warning", "Look twice"), finding("target_in_history", "leak"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("option", "stopped_by"),
    [
        (False, ()),
        ([], ()),
        ("leak", ("target_in_history",)),
        *((strictest, ("users_in_two_roles", "target_in_history"))
          for strictest in ("warning", True, "all", ["all"])),
        ("future_in_training", ("future_in_training",)),
        (["leak", "cold_targets"], ("cold_targets", "target_in_history")),
        ("repeated_targets", ()),
    ],
)  # fmt: skip
def test_what_stops(option, stopped_by):
    words = words_of(option)
    if not stopped_by:
        fatal(EACH, words)
        return
    with pytest.raises(UserError) as error:
        fatal(EACH, words)
    head, *lines, last = str(error.value).splitlines()
    assert head == f"fail_on_leaks={','.join(words)}: this dataset leaks."
    assert [line.split(" (")[0].strip() for line in lines] == list(stopped_by)
    assert last == "Follow the advice above, choose another split, or relax fail_on_leaks"


def test_the_cure_is_said():
    with pytest.raises(UserError, match=r"in_two_roles \(test\): 3 of 4 test .*\. Look twice"):
        fatal(EACH, ["warning"])


def test_severities_rise_and_the_strictest_level_leaves_two_out():
    assert SEVERITIES == ("note", "property", "warning", "leak")
    guard_logger = [leak for leak in EACH["leaks"] if leak["severity"] in ("note", "property")]
    fatal(manifest(*guard_logger), words_of(True))


def test_a_word_that_is_none():
    with pytest.raises(UserError) as error:
        words_of(["tied_time", "x"])
    first, second, allowed = str(error.value).splitlines()
    assert first == "fail_on_leaks: unknown kind of leak 'tied_time'; did you mean 'tied_times'?"
    assert second == "fail_on_leaks: unknown kind of leak 'x'."
    assert all(word in allowed for word in ("false", "leak", "warning", "true", "all", *KINDS))


def test_a_dataset_that_was_not_checked_for_all():
    older = manifest(kinds=[kind for kind in KINDS if kind != "tied_times"])
    fatal(older, [])
    fatal(older, ["cold_targets"])
    for word in ("tied_times", "leak"):
        with pytest.raises(UserError, match="did not check for tied_times; delete its folder"):
            fatal(older, [word])
    with pytest.raises(UserError, match=r"did not check for target_in_training, "):
        fatal({"leaks": []}, ["all"])
