"""Folders of runs for the dashboard, written by hand: nothing is trained."""

import json
import os
import time
from pathlib import Path

import numpy as np

from recsys_lab.files.digests import seal
from recsys_lab.runs.epochs import write_epochs
from tests.comparison.made_runs import config, results, write_run

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz12"
HOSTILE = "<script>alert('x')</script>\"'&{{7*7}}"


def history(count: int, best: float = 0.1) -> list[dict[str, float]]:
    """Epochs of a curve that rises to ``best``."""
    return [
        {"epoch": n, "val/ndcg@10": best * (1 - 0.9 ** (n + 1)), "train/loss": 5 - 0.02 * n}
        for n in range(count)
    ]


def write_record(folder: Path, config: dict, **changes) -> Path:
    """A sealed record without the other files of a run."""
    test = {"ndcg@10": 0.1, "hr@10": 0.2}
    values = {
        "schema_version": 2, "name": config["model"]["_target_"].rpartition(".")[2],
        "status": "finished", "created": f"2026-01-0{1 + config['seed'] % 9}T10:00:00+00:00",
        "command": ["train"], "seed": config["seed"], "config": config,
        "code": {"commit": "c0ffee", "dirty": False}, "machine": {"cpus": 2},
        "packages": {f"package-{number}": "1.2.3" for number in range(120)},
        "compute": {"seconds": 12.5, "prepare_seconds": 1.0, "peak_memory_mebibytes": 300.0},
        "data": {"name": "shop", "path": "p", "fingerprint": "d1", "num_users": 100},
        "protocol": {"fingerprint": "f1", "fields": {"data": "d1"}},
        "epochs": history(30), "best": {"epoch": 29, "still_improving": False},
        "parameters": 1000, "validation": test, "test": test, "files": {},
        **changes,
    }  # fmt: skip
    values = {key: value for key, value in values.items() if value is not ...}
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(values | {"digest": seal(values)}))
    return folder


def running(folder: Path, config: dict, epochs: int, **changes) -> Path:
    """A run in training, without a process of this machine."""
    lacking = dict.fromkeys(("best", "parameters", "validation", "test", "protocol"), ...)
    write_record(folder, config, status="running", epochs=[], **lacking, **changes)
    write_epochs(folder, history(epochs), 0)
    return folder


def aged(folder: Path, seconds: float) -> Path:
    """A run whose files were written some time ago."""
    for file in folder.iterdir():
        os.utime(file, (time.time() - seconds,) * 2)
    return folder


def searched(number: int) -> dict:
    """The config of a run of a search over five settings."""
    rng = np.random.default_rng(number)
    made = config(
        "SASRec", number % 5,
        model__num_layers=int(rng.integers(1, 5)), model__dropout=round(rng.random() / 2, 2),
        recipe__learning_rate=float(f"{10 ** rng.uniform(-4, -2):.3g}"),
        recipe__batch_size=int(2 ** rng.integers(6, 10)), recipe__monitor="val/ndcg@10",
        run_dir=f"elsewhere/{number}",
    )  # fmt: skip
    made["loss"] = {"_target_": f"recsys_lab.losses.{'bce.BCE' if number % 3 else 'sce.SCE'}"}
    return made


def many(folder: Path, count: int) -> Path:
    """Runs of a search."""
    for number in range(count):
        made = searched(number)
        value = 0.05 + 0.02 * made["model"]["num_layers"] + 0.02 * np.sin(number)
        metrics = {"ndcg@10": round(float(value), 4), "hr@10": round(float(1.7 * value), 4)}
        write_record(
            folder / f"2026-11-{1 + number % 25:02d}" / f"{number:04d}", made,
            created=f"2026-11-{1 + number % 25:02d}T10:{number % 60:02d}:00+00:00",
            test=metrics, validation=metrics, epochs=history(30, float(value)),
        )  # fmt: skip
    return folder


def compared(folder: Path) -> Path:
    """Two runs that differ, with the results of each user, and one of another protocol."""
    for name, model, lift in (("pop", "Popularity", 0.0), ("sas", "SASRec", 1.0)):
        values = {"ndcg@10": results(150, 1, lift), "popularity@10": np.full(150, 9.0 + lift)}
        write_run(folder / name, values, config=config(model, 0))
    write_run(
        folder / "other", {"ndcg@10": results(150, 2)}, config=config("GRU4Rec", 0),
        fields={"exclude_seen": False},
    )  # fmt: skip
    return folder


def of_every_kind(folder: Path) -> Path:
    """Runs in every state, hostile and damaged ones, a sweep and comparisons."""
    compared(folder / "compared")
    many(folder / "search", 12)
    for number in range(3):
        write_record(folder / f"sweep/trials/{number:04d}", searched(number), name=f"hunt {number}")
    write_record(folder / "sweep/trials/0003", searched(3), status="pruned", name="hunt 3")
    plan = {"folder": "/elsewhere", "storage": f"mysql://u:{TOKEN}@h/db"}
    (folder / "sweep/plan.json").write_text(json.dumps(plan | {"options": {"n_trials": 40}}))
    (folder / "sweep/report.html").write_text("<h1>the sweep</h1><script>alert(1)</script>")
    (folder / "comparison").mkdir()
    systems = [{"name": "SASRec"}, {"name": HOSTILE}]
    (folder / "comparison/comparison.json").write_text(
        json.dumps({"systems": systems, "main_metric": "ndcg@10"})
    )
    (folder / "comparison/report.html").write_text("<h1>the comparison</h1>")
    running(folder / "live/elsewhere", config(recipe__max_epochs=50), 12)
    aged(running(folder / "live/killed", config(seed=1), 12), 90_000)
    failure = {"type": "ValueError", "message": f"no access with token {TOKEN} {HOSTILE}"}
    write_record(
        folder / "live/failed", config(), status="failed", failure=failure, epochs=[],
        best=None, test=..., validation=..., name="x" * 150,
    )  # fmt: skip
    write_record(folder / "live/interrupted", config(seed=2), status="interrupted", test=...)
    hostile = config(name=HOSTILE, tags=[HOSTILE], notes=f"password={TOKEN}", model__odd=HOSTILE)
    write_record(folder / f"live/{HOSTILE.replace('/', '-')}", hostile, name=HOSTILE)
    return damaged(folder / "damaged").parent


def damaged(folder: Path) -> Path:
    """Run folders that cannot be read."""
    texts = {
        "half": '{"schema_version": 2, "name": "half', "empty": "", "list": "[]",
        "ancient": '{"schema_version": 0}', "future": '{"schema_version": 99}',
        "bare": '{"schema_version": 1, "status": "finished"}',
        "deep": "[" * 100_000,
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "run.json").write_text(text)
    (folder / "folder/run.json").mkdir(parents=True)
    (folder / "nothing").mkdir()
    (folder / "binary").mkdir()
    (folder / "binary/run.json").write_bytes(bytes(range(256)))
    (folder / "loop").symlink_to(folder)
    return folder
