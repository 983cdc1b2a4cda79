"""Maps addresses to answers; nothing else than these can be asked for.

A run, a report or a file is named by an id that is looked up in what was found, never by a path.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.config.secrets import scrubbed
from recsys_lab.dashboard.comparing import Comparer, Outcome, command_of
from recsys_lab.dashboard.index import Index
from recsys_lab.dashboard.query import Query
from recsys_lab.dashboard.studies import report_of
from recsys_lab.dashboard.view import View
from recsys_lab.files.faults import reason
from recsys_lab.pages.markup import render
from recsys_lab.runs.model_card.page import page_of
from recsys_lab.runs.record import RunRecord

if TYPE_CHECKING:
    from recsys_lab.dashboard.index import Run

    Values = Mapping[str, Sequence[str]]

HTML, JSON = "text/html; charset=utf-8", "application/json"
OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the dashboard's pages may do: load its own files, nothing from elsewhere."""
DOCUMENT = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""What cards and reports may do: be read."""

_FILES = {
    "page.css": ("pages", "text/css; charset=utf-8"),
    "dashboard.css": ("dashboard", "text/css; charset=utf-8"),
    "dashboard.js": ("dashboard", "text/javascript; charset=utf-8"),
}
_MOST_COMPARED = 200


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        body: its content.
        kind: its media type.
        status: of HTTP.
        policy: what its page may do.
    """

    body: bytes
    kind: str = HTML
    status: int = 200
    policy: str = OWN
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", f'"{hashlib.sha256(self.body).hexdigest()[:20]}"')


class Site:
    """The addresses of a dashboard.

    Args:
        folder: with runs at any depth.
        refresh: seconds between two looks of an open page.
    """

    def __init__(self, folder: Path, refresh: float) -> None:
        self.index = Index(folder)
        self._view = View(self.index, refresh)
        self._comparer = Comparer()
        self._pages: dict[str, Callable[[Values], Answer]] = {
            "": lambda values: _html(self._view.page(Query.of(values))),
            "view": self._parts,
            "card": self._card,
            "report": self._report,
            "compare": self._compare,
        }

    def answer(self, name: str, values: Values) -> Answer:
        """The answer for an address.

        Args:
            name: its path without the first slash.
            values: of its query.
        """
        if name in _FILES:
            return Answer(_file(name), _FILES[name][1])
        page = self._pages.get(name)
        return page(values) if page else message("There is no such page", status=404)

    def close(self) -> None:
        """End a running comparison."""
        self._comparer.close()

    def _parts(self, values: Values) -> Answer:
        return Answer(json.dumps(self._view.parts(Query.of(values))).encode(), JSON)

    def _card(self, values: Values) -> Answer:
        run = next(iter(self._runs(values)), None)
        if run is None:
            return message("There is no such run", status=404)
        try:
            page = page_of(RunRecord.load(run.path))
        except UserError as error:
            return message(str(run.row["name"]), str(error), status=404)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"The record lacks {error}, or has something else there."
            return message(str(run.row["name"]), text, status=404)
        return _html(page, DOCUMENT)

    def _report(self, values: Values) -> Answer:
        wanted = "".join(values.get("of", ())[:1])
        self.index.refresh()
        report = report_of(self.index.found, self.index.folder, wanted)
        try:
            if report is not None:
                return Answer(report.read_bytes(), policy=DOCUMENT)
        except OSError as error:
            return message("The report cannot be read", reason(error), status=404)
        return message("There is no such report", status=404)

    def _compare(self, values: Values) -> Answer:
        runs, force = self._runs(values), "true" in values.get("force", ())
        if not runs:
            return message("No run is ticked", "Tick the runs to compare.", status=404)
        if len(runs) > _MOST_COMPARED:
            text = f"At most {_MOST_COMPARED} runs are compared here, {len(runs)} are ticked."
            return message("Too many runs", text, status=404)
        paths = [run.path.resolve() for run in runs]
        key = (tuple((run.id, run.stamp) for run in runs), force)
        outcome = self._comparer.ask(key, paths, force=force)
        command = scrubbed(shlex.join(["recsys-lab", *command_of(paths, force=force)]))
        if isinstance(outcome, Outcome):
            return self._compared(outcome, runs, command, force)
        text = f"$ {command}\n\n{outcome:.0f} s"
        return message(f"Comparing {len(runs)} runs ...", text, refresh=1)

    def _compared(self, outcome: Outcome, runs: Sequence[Run], command: str, force: bool) -> Answer:
        if outcome.report:
            return _html(outcome.report, DOCUMENT)
        title = "Not compared" if outcome.failed else "Compared"
        links = []
        if outcome.failed and len({run.row.get("protocol.fingerprint") for run in runs}) > 1:
            address = f"compare{Query(run=tuple(run.id for run in runs)).link()}&force=true"
            links = [(address, "Show the numbers anyway, marked as not comparable")]
        links = [] if force else links
        return message(title, f"$ {command}\n\n{outcome.text}", links=links)

    def _runs(self, values: Values) -> list[Run]:
        """The runs of the ids in a query, each once."""
        self.index.refresh()
        known = {run.id: run for run in self.index.snapshot().runs}
        return [known[key] for key in dict.fromkeys(values.get("run", ())) if key in known]


def message(
    title: str,
    text: str = "",
    *,
    status: int = 200,
    refresh: int = 0,
    links: Sequence[tuple[str, str]] = (),
) -> Answer:
    """A page of a few words."""
    page = render(
        "dashboard/message.html",
        title=scrubbed(title),
        text=scrubbed(text),
        refresh=refresh,
        links=links,
    )
    return Answer(page.encode(), status=status)


def _html(page: str, policy: str = OWN) -> Answer:
    return Answer(page.encode(), policy=policy)


@cache
def _file(name: str) -> bytes:
    return (resources.files("recsys_lab") / _FILES[name][0] / name).read_bytes()
