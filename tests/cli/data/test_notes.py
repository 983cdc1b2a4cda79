from types import SimpleNamespace

import pytest

from recsys_lab.experiment.data_notes import notes_on_data


@pytest.mark.parametrize("candidates", ["all items", "released items"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_notes_depend_on_the_protocol(candidates, exclude_seen):
    again = {"kind": "repeated_targets", "phase": "test", "share": 0.25, "severity": "note"}
    late = {
        "kind": "unreleased_candidates", "phase": "test", "share": 0.5, "severity": "warning",
        "explanation": "60 of 120 are too new", "cure": "evaluation.candidates=released",
    }  # fmt: skip
    manifest = {"leaks": [again, late], "split": {}}
    parts = SimpleNamespace(
        knows_ids_alone=True,
        model=None,
        data=SimpleNamespace(manifest=manifest, num_items=1200, timestamps=None),
        protocol=SimpleNamespace(
            config=SimpleNamespace(
                exclude_seen=exclude_seen, target_period=None, mean_over="users"
            ),
            candidates=lambda: {"candidates": candidates},
        ),
    )
    said = " ".join(notes_on_data(parts))
    assert ("25.0% of the test targets are repeat purchases" in said) == exclude_seen
    assert ("too new. evaluation.candidates=released" in said) == (candidates == "all items")
    for guard_logger in ({"severity": "note"}, {"phase": "validation"}):
        manifest["leaks"] = [{**late, **guard_logger}]
        assert not list(notes_on_data(parts))
    manifest["split"] = {"items_without_events": 5}
    said = " ".join(notes_on_data(parts))
    assert ("5 of 1,200 items have no event" in said) == (candidates == "all items")
    parts.knows_ids_alone = False
    assert "have no event" not in " ".join(notes_on_data(parts))
    manifest["leaks"], manifest["split"] = [], {}
    assert not list(notes_on_data(parts))
    parts.protocol.config.target_period = "week"
    assert "target_period=week: the log has no timestamps" in " ".join(notes_on_data(parts))
