"""Whether a run depends on its seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.config.schema import stated


def is_deterministic(values: Mapping[str, Any]) -> bool:
    """Whether another seed gives the same model.

    Args:
        values: the run's record. Its model's class states ``ignores_seed``, see
            `recsys_lab.contracts.Traits`.
    """
    model = (values.get("config") or {}).get("model")
    if values.get("epochs") or not isinstance(model, dict):
        return False
    try:
        return bool(stated(model["_target_"], "ignores_seed"))
    except (UserError, ImportError):  # the class is not installed here
        return False
