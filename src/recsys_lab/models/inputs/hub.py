"""Pretrained models by source: a local folder, or a name on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")  # NAME or OWNER/NAME


def need_folder(source: str) -> None:
    """Check that a source that cannot be a Hub name is a folder, before any network access.

    Raises:
        FileNotFoundError: it is not a folder.
    """
    path = Path(source)
    if not path.is_dir() and (path.exists() or not _NAME.fullmatch(source)):
        raise FileNotFoundError("there is no such folder")


def revision(source: str) -> str | None:
    """The commit of a model on the Hub; None for a folder.

    The commit of the cached copy, else the newest. The Hub is queried once: without a network,
    transformers would retry each file of the model.
    """
    if Path(source).is_dir():
        return None
    from huggingface_hub import HfApi, try_to_load_from_cache

    cached = try_to_load_from_cache(source, "config.json")
    if isinstance(cached, str):  # .../snapshots/COMMIT/config.json
        return Path(cached).parent.name
    return HfApi().model_info(source, timeout=10).sha


def quiet() -> None:
    """Silence transformers and the Hub: faster kernels, unused tokens, network retries."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    hub.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
