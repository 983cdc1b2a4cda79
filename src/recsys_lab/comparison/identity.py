"""The identity of a run besides its settings, and the definitions of its metrics.

Two runs belong to one system if, besides their settings, these are equal: the code (of the parts
that made the numbers, see `recsys_lab.runs.sources`), the columns of items, users and events, the
vectors of texts, the precision of training, and the kind of device. Runs of different code are
different systems, named by their commit.

Records of older versions lack some of these. Their code is their commit and uncommitted changes;
unknown values count as equal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.runs.find import flatten
from recsys_lab.runs.provenance import DIFF
from recsys_lab.runs.record import RunRecord
from recsys_lab.runs.sources import PARTS

CODE = "code"
"""The key of `identity` that `code_names` names."""
_SHOWN = 7  # digits of a commit


def identity(record: RunRecord) -> dict[str, str]:
    """The flat identity of a run; unknown values have no key."""
    values: dict[str, Any] = record.values
    noted = values.get("identity")
    if noted is None:
        device = "cuda" if "gpu" in (values.get("machine") or {}) else "cpu"
        noted = {"device": device}
        recipe = values["config"].get("recipe") or {}
        if values.get("epochs") and "precision" in recipe:
            resolved = recipe["precision"] == "auto" and device == "cpu"
            noted["precision"] = "32" if resolved else str(recipe["precision"])
    code = _code(record)
    return {**({CODE: code} if code else {}), **noted}


def code_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """Names for the code of runs, by `identity`'s value: the short commit where it is unique.

    All have one name if the shared code is equal and no two runs with the same classes differ in
    code: different models live in different files.
    """
    known: dict[str, RunRecord] = {}
    for record in records:
        code = identity(record).get(CODE)
        if code is not None:
            known.setdefault(code, record)
    classes = {code: json.dumps(_classes(record)) for code, record in known.items()}
    names = {code: _commit_of(record) for code, record in known.items()}
    shared = {
        (record.values.get("code") or {}).get("shared", code) for code, record in known.items()
    }
    if len(shared) < 2 and len(set(classes.values())) == len(known):
        return dict.fromkeys(names, next(iter(names.values()), ""))
    of_class = [(classes[code], name) for code, name in names.items()]
    return {
        code: name
        if of_class.count((classes[code], name)) == 1
        else f"{name}+{hashlib.sha256(code.encode()).hexdigest()[:4]}"
        for code, name in names.items()
    }


def _classes(record: RunRecord) -> dict[str, Any]:
    """The classes of every part and of its options."""
    settings = flatten({part: record.values["config"].get(part) or {} for part in PARTS})
    return {key: value for key, value in settings.items() if key.endswith("_target_")}


def _commit_of(record: RunRecord) -> str:
    code = record.values.get("code") or {}
    commit = str(code.get("commit") or "unknown")[:_SHOWN]
    if not code.get("dirty"):
        return commit
    changes = str(
        code.get("diff_sha256") or hashlib.sha256(str(_code(record)).encode()).hexdigest()
    )
    return f"{commit}+{changes[:4]}"


def refuse_another_metric(records: Sequence[RunRecord], name: str) -> None:
    """Check that a metric has one definition in all runs.

    Raises:
        UserError: lists the definitions.
    """
    definitions = [metric_definition(record, name) for record in records]
    if any(not _is_one(definitions[0], other) for other in definitions[1:]):
        texts = dict.fromkeys(_text(definition) for definition in definitions)
        raise UserError(f"{name} has different definitions in the runs ({'; '.join(texts)})")


def metric_definition(record: RunRecord, name: str) -> dict[str, Any]:
    """The option that a metric depends on besides lists and targets: its name, value and content.

    For a user's own metric the option is ``class``, and its direction is included.
    """
    noted = (record.values.get("metrics") or {}).get(name)
    if noted is not None:
        return dict(noted)
    from recsys_lab.evaluation.metrics.registry import known_as  # imports torch

    known = known_as(name)
    option = known.option if known is not None else None
    value = (record.values["config"].get("evaluation") or {}).get(option) if option else None
    return {"option": str(option), "value": str(value)} if value else {}


def _is_one(first: dict[str, Any], second: dict[str, Any]) -> bool:
    key = "content" if "content" in first and "content" in second else "value"
    return first.get(key) == second.get(key)


def _text(definition: dict[str, Any]) -> str:
    if not definition:
        return "definition not recorded"
    content = f" with content {definition['content'][:8]}" if "content" in definition else ""
    return f"{definition['option']}={definition['value']}{content}"


def _code(record: RunRecord) -> str | None:
    code = record.values.get("code") or {}
    if code.get("source"):
        return str(code["source"])
    if not code.get("dirty"):
        return code.get("commit")
    try:
        changes = hashlib.sha256((record.folder / DIFF).read_bytes()).hexdigest()[:16]
    except OSError:
        changes = "unknown"
    return f"{code.get('commit')}+{changes}"
