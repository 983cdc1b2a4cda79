"""``semantic_ids.keep``: the codes of a finished run, which its items keep in newer data.

Shapes: V items, L levels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.semantic_ids.base import Codes
from recsys_lab.semantic_ids.duplicates import extended

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from recsys_lab.semantic_ids.base import Items, Quantiser

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """The codes of another run, by the items of a dataset.

    Attributes:
        run: as given, for messages.
        fingerprint: of the other codes.
        codes_VL: codes of each item, int64 (V, L), with the level that tells duplicates apart; -1
            for an item that the other run has not.
        num_codes: number of codes of each level.
    """

    run: str
    fingerprint: str
    codes_VL: NDArray[np.int64]
    num_codes: tuple[int, ...]

    @classmethod
    def of(
        cls, run: str, table: pl.DataFrame, noted: dict[str, Any], item_ids: Sequence[Any]
    ) -> Kept:
        """The codes in a table, as `recsys_lab.semantic_ids.artefact.read_table` returns it."""
        names = [name for name in table.columns if name.startswith("code_")]
        index = {str(item): row for row, item in enumerate(table["item_id"].to_list())}
        rows_V = np.array([index.get(str(item), -1) for item in item_ids], dtype=np.int64)
        if (rows_V < 0).all():
            raise UserError(
                f"semantic_ids.keep={run}: none of its items is in this catalogue, such as "
                f"{table['item_id'][0]!r}; give a run of the same shop, or null"
            )
        codes_VL = table.select(names).to_numpy().astype(np.int64)[rows_V]
        codes_VL[rows_V < 0] = -1
        return cls(run, noted["fingerprint"], codes_VL, tuple(noted["num_codes"]))

    def extend(self, quantiser: Quantiser, items: Items) -> tuple[Codes, Codes] | None:
        """The codes of all items, without and with the level that tells duplicates apart.

        None if the quantiser cannot give new items codes without changing the others, which a
        warning tells.
        """
        most = quantiser.config.deduplicate
        own = len(self.num_codes) - (most is not None)
        codes = quantiser.extend(items, Codes(self.codes_VL[:, :own], self.num_codes[:own]))
        if codes is None:
            _log.warning(
                "semantic_ids.keep: %s cannot give new items codes without changing those of "
                "known ones; all codes are made again",
                quantiser.name,
            )
            return None
        if most is None:
            return codes, codes
        return codes, extended(codes, self.codes_VL[:, own], self.num_codes[own], most)

    def note(self, *, kept: bool) -> dict[str, Any]:
        """What the manifest says."""
        known = int((self.codes_VL[:, 0] >= 0).sum())
        return {
            "kept_codes": {
                "run": self.run,
                "fingerprint": self.fingerprint,
                "kept": kept,
                "known_items": known,
                "new_items": len(self.codes_VL) - known,
            }
        }
