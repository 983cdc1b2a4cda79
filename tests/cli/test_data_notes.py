from types import SimpleNamespace

import pytest

from recsys_lab.cli.data_notes import notes_on_data


@pytest.mark.parametrize("candidates", ["all items", "released items"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_notes_depend_on_the_protocol(candidates, exclude_seen):
    leak = {"kind": "repeated_targets", "phase": "test", "share": 0.25}
    manifest = {"leaks": [leak], "split": {"items_unused": 60}}
    parts = SimpleNamespace(
        data=SimpleNamespace(manifest=manifest, num_items=1200, timestamps=None),
        protocol=SimpleNamespace(
            config=SimpleNamespace(exclude_seen=exclude_seen, target_period=None),
            candidates=lambda: {"candidates": candidates},
        ),
    )
    said = " ".join(notes_on_data(parts))
    assert ("25.0% of the test targets stand in" in said) == exclude_seen
    assert ("60 of 1,200 items have no event in the periods" in said) == (candidates == "all items")
    manifest["leaks"], manifest["split"] = [], {}
    assert not list(notes_on_data(parts))
    parts.protocol.config.target_period = "week"
    assert "target_period=week: the log has no times" in " ".join(notes_on_data(parts))
