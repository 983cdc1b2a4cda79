"""Launchers, and the fast paths that a run on this machine takes or does not take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.doctor.finding import Finding
from recsys_lab.losses.softmax import why_not_liger
from recsys_lab.sweeps.launchers.local import visible_devices
from recsys_lab.training.try_out import compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_JAVA = 17
"""The oldest version that Spark 4 runs on."""
_SECONDS = 30.0


def launchers() -> list[Finding]:
    """Whether a sweep can use each choice of ``launcher=``."""
    return [
        _launcher(file.stem, OmegaConf.load(file))
        for file in sorted((config_dir() / "launcher").glob("*.yaml"))
    ]


def _launcher(name: str, options: Any) -> Finding:
    try:
        build(options)
    except UserError as error:
        return Finding(name, False, str(error))
    if name == "slurm":
        found = shutil.which("sbatch")
        return Finding(name, bool(found), found or "no sbatch on the PATH")
    if name == "local":
        devices = len(visible_devices())
        return Finding(name, True, f"{devices} GPUs" if devices else "no GPU: processes on the CPU")
    return Finding(name, True, "installed")


def fast_paths() -> list[Finding]:
    """What ``auto`` and the options that need something of the machine come to."""
    return [made(device()) for made in _PATHS]


def device() -> str:
    """The device that ``recipe.accelerator=auto`` uses."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _bf16(device: str) -> Finding:
    name = "recipe.precision=auto"
    if device == "cpu":
        return Finding(name, False, "32: bf16-mixed by default on a GPU only")
    if torch.cuda.is_bf16_supported():
        return Finding(name, True, "bf16-mixed")
    return Finding(name, False, "32: this GPU has no bfloat16")


def _kernel(device: str) -> Finding:
    problem = why_not_liger(device)
    reason = f"blocks: {problem}" if problem else "liger"
    return Finding("loss.kernel=auto", problem is None, reason)


def _compile(device: str) -> Finding:
    found, wanted = compiler(device)
    return Finding("recipe.compile=true", found is not None, found or f"there is {wanted}")


def _allocator(device: str) -> Finding:
    del device
    has_glibc = sys.platform == "linux" and bool(os.confstr("CS_GNU_LIBC_VERSION"))
    return Finding(
        "memory returned to the system",
        has_glibc,
        str(os.confstr("CS_GNU_LIBC_VERSION")) if has_glibc else "only with glibc",
    )


def _processes(device: str) -> Finding:
    name = "torchrun"
    if not torch.distributed.is_available():
        return Finding(name, False, "torch is built without torch.distributed")
    nccl = torch.distributed.is_nccl_available()
    if device == "cuda":
        return Finding(name, nccl, "NCCL" if nccl else "torch is built without NCCL")
    return Finding(name, torch.distributed.is_gloo_available(), "gloo, on the CPU")


def _spark(device: str) -> Finding:
    del device
    name = "engine=spark"
    if find_spec("pyspark") is None:
        return Finding(name, False, "pyspark is not installed")
    version = _java_version()
    if version is None:
        return Finding(name, False, f"no Java found; needs {_JAVA} or newer")
    return Finding(name, version >= _JAVA, f"Java {version}, needs {_JAVA} or newer")


def _onnx(device: str) -> Finding:
    del device
    name = "serving an export"
    if find_spec("onnxruntime") is None:
        return Finding(name, False, "onnxruntime is not installed")
    import onnxruntime

    return Finding(name, True, f"ONNX Runtime: {', '.join(onnxruntime.get_available_providers())}")


_PATHS: tuple[Callable[[str], Finding], ...] = (
    _bf16, _kernel, _compile, _processes, _allocator, _spark, _onnx,
)  # fmt: skip


def _java_version() -> int | None:
    """Major version of the Java that Spark would start, or None."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, "-version"), capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(_majors(done.stderr + done.stdout), None)


def _majors(text: str) -> Iterator[int]:
    """Major versions in Java's answer, e.g. ``openjdk version "17.0.2" 2022-01-18``."""
    for word in text.split():
        head = word.strip('"').removeprefix("1.").partition(".")[0]
        if word.startswith('"') and head.isdigit():
            yield int(head)
