from types import SimpleNamespace

import pytest

from recsys_lab.cli.data_notes import notes_on_data


@pytest.mark.parametrize("candidates", ["all items", "released items"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_notes_depend_on_the_protocol(candidates, exclude_seen):
    again = {"kind": "repeated_targets", "phase": "test", "share": 0.25, "severity": "note"}
    late = {
        "kind": "unreleased_candidates", "phase": "test", "share": 0.5, "severity": "warning",
        "explanation": "60 of 120 are too new", "cure": "evaluation.candidates=released",
    }  # fmt: skip
    manifest = {"leaks": [again, late]}
    parts = SimpleNamespace(
        data=SimpleNamespace(manifest=manifest),
        protocol=SimpleNamespace(
            config=SimpleNamespace(exclude_seen=exclude_seen),
            candidates=lambda: {"candidates": candidates},
        ),
    )
    said = " ".join(notes_on_data(parts))
    assert ("25.0% of the test targets stand in" in said) == exclude_seen
    assert ("too new. evaluation.candidates=released" in said) == (candidates == "all items")
    for harmless in ({"severity": "note"}, {"phase": "validation"}):
        manifest["leaks"] = [{**late, **harmless}]
        assert not list(notes_on_data(parts))
    manifest["leaks"] = []
    assert not list(notes_on_data(parts))
