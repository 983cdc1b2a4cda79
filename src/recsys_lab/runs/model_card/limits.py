"""The limits of a run's numbers: one sentence for each limit that applies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys_lab.pages.number_format import counted, percent
from recsys_lab.runs.origin import are_of_refit
from recsys_lab.runs.provenance import DIFF
from recsys_lab.runs.seeds import is_deterministic

FEW_USERS = 100
"""Slices of fewer users have unreliable means."""

# Notes of the leak check that affect the numbers and that no other sentence here covers.
_TELLING = ("tied_times", "popularity_predicts")


def limits(values: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> list[str]:
    """The limits, most important first.

    Args:
        values: the content of ``run.json``; older records may lack any field.
        slices: rows of ``slices.parquet`` of one metric; may be empty.
    """
    return [
        *_on_status(values),
        *_on_protocol(values, slices),
        *_on_leaks(values),
        *_on_training(values),
        *_on_targets(values, slices),
        *_on_users(values, slices),
        *_on_what_lacks(values),
    ]


def _on_status(values: Mapping[str, Any]) -> Iterator[str]:
    status = values.get("status")
    if status != "finished":
        yield f"The run's status is '{status}': the card shows what was recorded until then."
    elif not values.get("test"):
        yield (
            "The test split was not evaluated. The model was selected by its validation metrics, "
            "so these are optimistic."
        )


def _on_protocol(values: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    fields = (values.get("protocol") or {}).get("fields") or {}
    candidates = fields.get("candidates", "all items")
    if candidates in ("sampled", "file"):
        how = f"{fields['num_candidates']:,} a user, " if "num_candidates" in fields else ""
        yield (
            f"Candidates are not all items ({how}{candidates}): such metrics can order models "
            "differently from the full ranking (Krichene & Rendle 2020)."
        )
    again = next((r for r in slices if (r["slice"], r["value"]) == ("target_repeated", "yes")), {})
    targets = sum(row["targets"] for row in slices if row["slice"] == "target_repeated")
    if again:
        excluded = bool(fields.get("exclude_seen"))
        effect = "true makes them unreachable" if excluded else "false makes them easy to hit"
        yield (
            f"{_part(again['targets'], targets)} are repeat purchases (items of the user's "
            f"history); exclude_seen={effect}."
        )


def _on_leaks(values: Mapping[str, Any]) -> Iterator[str]:
    if (values.get("data") or {}).get("has_timestamps") is False:
        yield (
            "The log has no timestamps, so it could not be checked whether the model was trained "
            "on events after a test target."
        )
    for leak in values.get("leaks") or ():
        relevant = leak["severity"] != "note" or leak["kind"] in _TELLING
        if relevant and leak["phase"] == "test":
            yield f"Leak check ({leak['severity']}): {leak['explanation']}."


def _on_training(values: Mapping[str, Any]) -> Iterator[str]:
    source = values.get("init_from") or {}
    if source.get("same_data") is False:
        yield (
            f"The initial weights come from {source['name']}, trained on other data, which may "
            "include validation and test events."
        )
    elif are_of_refit(source):
        yield (
            f"The initial weights come from {source['name']}, trained on the validation events too "
            "(recipe.refit), so the validation metrics are optimistic."
        )
    best = values.get("best") or {}
    if best.get("still_improving"):
        yield (
            f"The best epoch was the last one ({best['epoch'] + 1}): the model was still improving."
        )
    refit = values.get("refit")
    if refit:
        epochs = (
            f"trained from {'its initial weights' if refit.get('init_from') else 'scratch'} for "
            f"{counted(refit['epochs'], 'epoch')}"
            if "epochs" in refit
            else "fit"
        )
        yield (
            f"The tested model was {epochs} on the {refit['interactions']:,} events of training "
            "and validation; the validation metrics are of the model before."
        )
    if values.get("seed") is not None and not is_deterministic(values):
        yield (
            f"Only one seed ({values['seed']}): the variation between seeds is unknown, and no "
            "interval covers it."
        )
    if values.get("windows"):
        yield (
            f"Means of {len(values['windows'])} test windows, which share users and items and so "
            "are not independent samples."
        )


def _on_targets(values: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    split = values.get("split") or {}
    cold, targets = split.get("cold_test_targets"), split.get("test_targets")
    if cold and targets:
        at = next(
            (r for r in slices if (r["slice"], r["value"]) == ("target_popularity", "cold")), None
        )
        reached = "" if at is None else f"; on them {at['metric']} is {at['mean']:.4f}"
        yield f"{_part(cold, targets)} are items without a training event{reached}."
    unknown = split.get("items_without_events")
    if unknown:
        yield (
            f"{unknown:,} items of the catalogue have no event (filter.catalogue=table): none can "
            "be a target, and a model that only uses item ids learned nothing about them."
        )
    settings = ((values.get("protocol") or {}).get("fields") or {}).get("filter") or {}
    for what in ("user", "item"):
        least = settings.get(f"min_{what}_count") or 0
        if least > 1:
            yield (
                f"{what.capitalize()}s with fewer than {least} events were excluded; results do "
                "not apply to them."
            )


def _on_users(values: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    few = [row for row in slices if row["users"] < FEW_USERS]
    if few:
        named = ", ".join(f"{row['slice']} {row['value']} ({row['users']})" for row in few)
        yield f"Slices of fewer than {FEW_USERS} users have unreliable means: {named}."
    if values.get("fairness") and not values["fairness"].get("gaps"):
        yield (
            f"No column of the users has two groups of at least {FEW_USERS} users, so gaps between "
            "groups of users were not measured."
        )


def _on_what_lacks(values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("test") and not values.get("intervals") and not values.get("windows"):
        yield "No intervals were recorded: the variation over users is unknown."
    compute = values.get("compute") or {}
    if "joules" in compute and compute["joules"] is None:
        yield "The energy of the training could not be read on this machine."
    code = values.get("code") or {}
    if code.get("dirty"):
        see = f" (see {DIFF})" if code.get("diff_sha256") else ""
        yield f"Made with uncommitted changes of the code{see}."


def _part(count: int, total: int) -> str:
    return f"{count:,} of {total:,} test targets ({percent(count / total)})"
