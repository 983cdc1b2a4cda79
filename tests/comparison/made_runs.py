"""Run directories written by hand: the files of finished runs, without training anything."""

import json
from pathlib import Path

import numpy as np
import polars as pl

FIELDS = {"data": "d1", "split": {"name": "leave_one_out"}, "exclude_seen": True}


def config(model: str = "SASRec", seed: int = 0, **changes):
    """As ``train`` records it, with dotted changes such as ``model__num_layers=1``."""
    made = {
        "data": {"_target_": "recsys_lab.data.sources.table.TableLog", "path": "log.csv"},
        "model": {"_target_": f"recsys_lab.models.{model.lower()}.{model}"},
        "loss": {"_target_": "recsys_lab.losses.softmax.SoftmaxLoss", "temperature": 1.0},
        "recipe": {"_target_": "r.Recipe", "monitor": "val/ndcg@10", "accelerator": "auto"},
        "evaluation": {"_target_": "e.FullRanking", "score_mib": 64},
        "tracking": {"_target_": "t.NoTracking"},
        "engine": {"_target_": "p.Polars"},
        "seed": seed, "run_dir": f"runs/{seed}", "name": None, "group": None, "tags": [],
    }  # fmt: skip
    if model == "SASRec":
        made["model"] |= {"num_layers": 2, "hidden_dim": 64}
    for key, value in changes.items():
        group, _, name = key.partition("__")
        if name:
            made[group][name] = value
        else:
            made[group] = value
    return made


def write_run(folder: Path, values: dict[str, np.ndarray], **changes) -> Path:
    """A finished run.

    Args:
        folder: is made.
        values: metric -> one value a user.
        changes: fields of the record; ``config``, ``frame`` (extra columns), ``rows`` (the whole
            per-user file), ``fields`` (of the protocol).
    """
    made = dict(changes)
    cfg = made.pop("config", config())
    fields = {**FIELDS, **made.pop("fields", {})}
    users = len(next(iter(values.values())))
    frame = {
        "user": np.arange(users), "target": np.arange(users, dtype=np.int32) % 7,
        "rank": [None] * users, "items": np.zeros((users, 2), dtype=np.int32),
        **values, **made.pop("frame", {}),
    }  # fmt: skip
    rows = made.pop("rows", None)
    fitted = cfg["model"]["_target_"].endswith("Popularity")
    record = {
        "schema_version": 1, "name": cfg["model"]["_target_"].rpartition(".")[2],
        "status": "finished", "created": f"2026-01-0{1 + cfg['seed']}T10:00:00+00:00",
        "command": ["train"], "seed": cfg["seed"], "config": cfg,
        "code": {"commit": "c0ffee", "dirty": False}, "machine": {"cpus": 2},
        "compute": {"seconds": 12.5, "peak_memory_mebibytes": 300.0},
        "data": {"name": "shop", "path": "p", "fingerprint": fields["data"], "num_users": users},
        "protocol": {"fingerprint": json.dumps(fields, sort_keys=True), "fields": fields},
        "epochs": [] if fitted else [{"epoch": 0, "val/ndcg@10": 0.1, "train/loss": 3.0}],
        "best": None if fitted else {"epoch": 0, "still_improving": False},
        "parameters": None if fitted else 1000,
        "validation": {name: float(np.nanmean(column)) for name, column in values.items()},
        "test": {name: float(np.nanmean(column)) for name, column in values.items()},
        **made,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    (rows if rows is not None else pl.DataFrame(frame)).write_parquet(folder / "test_users.parquet")
    return folder


def results(users: int, seed: int, lift: float = 0.0, hits_of: int = 5) -> np.ndarray:
    """Values like those of ndcg@10: mostly zero, the same users easy for every seed."""
    easy = np.random.default_rng(hits_of).random(users)
    rng = np.random.default_rng([seed, int(lift * 1000)])
    hit = rng.random(users) < (0.5 * easy**2) * (1 + lift)
    return np.where(hit, 1 / np.log2(2 + np.arange(users) % 10), 0.0)


def two_systems(folder: Path, users: int = 400, seeds: int = 3, lift: float = 1.0) -> Path:
    """Popularity, and a SASRec that is better by ``lift``, with ``seeds`` seeds each."""
    for seed in range(seeds):
        low = {"ndcg@10": results(users, 0), "popularity@10": np.full(users, 30.0)}
        high = {"ndcg@10": results(users, seed + 1, lift), "popularity@10": np.full(users, 9.0)}
        halves = {"history_length": np.where(np.arange(users) < users // 4, "1-4", "5-9")}
        write_run(folder / f"pop/{seed}", low, config=config("Popularity", seed), frame=halves)
        write_run(folder / f"sas/{seed}", high, config=config("SASRec", seed), frame=halves)
    return folder
