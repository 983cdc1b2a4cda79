from types import SimpleNamespace

import pytest

from recsys_lab.cli.data_notes import notes_on_data


@pytest.mark.parametrize("candidates", ["all items", "released items"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_notes_depend_on_the_protocol(candidates, exclude_seen):
    leak = {"kind": "repeated_targets", "phase": "test", "share": 0.25}
    manifest = {"leaks": [leak], "split": {"items_unused": 60}}
    parts = SimpleNamespace(
        knows_ids_alone=True,
        model=None,
        data=SimpleNamespace(manifest=manifest, num_items=1200),
        protocol=SimpleNamespace(
            config=SimpleNamespace(exclude_seen=exclude_seen),
            candidates=lambda: {"candidates": candidates},
        ),
    )
    said = " ".join(notes_on_data(parts))
    assert ("25.0% of the test targets stand in" in said) == exclude_seen
    assert ("60 of 1,200 items have no event in the periods" in said) == (candidates == "all items")
    manifest["split"] = {"items_without_events": 5}
    said = " ".join(notes_on_data(parts))
    assert ("5 of 1,200 items have no event" in said) == (candidates == "all items")
    parts.knows_ids_alone = False
    assert "have no event" not in " ".join(notes_on_data(parts))
    manifest["leaks"], manifest["split"] = [], {}
    assert not list(notes_on_data(parts))
