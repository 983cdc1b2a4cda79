"""The versions of packages and the state of the code of a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from recsys_lab.config import UserError

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
COMMIT = "RECSYS_LAB_COMMIT"
"""The environment variable with the commit of code that lies outside of git, as in the image."""


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
    """Commit and uncommitted changes of the running code.

    Outside of a git checkout the commit is that of the environment variable `COMMIT`, if it is set.

    Raises:
        UserError: the variable has no commit.
    """

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
        return _stated(os.environ.get(COMMIT, "")), ""
    parts = (":/src", ":/configs")
    diff = git("diff", "--no-ext-diff", "--no-textconv", "HEAD", "--", *parts) or ""
    new = git("ls-files", "--others", "--exclude-standard", "--full-name", "--", *parts) or ""
    files = new.split()
    state = {"commit": commit.strip(), "dirty": bool(diff or files), "untracked": files}
    if diff:
        state["diff_sha256"] = hashlib.sha256(diff.encode()).hexdigest()
    return state, diff


def _stated(text: str) -> dict[str, Any]:
    """The code's state as an image states it: a commit, with ``-dirty`` after changes."""
    if not text:
        return {"commit": None, "dirty": None}
    match = re.fullmatch(r"([0-9a-f]{7,64})(-dirty)?", text)
    if match is None:
        raise UserError(
            f"{COMMIT}: got {text!r}, expected a commit of the lab, 7 to 64 hexadecimal digits, "
            "with -dirty after uncommitted changes; correct or unset this environment variable"
        )
    return {"commit": match[1], "dirty": match[2] is not None, "untracked": [], "stated_by": COMMIT}
