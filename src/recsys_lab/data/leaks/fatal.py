"""The option ``fail_on_leaks``: findings that stop a preparation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.leaks.check import KINDS, OF_CANDIDATES
from recsys_lab.data.leaks.finding import STOPPABLE, in_words

LEVELS: Mapping[str, tuple[str, ...]] = {"leak": ("leak",), "warning": STOPPABLE, "all": STOPPABLE}
"""Level -> severities that stop. Notes and properties of the split are not mistakes and only stop
if their kind is named. ``all`` is the older name of ``warning``."""


def words_of(option: bool | str | Sequence[str]) -> list[str]:
    """The option as a list of levels and kinds, checked.

    Args:
        option: ``false``; a level (``true`` is the strictest, ``warning``); or kinds, one or many.

    Raises:
        UserError: for a word that is neither.
    """
    if isinstance(option, bool):
        return ["warning"] if option else []
    words = [option] if isinstance(option, str) else list(option)
    allowed = (*LEVELS, *KINDS)
    wrong = [
        f"fail_on_leaks: unknown kind of leak {word!r}{did_you_mean(word, allowed)}"
        for word in words
        if word not in allowed
    ]
    if wrong:
        raise UserError(
            "\n".join(
                [
                    *wrong,
                    "Allowed: false; leak (only mistakes); warning, true or all (also what biases "
                    f"the numbers: the strictest); or names of kinds: {', '.join(KINDS)}",
                ]
            )
        )
    return words


def fatal(
    manifest: Mapping[str, Any], words: Collection[str], *, all_are_candidates: bool = True
) -> None:
    """Refuse a dataset with findings that ``fail_on_leaks`` excludes.

    Args:
        manifest: of the dataset.
        words: from `words_of`.
        all_are_candidates: whether the evaluation ranks every item; findings about candidates
            only concern such an evaluation.

    Raises:
        UserError: listing the findings, or if the manifest is older than a check of the option.
    """
    if not words:
        return
    levels = {severity for word in words for severity in LEVELS.get(word, ())}
    _refuse_older(manifest, words, any_level=bool(levels))
    leaks = [
        leak
        for leak in manifest["leaks"]
        if (leak["kind"] in words or leak["severity"] in levels)
        and (all_are_candidates or leak["kind"] not in OF_CANDIDATES)
    ]
    if leaks:
        lines = [f"  {leak['kind']} ({leak['phase']}): {in_words(leak)}" for leak in leaks]
        raise UserError(
            "\n".join(
                [
                    f"fail_on_leaks={','.join(words)}: this dataset leaks.",
                    *lines,
                    "Follow the advice above, choose another split, or relax fail_on_leaks",
                ]
            )
        )


def _refuse_older(manifest: Mapping[str, Any], words: Collection[str], *, any_level: bool) -> None:
    """Refuse a dataset that an older version prepared without all of the checks."""
    checked = manifest.get("leak_kinds", ())
    missing = [kind for kind in KINDS if kind not in checked and (any_level or kind in words)]
    if missing:
        raise UserError(
            f"fail_on_leaks={','.join(words)}: this dataset was prepared by a version that did not "
            f"check for {', '.join(missing)}; delete its folder to prepare and check it again"
        )
