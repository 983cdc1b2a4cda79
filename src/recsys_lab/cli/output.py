"""``output=FOLDER`` of the verbs that write results of finished runs."""

from __future__ import annotations

from pathlib import Path

from recsys_lab.config import UserError
from recsys_lab.files.atomic import remove_dead_temporaries
from recsys_lab.files.faults import reason


def output_folder(output: str | None, option: str = "output") -> Path | None:
    """The folder that an option names, made before anything is computed.

    Raises:
        UserError: it cannot be a folder, or not be written to.
    """
    if output is None:
        return None
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead_temporaries(folder)
    except OSError as error:
        msg = f"{option}: {folder} cannot be made a folder ({reason(error)}); choose another folder"
        raise UserError(msg) from None
    return folder
