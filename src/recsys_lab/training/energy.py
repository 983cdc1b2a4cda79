"""Energy counters of the GPU, or else of the processor packages."""

from __future__ import annotations

from pathlib import Path

import torch

_POWERCAP = Path("/sys/class/powercap")


class EnergyCounter:
    """Joules since the last reading, of the GPU or of all processor packages.

    Includes the energy of all other processes.

    Attributes:
        readable: whether there is a readable counter.
    """

    def __init__(self) -> None:
        self._last = _counters()
        self.readable = bool(self._last)

    def spent(self) -> float:
        """Joules since the last call, or since this object was created."""
        now, joules = _counters(), 0.0
        for name, (reading, size) in now.items():
            if name in self._last:
                passed = reading - self._last[name][0]
                joules += passed if passed >= 0 else passed + size  # it wrapped around
        self._last = now
        return joules


def _counters() -> dict[str, tuple[float, float]]:
    """Each counter's reading and the value at which it wraps around, in joules."""
    return _of_gpu() if torch.cuda.is_available() else _of_packages()


def _of_gpu() -> dict[str, tuple[float, float]]:
    """By UUID: NVML numbers all GPUs of the machine, torch those that the process may see."""
    try:
        import pynvml

        uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        joules = float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
    except Exception:  # not installed, no permission, or a GPU without a counter
        return {}
    return {uuid: (joules, 0.0)}


def _of_packages() -> dict[str, tuple[float, float]]:
    """Zones ``intel-rapl:N``; those below (``intel-rapl:N:M``) are parts of these."""
    found = {}
    for zone in sorted(_POWERCAP.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue
        try:
            reading, size = (
                int((zone / name).read_text()) / 1e6
                for name in ("energy_uj", "max_energy_range_uj")
            )
        except (OSError, ValueError):  # absent, or readable by the administrator alone
            continue
        found[zone.name] = (reading, size)
    return found
