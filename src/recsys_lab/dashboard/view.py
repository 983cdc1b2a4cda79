"""The parts of the page as HTML, by the id of the element that shows each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from recsys_lab.config.secrets import scrubbed
from recsys_lab.dashboard.curves import Curves, draw_curves
from recsys_lab.dashboard.index import Index, Run, Snapshot, epochs_of
from recsys_lab.dashboard.parallel import MOST_AXES, draw_parallel
from recsys_lab.dashboard.query import Query, Selected, selected
from recsys_lab.dashboard.studies import comparisons_of, sweeps_of
from recsys_lab.dashboard.table import cell_of, columns_of, groups_of, main_metric, settings_of
from recsys_lab.pages.charts.xy import badge
from recsys_lab.pages.markup import Markup, render

FIRST = 5
"""Runs whose curves are drawn if none is ticked."""
_MOST_CURVES = 40
_MOST_LINES = 1000
_MOST_NAMES = 2000
_MOST_RENDERED = 8
_METRICS = ("test/", "validation/", "val/")


class View:
    """Renders the page of an index; keeps the epochs of the runs whose curves are drawn.

    Args:
        index: of the folder.
        refresh: seconds between two looks of an open page.
    """

    def __init__(self, index: Index, refresh: float) -> None:
        self._index, self._refresh = index, refresh
        self._epochs: dict[str, tuple[Any, list[dict[str, Any]]]] = {}
        self._rendered: dict[tuple[int, Query], dict[str, Markup]] = {}
        self._lock = threading.Lock()

    def page(self, query: Query) -> Markup:
        """The whole page."""
        folder = self._index.folder
        return render(
            "dashboard/page.html",
            title=scrubbed(folder.resolve().name or str(folder)),
            query=query,
            refresh=self._refresh,
            parts=self.parts(query),
        )

    def parts(self, query: Query) -> dict[str, Markup]:
        """The parts that follow the files and the query."""
        with self._lock:
            return self._parts(query)

    def _parts(self, query: Query) -> dict[str, Markup]:
        self._index.refresh()
        snapshot = self._index.snapshot()
        chosen = selected(snapshot, query)
        # Most looks find nothing new: what follows the runs alone is not rendered again.
        key = snapshot.version, query
        if key not in self._rendered:
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            self._rendered[key] = self._of_runs(snapshot, chosen, query)
        return {
            "summary": self._summary(snapshot, chosen, query),
            "studies": self._studies(snapshot, query),
            **self._rendered[key],
        }

    def _of_runs(self, snapshot: Snapshot, chosen: Selected, query: Query) -> dict[str, Markup]:
        metric = query.metric or main_metric(chosen.runs)
        known = {run.id: run for run in snapshot.runs}
        ticked = [known[key] for key in query.run if key in known]
        curves = self._curves(ticked, chosen.runs, query.curve)
        return {
            "ticks": _ticks(ticked, query),
            "runs": _table(snapshot, chosen, query, metric, ticked),
            "curves": render(
                "dashboard/curves.html",
                curves=curves,
                first=not ticked,
                most=_MOST_CURVES,
                more=len(ticked) > _MOST_CURVES,
            ),
            "parallel": _parallel(snapshot, chosen, query, metric, ticked),
            "lists": _lists(snapshot, curves, metric),
        }

    def _summary(self, snapshot: Snapshot, chosen: Selected, query: Query) -> Markup:
        counts = Counter(str(run.row["status"]) for run in snapshot.runs)
        return render(
            "dashboard/summary.html",
            folder=scrubbed(str(self._index.folder)),
            total=len(snapshot.runs),
            counts=counts.most_common(),
            chosen=len(chosen.runs),
            query=query,
            problem=chosen.problem,
            unread=self._index.unread,
            closed=[(scrubbed(str(path)), why) for path, why in self._index.found.closed[:3]],
            others=max(0, len(self._index.found.closed) - 3),
        )

    def _curves(self, ticked: Sequence[Run], shown: Sequence[Run], key: str) -> Curves:
        runs = ticked or [run for run in shown if run.epochs][:FIRST]
        if len(self._epochs) > 2 * _MOST_CURVES:
            self._epochs.clear()
        for run in runs[:_MOST_CURVES]:
            stamp, _ = self._epochs.get(run.id, (None, []))
            if stamp != run.stamp:
                self._epochs[run.id] = (run.stamp, epochs_of(run))
        return draw_curves([(run, self._epochs[run.id][1]) for run in runs[:_MOST_CURVES]], key)

    def _studies(self, snapshot: Snapshot, query: Query) -> Markup:
        found, folder = self._index.found, self._index.folder
        return render(
            "dashboard/studies.html",
            sweeps=sweeps_of(found, folder, snapshot.runs),
            comparisons=comparisons_of(found, folder),
            query=query,
        )


def _ticks(ticked: Sequence[Run], query: Query) -> Markup:
    return render(
        "dashboard/ticks.html",
        ticked=ticked,
        query=query,
        badge=badge,
        compare=Query(run=tuple(run.id for run in ticked)).link(),
        without={run.id: tuple(key for key in query.run if key != run.id) for run in ticked},
    )


def _table(
    snapshot: Snapshot, chosen: Selected, query: Query, metric: str, ticked: Sequence[Run]
) -> Markup:
    columns = columns_of(snapshot, query)
    groups = groups_of(chosen.runs, query, metric)
    shown = [run for group in groups for run in group.runs]
    numbers = {name for name in columns if any(cell_of(run, name).is_number for run in shown)}
    places = {run.id: place for place, run in enumerate(ticked)}
    return render(
        "dashboard/runs.html",
        columns=columns,
        numbers=numbers,
        groups=groups,
        listed=len(shown),
        chosen=len(chosen.runs),
        total=len(snapshot.runs),
        query=query,
        cell_of=cell_of,
        badge=badge,
        places=places,
    )


def _parallel(
    snapshot: Snapshot, chosen: Selected, query: Query, metric: str, ticked: Sequence[Run]
) -> Markup:
    settings = settings_of(snapshot, query)
    drawn = draw_parallel(chosen.runs[:_MOST_LINES], settings, metric, [run.id for run in ticked])
    return render(
        "dashboard/parallel.html",
        drawn=drawn,
        metric=metric,
        settings=settings,
        most=MOST_AXES,
        lines=_MOST_LINES if len(chosen.runs) > _MOST_LINES else None,
    )


def _lists(snapshot: Snapshot, curves: Curves, metric: str) -> Markup:
    """What the inputs of the form suggest."""
    first = [name for name in snapshot.differing if name in set(snapshot.names)]
    names = list(dict.fromkeys(["model", "data", "seed", "status", *first, *snapshot.names]))
    lists: Mapping[str, Sequence[str]] = {
        "of-columns": names[:_MOST_NAMES],
        "of-metrics": [name for name in names if name.startswith(_METRICS)][:_MOST_NAMES],
        "of-curves": curves.keys,
    }
    return render("dashboard/lists.html", lists=lists, metric=metric, curve=curves.key)
