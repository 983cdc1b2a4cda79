"""What a run was made with: versions of packages, and the state of the code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

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
"""The file of a run that holds the uncommitted changes of its code."""


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_state(folder: Path) -> tuple[dict[str, Any], str]:
    """Commit and uncommitted changes of the code that runs, when it is a git checkout."""

    def git(*arguments: str) -> str | None:
        # A checkout's own settings may name commands to run; none of them is needed to read it.
        quiet = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
        command = ["git", "--no-optional-locks", "-C", str(folder), *quiet, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode(errors="replace")

    # An installed copy may lie inside another project's checkout: its commit says nothing.
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
