"""Stored models by name: a folder, or a name on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")  # NAME or OWNER/NAME


def need_folder(source: str) -> None:
    """Refuse what can only be meant as a folder and is none, so that no network is asked for it.

    Raises:
        FileNotFoundError: it is such.
    """
    path = Path(source)
    if not path.is_dir() and (path.exists() or not _NAME.fullmatch(source)):
        raise FileNotFoundError("there is no such folder")


def revision(source: str) -> str | None:
    """The commit of a model on the Hub, None for a folder.

    It is that of the copy on this machine, where there is one, else the newest. The Hub is asked
    once: without a network each of a model's files would be tried again and again.
    """
    if Path(source).is_dir():
        return None
    from huggingface_hub import HfApi, try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json")
    if isinstance(found, str):  # .../snapshots/COMMIT/config.json
        return Path(found).parent.name
    return HfApi().model_info(source, timeout=10).sha


def quiet() -> None:
    """No word of faster kernels, unused words, or each attempt at an absent network."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    hub.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
