"""Checkpoint files with a checksum, written atomically and read without executing pickled code.

The file is the zip archive of `torch.save`; the archive's comment is the SHA-256 of all bytes
before it. `torch.load` reads it as usual.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from recsys_lab.config import UserError
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.files.digests import sha256_of_first
from recsys_lab.files.reading import reading

_MARK = b"recsys_lab sha256 "
_COMMENT = len(_MARK) + 64


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes and reads ``last.ckpt`` for Lightning."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to a temporary file, flush to disk, rename."""
        del storage_options
        replace_atomically(Path(path), lambda temporary: _write(checkpoint, temporary))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> Any:
        """Read tensors and plain containers only, whatever ``weights_only`` is."""
        del weights_only
        return read_checkpoint(Path(path), map_location or "cpu")


def read_checkpoint(path: Path, map_location: Any = "cpu") -> Any:
    """The content of a checkpoint: tensors and plain containers.

    A checkpoint of an older version, without a checksum, is read without the check.

    Args:
        path: the file.
        map_location: device of the tensors.

    Raises:
        UserError: it is damaged.
    """
    cure = begin_anew(path)
    with reading(path, cure), path.open("rb") as file:
        if not _is_whole(file):
            raise UserError(f"{path} is damaged: its SHA-256 does not match what was written{cure}")
        file.seek(0)
        return torch.load(file, map_location=map_location, weights_only=True)


def begin_anew(path: Path) -> str:
    """Advice for a damaged checkpoint file: the end of a message."""
    return (
        f"; the run cannot resume from it. Restore the file from a copy, or remove {path.parent} "
        "and give the same command again: the run then restarts"
    )


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    # Through a Python file: torch's own error on a full disk does not name the cause.
    with path.open("w+b") as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # raised over the system's own error
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        end = file.seek(-2, 2)  # the last two bytes are the length of the comment
        assert file.read() == b"\0\0", "torch writes no comment"
        file.seek(end)
        file.write(_COMMENT.to_bytes(2, "little"))
        comment = _comment_after(file, end + 2)
        file.seek(0, 2)
        file.write(comment)


def _is_whole(file: IO[bytes]) -> bool:
    end = file.seek(0, 2) - _COMMENT
    if end < 0:
        return False
    file.seek(end)
    comment = file.read()
    if not comment.startswith(_MARK):
        return True
    return comment == _comment_after(file, end)


def _comment_after(file: IO[bytes], end: int) -> bytes:
    return _MARK + sha256_of_first(file, end).encode()
