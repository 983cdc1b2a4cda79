"""Text vectors from a sentence encoder, computed once and cached.

Shapes: V texts, E width of the encoder.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.files.arrays import save_npy
from recsys_lab.files.atomic import replace_atomically
from recsys_lab.files.digests import sha256_of_first
from recsys_lab.models.inputs.hub import need_folder, quiet, revision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_AT_ONCE = 256  # texts per step


def text_vectors(
    texts: Sequence[str | None],
    encoder: str,
    cache_dir: Path,
    device: str = "cpu",
    group: str = "inputs",
) -> NDArray[np.float32]:
    """Unit-length vectors of texts, float32 (V, E); zeros where there is no text.

    Args:
        texts: one per row; None or blank where missing.
        encoder: a sentence-transformers or transformers model: a folder, or a name on the
            Hugging Face Hub; weights are read from safetensors only.
        cache_dir: cache folder; the key is the encoder (files, or commit on the Hub) and the texts.
        device: device of the encoder.
        group: config group of the options, for messages.

    Raises:
        UserError: sentence-transformers is not installed, or the encoder cannot be loaded.
    """
    known = sorted({text.strip() for text in texts if text and text.strip()})
    commit = _commit(encoder, group)
    path = cache_dir / f"{_key(known, encoder, commit)}.npy"
    if _is_whole(path):
        vectors = np.load(path, allow_pickle=False)
    else:
        vectors = _encode(known, encoder, commit, device, group)
        save(path, vectors)
    rows = {text: row for row, text in enumerate(known)}
    text_VE = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    for index, text in enumerate(texts):
        row = rows.get((text or "").strip())
        if row is not None:
            text_VE[index] = vectors[row]
    return text_VE


def save(path: Path, vectors: NDArray[np.float32]) -> None:
    """Write the array atomically, followed by the SHA-256 of its bytes."""

    def write(temporary: Path) -> None:
        save_npy(temporary, vectors)
        with temporary.open("r+b") as handle:
            end = handle.seek(0, 2)
            mark = sha256_of_first(handle, end).encode()
            handle.seek(end)
            handle.write(mark)

    replace_atomically(path, write)


def _is_whole(path: Path) -> bool:
    """Whether the cached vectors exist and match their checksum."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        end = max(handle.seek(0, 2) - 64, 0)
        handle.seek(end)
        if handle.read() == sha256_of_first(handle, end).encode():
            return True
    _log.warning("%s: the checksum does not match; encoding the texts again", path)
    return False


def _commit(encoder: str, group: str) -> str | None:
    """The commit of a name on the Hub; None for a folder."""
    try:
        need_folder(encoder)
        return revision(encoder)
    except ImportError:
        raise _not_installed(group) from None
    except Exception as error:
        raise _cannot_load(encoder, error, group) from error


def _key(texts: Sequence[str], encoder: str, commit: str | None) -> str:
    """Cache key: a hash of the encoder (commit or file contents) and the texts."""
    digest = hashlib.sha256(f"{encoder}@{commit}".encode())
    folder = Path(encoder)
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            with path.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()[:32]


def _encode(
    texts: Sequence[str], encoder: str, commit: str | None, device: str, group: str
) -> NDArray[np.float32]:
    from rich.progress import track

    model = _load(encoder, commit, device, group)
    if not texts:
        raise UserError(f"{group}.text: all rows of the column are empty; name another column")
    # Sorted by length: a step pads to its longest text.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    steps = [order[first : first + _AT_ONCE] for first in range(0, len(order), _AT_ONCE)]
    vectors: NDArray[np.float32] | None = None
    for rows in track(steps, description="encoding texts", disable=len(steps) < 20):
        part = model.encode(
            [texts[row] for row in rows],
            batch_size=_AT_ONCE, show_progress_bar=False, normalize_embeddings=True,
        )  # fmt: skip
        if vectors is None:
            vectors = np.empty((len(texts), part.shape[1]), dtype=np.float32)
        vectors[rows] = part
    assert vectors is not None
    return vectors


def _load(encoder: str, commit: str | None, device: str, group: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise _not_installed(group) from None
    quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated fields in its own files
            return SentenceTransformer(
                encoder, device=device, revision=commit, trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )  # fmt: skip
    except Exception as error:  # files, Hub and network fail with many types
        raise _cannot_load(encoder, error, group) from error


def _cannot_load(encoder: str, error: Exception, group: str) -> UserError:
    return UserError(
        f"{group}.encoder: cannot load '{encoder}' ({first_line(error)}); give a folder with a "
        "sentence-transformers or transformers model in safetensors, or its name on the "
        "Hugging Face Hub"
    )


def _not_installed(group: str) -> UserError:
    return UserError(f"{group}.text needs sentence-transformers: {install_hint('text')}")
