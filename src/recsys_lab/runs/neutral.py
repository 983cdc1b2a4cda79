"""Settings that do not distinguish runs: labels, paths, speed and memory."""

from __future__ import annotations

NEUTRAL = frozenset(
    {
        "seed",
        "run_dir",
        "resume",
        "init_from",
        "from",
        "debug",
        "name",
        "group",
        "tags",
        "notes",
        "prepared_dir",
        "fail_on_leaks",
        "verify",
        "recipe.accelerator",
        "recipe.devices",
        "recipe.precision",
        "recipe.compile",
        "recipe.checkpoint_every_steps",
        "recipe.data_on_device",
        "recipe.matmul_precision",
        "recipe.log_every",
        "recipe.profile",
        "loss.memory_mib",
        "loss.kernel",
    }
)
"""Settings that do not distinguish systems: labels, paths, speed and memory. The resulting
precision, device and initial weights are in the run's identity; smoke tests are left out."""

NEUTRAL_GROUPS = ("tracking", "engine", "evaluation")
"""Trackers, data engines (equal results), and the protocol, which is compared separately."""


def is_neutral(key: str) -> bool:
    """Whether a dotted key of a config does not distinguish systems.

    Paths are neutral too: the contents of files are fingerprinted.
    """
    group, last = key.partition(".")[0], key.rpartition(".")[2]
    return key in NEUTRAL or group in NEUTRAL_GROUPS or last.endswith(("path", "_dir"))
