"""Checkpoints with their own SHA-256, written whole and read without pickle's code execution.

The file is the zip archive that `torch.save` writes, with the hash of all bytes before it as the
archive's comment: no other file can be torn from it, and `torch.load` reads it as ever.
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
    """How Lightning writes and reads ``last.ckpt``."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside, flush to disk, rename."""
        del storage_options
        replace_atomically(Path(path), lambda temporary: _write(checkpoint, temporary))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> Any:
        """Tensors and plain containers only, whatever the caller asked for."""
        del weights_only
        return read_checkpoint(Path(path), map_location or "cpu")


def read_checkpoint(path: Path, map_location: Any = "cpu") -> Any:
    """The content of a checkpoint: tensors and plain containers.

    One of an older version, which has no hash, is read as it is.

    Args:
        path: the file.
        map_location: where tensors go.

    Raises:
        UserError: it is damaged.
    """
    cure = begin_anew(path)
    with reading(path, cure), path.open("rb") as file:
        if not _is_whole(file):
            raise UserError(
                f"{path} is damaged: its content is not what was written (SHA-256){cure}"
            )
        file.seek(0)
        return torch.load(file, map_location=map_location, weights_only=True)


def begin_anew(path: Path) -> str:
    """What to do about a damaged file of the checkpoints: the end of a sentence."""
    return (
        f"; nothing can go on from there. Bring the file back from a copy, or remove {path.parent} "
        "and give the same command again: the run then begins anew"
    )


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    # Through a file of Python's: what torch itself raises on a full disk says nothing of the disk.
    with path.open("w+b") as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # raised on the way out, over what the system says
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        end = file.seek(-2, 2)  # of an archive without a comment: the comment's length
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
