"""``recsys-lab explain RUN --user U``: which history items moved each recommendation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_lab.cli.evaluate import restore
from recsys_lab.cli.explain_page import explanation_page
from recsys_lab.config import UserError
from recsys_lab.config.errors import did_you_mean
from recsys_lab.contracts import NO_ITEM
from recsys_lab.data.batches import Histories
from recsys_lab.evaluation.attribution import integrated_gradients, occlusion
from recsys_lab.runs.record import RunRecord, write_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.cli.assemble import Parts

_MOVERS = 3  # events that the terminal shows of each recommendation


@dataclass(frozen=True)
class Explanation:
    """A list with its causes.

    Attributes:
        model: its name.
        user: raw id.
        method: how the causes were found.
        history: titles of the events that the model read, oldest first.
        items: titles of the list.
        ids: raw ids of the list.
        scores: of the list.
        attributions: for each item of the list a number for each event; positive ones raised the
            score.
        wanted: titles of the targets.
    """

    model: str
    user: str
    method: str
    history: list[str]
    items: list[str]
    ids: list[str]
    scores: list[float]
    attributions: list[list[float]]
    wanted: list[str]


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the causes; write them too when ``output`` names a folder."""
    del output_dir
    console = Console()
    record = RunRecord.load(Path(cfg.run))
    if not record.done:
        raise UserError(
            f"{record.folder}: the run's status is '{record.values['status']}', so it has no model "
            f"to explain; finish it first: recsys-lab train resume={record.folder}"
        )
    parts = restore(record)
    explanation = explain(parts, record.values["name"], cfg.user, cfg.k, cfg.method)
    console.print(_table(explanation))
    if not any(any(row) for row in explanation.attributions):
        console.print("the history does not move these scores: the model reads nothing of it")
    if cfg.output is not None:
        folder = Path(cfg.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "explanation.json", json.dumps(vars(explanation), indent=1) + "\n")
        write_text(folder / "explanation.html", explanation_page(explanation))
        for name in ("explanation.json", "explanation.html"):
            console.print(f"written: {folder / name}", soft_wrap=True, highlight=False)


def explain(parts: Parts, name: str, user: str, k: int, method: str) -> Explanation:
    """The test list of a user with its causes.

    Args:
        parts: a restored run.
        name: of its model.
        user: raw id.
        k: length of the list.
        method: ``occlusion`` or ``integrated_gradients``.

    Raises:
        UserError: no such user in the test, or the method does not fit the model.
    """
    data = parts.data
    ids = [str(found) for found in data.user_ids()]
    start, end, target_end = _segment(parts, ids, user)
    begin = start if parts.model.window is None else max(start, end - parts.model.window)
    rows = (np.array([ids.index(user)]), np.array([begin]), np.array([end]))
    history = Histories(data, getattr(parts.model, "features", ()))(*rows).to(parts.device)
    exclude = None
    if parts.protocol.config.exclude_seen:
        seen = torch.from_numpy(np.unique(data.items[start:end]).astype(np.int64))
        exclude = (torch.zeros_like(seen).to(parts.device), seen.to(parts.device))
    with torch.inference_mode():
        ranked = parts.model.recommend(history, k, exclude)
    kept = ranked.items_BK[0] != NO_ITEM
    items_K, scores_K = ranked.items_BK[0][kept], ranked.scores_BK[0][kept]
    if method == "occlusion":
        with torch.inference_mode():
            causes_KT = occlusion(parts.model, history, items_K, data.num_items)
    else:
        causes_KT = integrated_gradients(parts.model, history, items_K)
    item_ids = [str(found) for found in data.item_ids()]
    titles = data.item_titles() or item_ids
    return Explanation(
        model=name, user=user, method=method,
        history=[titles[item] for item in history.items_T.tolist()],
        items=[titles[item] for item in items_K.tolist()],
        ids=[item_ids[item] for item in items_K.tolist()],
        scores=scores_K.tolist(),
        attributions=causes_KT.tolist(),
        wanted=[titles[item] for item in data.items[end:target_end].tolist()],
    )  # fmt: skip


def _segment(parts: Parts, ids: list[str], user: str) -> tuple[int, int, int]:
    """Start and end of a user's test history, and the end of the targets."""
    segments = np.asarray(parts.data.segments("test"))
    if user not in ids:
        raise UserError(f"user: {user!r} is not in the data{did_you_mean(user, ids)}"
                        f" Users are e.g. {', '.join(ids[:3])}.")  # fmt: skip
    rows = segments[segments[:, 0] == ids.index(user)]
    if not len(rows):
        raise UserError(f"user: {user!r} has no test events, so no list was made for them")
    _, start, end, target_end = map(int, rows[0])
    if end == start:
        raise UserError(f"user: {user!r} has no events before the test: nothing moved their list")
    return start, end, target_end


def _table(explanation: Explanation) -> Table:
    title = (
        f"{explanation.model}, user {explanation.user}: what moved each recommendation "
        f"({explanation.method}); {len(explanation.history)} events, "
        f"wanted: {'; '.join(explanation.wanted)}"
    )
    table = Table(title=Text(title), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("recommended")
    table.add_column("score", justify="right")
    table.add_column("moved most by")
    wanted = set(explanation.wanted)
    rows: Any = zip(explanation.items, explanation.scores, explanation.attributions, strict=True)
    for place, (title, score, causes) in enumerate(rows, start=1):
        strongest = sorted(range(len(causes)), key=lambda t: -abs(causes[t]))[:_MOVERS]
        said = "\n".join(f"{causes[t]:+.3f} {explanation.history[t]}" for t in strongest)
        style = "bold green" if title in wanted else ""
        table.add_row(str(place), Text(title, style=style), f"{score:.3f}", Text(said))
    return table
