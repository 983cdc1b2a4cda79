"""The versions of packages and the state of the code of a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = (
    "recsys-lab",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "numpy",
    "polars",
    "narwhals",
    "pyarrow",
    "transformers",
    "wandb",
    "optuna",
)
DIFF = "code.diff"
"""The file of a run with the uncommitted changes of its code."""


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def code_state(folder: Path) -> tuple[dict[str, Any], str]:
    """Commit and uncommitted changes of the running code, if it is in a git checkout."""

    def git(*arguments: str) -> str | None:
        # The settings of a checkout can name commands; none of them may run here.
        quiet = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
        command = ["git", "--no-optional-locks", "-C", str(folder), *quiet, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode(errors="replace")

    # An installed copy may lie inside the checkout of another project, whose commit is irrelevant.
    ours = git("ls-files", "--error-unmatch", __file__) is not None
    commit = git("rev-parse", "HEAD") if ours else None
    if commit is None:
        return {"commit": None, "dirty": None}, ""
    parts = (":/src", ":/configs")
    diff = git("diff", "--no-ext-diff", "--no-textconv", "HEAD", "--", *parts) or ""
    new = git("ls-files", "--others", "--exclude-standard", "--full-name", "--", *parts) or ""
    files = new.split()
    state = {"commit": commit.strip(), "dirty": bool(diff or files), "untracked": files}
    if diff:
        state["diff_sha256"] = hashlib.sha256(diff.encode()).hexdigest()
    return state, diff
