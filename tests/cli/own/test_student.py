"""The journey of ``scripts/journeys/student.py``, with what it leaves and says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.journeys.student import MODULES, journey

from recsys_lab.cli.main import run_command
from tests.cli.flow import record


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def test_own_parts_from_the_first_command_to_the_comparison(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", ",".join(MODULES))
    said: list[str] = []

    def run(arguments):
        code = run_command(list(arguments))
        said.append(" ".join("".join(capsys.readouterr()).split()))
        return code, said[-1]

    forget()
    journey(run)
    forget()
    explained, missing, renamed, smoke, one, *_, compared = said
    assert "loss.margin=0.5 a float >= 0" in explained
    assert "There is conf/model/mean_pool.yaml: add --config-dir conf." in missing
    assert "here it is recipe.learning_rate=0.01" in renamed
    assert "debug=fast: a smoke test" in smoke
    assert "overfit: the loss of one batch fell from" in one
    # Two seeds of one's own model against popularity; the smoke tests are left out.
    assert compared.count("its numbers mean nothing") == 2
    found = json.loads(Path("compared/comparison.json").read_text())
    systems = {system["name"]: len(system["runs"]) for system in found["systems"]}
    assert sorted(systems.values()) == [1, 2]
    assert "Popularity" in systems
    assert {"effort@10", "unseen@10"} <= {metric["name"] for metric in found["metrics"]}
    again = record("runs/own/1")
    assert again["config"]["loss"] == record("runs/own/0")["config"]["loss"]
    assert again["from"]["changed"] == {"seed": [0, 1]}
    assert [record(f"runs/{name}")["config"]["debug"] for name in ("smoke", "one")] == [
        "fast",
        "overfit",
    ]
