"""Makes the report."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config.secrets import is_secret_name, scrubbed
from recsys_lab.doctor import devices, packages, paths
from recsys_lab.runs.provenance import code_state
from recsys_lab.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.doctor.finding import Finding

_READ = (
    "RECSYS_LAB_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "OMP_", "MKL_", "MALLOC_", "PYTORCH_",
    "TORCH", "TRITON_", "SLURM_", "RAY_", "JAVA_HOME", "SPARK_", "HF_", "TRANSFORMERS_", "WANDB_",
    "MLFLOW_", "HYDRA_", "PYTHONPATH", "CC", "CXX",
)  # fmt: skip
"""How the names of variables begin that change what a run uses."""


@dataclass(frozen=True)
class Report:
    """What was found on this machine. Sizes are in bytes.

    Attributes:
        lab: version, commit and uncommitted changes of the code, Python, operating system.
        processor: see `recsys_lab.doctor.devices.processor`.
        free_memory: that this process can still allocate.
        free_disk: of the current folder.
        gpus: name, compute capability and memory of each.
        cuda: versions, or why there is no GPU.
        packages: installed versions of what the lab requires.
        extras: whether each extra is complete.
        launchers: whether a sweep can use each.
        fast_paths: what a run here takes or does not take.
        environment: variables that change what a run uses; secrets without their values.
    """

    lab: dict[str, Any]
    processor: dict[str, Any]
    free_memory: int
    free_disk: int
    gpus: list[dict[str, Any]]
    cuda: str
    packages: dict[str, str]
    extras: list[Finding]
    launchers: list[Finding]
    fast_paths: list[Finding]
    environment: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(folder: Path) -> Report:
    """Look at this machine.

    Args:
        folder: whose disk is measured.
    """
    environment = _environment(os.environ)  # first: libraries set variables when imported
    code, _ = code_state(Path(__file__).parent)
    found, cuda = devices.gpus()
    return Report(
        lab={
            "version": __version__,
            "commit": code["commit"],
            "changed": code["dirty"],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        processor=devices.processor(),
        **devices.memory_and_disk(folder),
        gpus=found,
        cuda=cuda,
        packages=packages.versions(),
        extras=packages.extras(),
        launchers=paths.launchers(),
        fast_paths=paths.fast_paths(),
        environment=environment,
    )


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: "set" if is_secret_name(name) else scrubbed(value)
        for name, value in sorted(variables.items())
        if name.startswith(_READ)
    }
