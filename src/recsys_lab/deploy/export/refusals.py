"""Which models can be exported, and why the others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.contracts import FittedModel, UsesSemanticIds
from recsys_lab.models.sequential.dot_product import DotProductModel

if TYPE_CHECKING:
    from recsys_lab.experiment.components import Components

_INSTEAD = (
    "Make lists with recsys-lab recommend, which works for every model, or serve the run itself "
    "with recsys-lab serve"
)


def reason_against(model: type[Any]) -> str | None:
    """Why the models of a class cannot be exported; None if they can."""
    if issubclass(model, DotProductModel):
        return None
    if issubclass(model, FittedModel):
        return (
            "it is fitted in one pass and ranks with NumPy arrays, which are not a graph of tensors"
        )
    if issubclass(model, UsesSemanticIds):
        return (
            "it generates semantic IDs code by code, in a search over beams whose number of steps "
            "and candidates depends on the catalogue; a single graph cannot hold it"
        )
    return (
        "it does not derive from recsys_lab.models.sequential.dot_product.DotProductModel, so its "
        "scores are not known to be products of a state and item vectors"
    )


def refuse_unsupported(parts: Components) -> None:
    """Check that the model of a restored run can be exported.

    Raises:
        UserError: it cannot; says why, and what to do instead.
    """
    model = parts.model
    reason = reason_against(type(model))
    if reason is None and model.context is not None:
        names = ", ".join(parts.inputs.config.context)
        reason = (
            f"inputs.context={names}: the graph reads items and the times of HSTU's time bias, but "
            "no columns of users and events"
        )
    if reason:
        raise UserError(f"{type(model).__name__} cannot be exported: {reason}. {_INSTEAD}")
