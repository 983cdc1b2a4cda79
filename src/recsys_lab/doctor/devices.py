"""Processor, memory, disk and GPUs of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import torch

from recsys_lab.config.cores import usable_cores
from recsys_lab.training.free_memory import free_memory

_SECONDS = 20.0
"""How long a program of the machine may take to answer."""


def processor() -> dict[str, Any]:
    """Model, cores, and vector instructions that torch uses."""
    return {
        "model": _model(Path("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def memory_and_disk(folder: Path) -> dict[str, int]:
    """Bytes that this process can still allocate, and that the disk of a folder has left."""
    return {"free_memory": free_memory("cpu"), "free_disk": shutil.disk_usage(folder).free}


def gpus() -> tuple[list[dict[str, Any]], str]:
    """The CUDA devices that torch can use, and why there are none or how they are reached."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        return [], _why_none([str(each.message) for each in told])
    return [_gpu(number) for number in range(torch.cuda.device_count())], (
        f"CUDA {torch.version.cuda}, driver {_driver() or 'unknown: nvidia-smi did not answer'}"
    )


def _gpu(number: int) -> dict[str, Any]:
    found = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    return {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "memory": total,
        "free_memory": free,
        "bf16": torch.cuda.is_bf16_supported(),
    }


def _why_none(told: list[str]) -> str:
    """Why torch finds no CUDA device."""
    driver = _driver()
    if torch.version.cuda is None:
        build = f"torch {torch.__version__} is built without CUDA"
        return f"{build}; the machine has a GPU driver {driver}" if driver else build
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all devices"
    if driver is None:
        return "no GPU driver: nvidia-smi is missing or fails"
    return f"driver {driver}, but torch's CUDA {torch.version.cuda} cannot use it: " + (
        " ".join(told[0].split()) if told else "no reason given"
    )


def _driver() -> str | None:
    """Version of NVIDIA's driver, or None without one."""
    asked = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def _model(cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None)
