"""An ONNX Runtime session, and padded arrays as its inputs.

Shapes: B histories, L events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError, install_hint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PADDING = -1
"""Index of no item, in histories and lists."""


def padded(
    flat: NDArray[Any], starts_B: NDArray[np.int64], ends_B: NDArray[np.int64], value: int
) -> NDArray[np.int64]:
    """The ranges of a flat array as rows, int64, with a value as padding; at least one column."""
    lengths_B = ends_B - starts_B
    columns = np.arange(max(1, lengths_B.max(initial=0)))
    is_event_BL = columns < lengths_B[:, None]
    rows_BL = np.full(is_event_BL.shape, value, np.int64)
    rows_BL[is_event_BL] = flat[(starts_B[:, None] + columns)[is_event_BL]]
    return rows_BL


def session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        UserError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"an export runs on ONNX Runtime: {install_hint('export')}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that have nothing to do sleep: by default they spin, and take the cores from a server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised, too
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
