"""Cautions about a comparison: what its numbers cover, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

from recsys_lab.comparison.identity import code_names
from recsys_lab.comparison.paired_test import FEW
from recsys_lab.comparison.results import Comparison
from recsys_lab.evaluation.intervals import FEWEST_USERS
from recsys_lab.runs.record import NOT_VERIFIED, RunRecord


def with_cautions(
    comparison: Comparison,
    records: Sequence[RunRecord],
    *,
    same_users: bool,
    other_metrics: Sequence[str],
    small_slices: int,
) -> Comparison:
    """The comparison with its cautions, as `Comparison.notes`.

    Args:
        comparison: without cautions.
        records: of its runs, in order.
        same_users: whether users could be paired.
        other_metrics: texts about metrics that are defined differently in some runs.
        small_slices: number of slices that were left out because they have few users.
    """
    cautions = [
        *_on_protocol(comparison, same_users=same_users),
        *_on_tests(comparison),
        *_on_slices(small_slices),
        *_on_training(comparison),
        *_on_choice(comparison),
        *_on_metrics(comparison, records),
        *(f"Left out: {text}." for text in other_metrics),
        *_on_code(records),
        *_on_files(records),
    ]
    return replace(comparison, notes=tuple(cautions))


def _on_protocol(comparison: Comparison, *, same_users: bool) -> list[str]:
    cautions = []
    if not comparison.is_comparable:
        fields = ", ".join(comparison.protocol_differences)
        cautions.append(f"Not comparable: the runs have different evaluation protocols ({fields}).")
    candidates = comparison.protocol.get("candidates", "all items")
    if candidates in ("sampled", "file"):
        cautions.append(
            f"Candidates are '{candidates}', not all items: such metrics can rank models "
            "differently than the full ranking does (Krichene & Rendle 2020)."
        )
    if not same_users:
        cautions.append("The test users or their targets differ, so there are no paired tests.")
    return cautions


def _on_tests(comparison: Comparison) -> list[str]:
    """What the tests cover, by the pairs of the main metric."""
    pairs = [p for p in comparison.pairs if p.metric == comparison.main_metric]
    if not pairs:
        return []
    systems = {system.name: system for system in comparison.systems}
    cautions = []
    if any(not pair.test.difference.covers_seeds for pair in pairs):
        cautions.append(
            "Where no system of a pair has several runs that differ, the test (marked †) is about "
            "these trained models on other users, not about the systems: it does not cover the "
            "variance over seeds, and another seed may reverse the result. Train more seeds of "
            "each, e.g. --multirun seed=0,1,2."
        )
    over_seeds = [pair for pair in pairs if pair.test.difference.covers_seeds]
    tested = [systems[name] for pair in over_seeds for name in (pair.first, pair.second)]
    if any(len(system.runs) == 1 and not system.deterministic for system in tested):
        cautions.append(
            "Where one system has a single run, its variance over seeds is assumed to equal the "
            "other's."
        )
    if any(pair.test.matched for pair in pairs):
        cautions.append(
            "Where both systems of a pair have the same seeds, runs of the same seed are paired, "
            "which cancels a seed's common effect (order of batches, initial weights)."
        )
    few = [
        name
        for pair in pairs
        if pair.test.few_seeds
        for name in (pair.first, pair.second)
        if len(systems[name].runs) == FEW
    ]
    if few:
        cautions.append(
            "Two seeds are too few to estimate the variance over seeds, so no difference is "
            f"marked (*) for {', '.join(dict.fromkeys(few))}: p would be below 5% by chance in up "
            "to 9% of cases. Train a third seed."
        )
    fixed = dict.fromkeys(system.name for system in comparison.systems if system.deterministic)
    if fixed:
        cautions.append(f"Deterministic, so one run is enough: {', '.join(fixed)}.")
    count = len(pairs)
    against = "all pairs" if comparison.baseline is None else f"against {comparison.baseline}"
    family = "1 test" if count == 1 else f"{count} tests"
    cautions.append(
        f"p-values are adjusted by Holm's method for the {family} of a metric ({against}), not "
        "for the number of metrics or slices."
    )
    return cautions


def _on_slices(small: int) -> list[str]:
    if not small:
        return []
    slices = "1 slice is" if small == 1 else f"{small} slices are"
    return [
        f"{slices} left out because of fewer than {FEWEST_USERS} users; slices.parquet of each run "
        "has the means."
    ]


def _on_training(comparison: Comparison) -> list[str]:
    cautions = []
    late = [run for run in comparison.runs if run.still_improving]
    if late:
        shown = ", ".join(f"{run.system} (seed {run.seed})" for run in late[:6])
        more = f" and {len(late) - 6} more" if len(late) > 6 else ""
        cautions.append(
            f"Still improving when training ended (best epoch was the last): {shown}{more}."
        )
    return cautions


def _on_choice(comparison: Comparison) -> list[str]:
    """Pairs that validation and test rank differently."""
    metric = comparison.metric
    if not comparison.is_comparable:
        return []
    known = []
    for system in comparison.systems:
        values = [comparison.runs[run].validation.get(metric.name) for run in system.runs]
        if all(value is not None for value in values):
            known.append((system.name, fmean(values), system.scores[metric.name].mean))  # type: ignore[arg-type]
    cautions = []
    for (one, one_val, one_test), (two, two_val, two_test) in combinations(known, 2):
        if (one_val - two_val) * (one_test - two_test) < 0:
            cautions.append(
                f"Validation and test rank differently: {metric.name} of {one} is {one_val:.4f} "
                f"and {one_test:.4f}, of {two} {two_val:.4f} and {two_test:.4f}; validation "
                "prefers the one that is worse on the test."
            )
    return cautions


def _on_metrics(comparison: Comparison, records: Sequence[RunRecord]) -> list[str]:
    shared = {metric.name for metric in comparison.metrics}
    others = dict.fromkeys(
        m
        for r in records
        for m in r.values["test"]
        if m not in shared and not all(m in other.values["test"] for other in records)
    )
    return [f"Not in all runs, so left out: {', '.join(others)}."] if others else []


def _on_code(records: Sequence[RunRecord]) -> list[str]:
    cautions = []
    names = dict.fromkeys(code_names(records).values())
    if len(names) > 1:
        cautions.append(
            f"The runs were made with different code ({', '.join(names)}), which may cause "
            "differences between systems; runs of different code count as different systems. git "
            "diff of two commits, or code.diff in a run's folder, shows the change."
        )
    if any((record.values.get("code") or {}).get("dirty") for record in records):
        cautions.append(
            "Some runs were made with uncommitted changes (code.diff in their folder, if any)."
        )
    return cautions


def _on_files(records: Sequence[RunRecord]) -> list[str]:
    """Runs whose files could not be verified against their checksums."""
    unverified = [record.folder for record in records if not record.is_verified]
    if not unverified:
        return []
    more = f" and {len(unverified) - 1} more" if len(unverified) > 1 else ""
    return [f"Not verified ({NOT_VERIFIED}): {unverified[0]}{more}."]
