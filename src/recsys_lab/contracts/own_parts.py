"""What the classes of a user's own components must have, checked before any data are read."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.config.build import component_targets
from recsys_lab.config.errors import report
from recsys_lab.config.targets import import_class
from recsys_lab.contracts.traits import needed_of_model, what_models_need

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Needed:
    """What a component needs.

    Attributes:
        members: method, with the names of its arguments, or attribute -> what it is for.
        base: ``module.Class`` that it derives from, or None.
        optional: further methods, with the names of their arguments, which it may have.
    """

    members: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    optional: Sequence[str] = ()


_OF_MODELS = (
    *("query_states(batch)", "target_chances(batch)", "rank_candidates(batch, candidates, k)"),
    *(
        "check_data(data)",
        "read_data(data)",
        "read_semantic_ids(ids, data, decoding)",
        "contents()",
    ),
)
_OF_LOSSES = (
    *("read_counts(counts_V)", "read_targets(counts_V)", "check_device(device)"),
    *("resolved(device)", "scores_in_memory(positions, num_items, device)"),
)


NEEDED: Mapping[str, Needed] = {
    "data": Needed(
        {
            "source_key()": "what the prepared dataset depends on, e.g. the file's size and hash",
            "read_raw(scratch)": "the log, a RawData",
        }
    ),
    "filter": Needed(base="recsys_lab.data.preparation.row_filters.Filters"),
    "split": Needed(
        {"segments(log)": "the events of each part, Segments"}, "recsys_lab.data.splits.base.Split"
    ),
    "engine": Needed(
        {"name": "for the manifest", "open(scratch)": "a session for one preparation"}
    ),
    "inputs": Needed(base="recsys_lab.models.inputs.item_inputs.Inputs"),
    "loss": Needed(
        {"__call__(states_ND, targets_N, table_VD)": "mean loss over the N positions"},
        optional=_OF_LOSSES,
    ),
    "recipe": Needed(base="recsys_lab.training.recipe.Recipe"),
    "evaluation": Needed(base="recsys_lab.evaluation.protocols.base.RankingProtocol"),
    "semantic_ids": Needed(base="recsys_lab.semantic_ids.base.Quantiser"),
    "decoding": Needed(
        {
            "diagnostics": "names of the numbers that its lists have",
            "width": "largest number of prefixes of a user that are computed at once",
            "num_beams": "candidates kept for each user; None if all items are scored",
            "read_codes(ids)": "receive the codes of the items",
            "check_length(k)": "raise a UserError if lists of k items cannot be made",
            "rank(model, batch, k, exclude)": "the k best items of each user",
        }
    ),
    "tracking": Needed(base="recsys_lab.tracking.tracking.Tracking"),
    "launcher": Needed(
        {
            "count(wanted)": "the number of workers",
            "start(number, task)": "start a worker: a Job",
            "close()": "release resources",
        }
    ),
    "sweep": Needed(base="recsys_lab.sweeps.settings.Sweep"),
    "search": Needed(base="recsys_lab.sweeps.settings.Search"),
}
"""By config group; models are in `recsys_lab.contracts.traits`."""


def check_own_parts(cfg: DictConfig) -> None:
    """Check the classes of the user's own components in a config.

    The lab's classes are tested, and none of them is imported here.

    Raises:
        UserError: one lacks something; the message has a table of what is needed.
    """
    problems: list[str] = []
    for group, target in component_targets(cfg).items():
        if target.startswith("recsys_lab."):
            continue
        try:
            cls = import_class(target, group)
        except UserError:
            raise
        except Exception:  # of the user's code: the run that imports it tells it, with its log
            continue
        needed = NEEDED.get(group, Needed())
        if group == "model":
            needed = Needed(needed_of_model(cls), optional=_OF_MODELS)
        problems += _problems(group, target, cls, needed)
    if problems:
        raise UserError(report(problems))


def lacking(cls: type[Any], members: Mapping[str, str]) -> list[str]:
    """The members that a class does not have.

    An attribute that its ``__init__`` sets counts as there, and any does in a class that answers
    for names that it does not have (``__getattr__``).
    """
    return [member for member in members if not _has(cls, member.partition("(")[0])]


def _problems(group: str, target: str, cls: type[Any], needed: Needed) -> Iterator[str]:
    """What is wrong with a class."""
    where = f"{group}: {target}"
    if needed.base is not None:
        module, _, name = needed.base.rpartition(".")
        if not issubclass(cls, getattr(importlib.import_module(module), name)):
            yield f"{where}: derive it from {needed.base}"
            return
    absent = lacking(cls, needed.members)
    abstract = sorted(set(getattr(cls, "__abstractmethods__", ())))
    absent += [name for name in abstract if not any(m.startswith(f"{name}(") for m in absent)]
    if absent == ["window"]:  # a model may set it anywhere before it is built: see check_model
        absent = []
    if absent and group == "model":
        yield what_models_need(target, absent)
    elif absent:
        lines = [f"{where} lacks {', '.join(absent)}. What is needed:"]
        lines += [
            f"    {'->' if member in absent else '  '} {member:<40} {what}"
            for member, what in needed.members.items()
        ]
        yield "\n".join(lines)
    else:
        members = (*needed.members, *needed.optional)
        problems = (_signature_problem(cls, member) for member in members)
        yield from (f"{where}: {problem}" for problem in problems if problem)


def _has(cls: type[Any], name: str) -> bool:
    if name == "__call__":
        return _is_called(cls)
    found = _static(cls, name)
    if found is not None:
        return not getattr(found, "__isabstractmethod__", False)
    return _answers_for_all(cls) or any(
        name in vars(base)["__init__"].__code__.co_names
        for base in cls.__mro__
        if inspect.isfunction(vars(base).get("__init__"))
    )


def _is_called(cls: type[Any]) -> bool:
    """Whether its objects can be called; every torch module has a ``__call__``, for ``forward``."""
    from torch import nn

    if issubclass(cls, nn.Module) and cls.__call__ is nn.Module.__call__:
        return cls.forward is not nn.Module.forward
    return _static(cls, "__call__") is not None


def _static(cls: type[Any], name: str) -> Any:
    """The class attribute as it is written; None without one, also if the metaclass has it."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _answers_for_all(cls: type[Any]) -> bool:
    from torch import nn

    own = getattr(cls, "__getattr__", None)
    return own is not None and own is not nn.Module.__getattr__


def _signature_problem(cls: type[Any], member: str) -> str | None:
    """What is wrong with a method's arguments; None if it takes those that it is given."""
    name, bracket, rest = member.partition("(")
    arguments = [word for word in rest.rstrip(")").split(", ") if word]
    from torch import nn

    method = _static(cls, name)
    if method is nn.Module.__call__:
        method = _static(cls, "forward")
    if not bracket or not inspect.isfunction(method):
        return None
    try:
        inspect.signature(method).bind("self", *arguments)
    except TypeError:
        return f"{name}{inspect.signature(method)} must take ({', '.join(['self', *arguments])})"
    return None
