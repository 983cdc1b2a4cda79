"""``recsys-lab explain RUN --user U``: which history items moved each recommendation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.table import Table
from rich.text import Text

from recsys_lab.cli.evaluate import restore
from recsys_lab.cli.output import output_folder
from recsys_lab.comparison.collect import whole_record
from recsys_lab.config import UserError
from recsys_lab.config.errors import did_you_mean
from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.attribution import integrated_gradients, occlusion
from recsys_lab.experiment.explanation_page import explanation_page
from recsys_lab.files.atomic import write_text
from recsys_lab.pages.terminal import Terminal

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.experiment.components import Parts

_MOVERS = 3  # events that the terminal shows of each recommendation


@dataclass(frozen=True)
class Explanation:
    """A list with its causes.

    Attributes:
        model: its name.
        user: raw id.
        phase: ``test`` or ``validation``: whose events were to be found.
        method: how the causes were found.
        history: titles of the events that the model read, oldest first.
        history_ids: their items' raw ids.
        items: titles of the list.
        ids: raw ids of the list.
        hits: for each item of the list whether it is a target.
        scores: of the list.
        attributions: for each item of the list a number for each event; positive ones raised the
            score.
        wanted: titles of the targets.
    """

    model: str
    user: str
    phase: str
    method: str
    history: list[str]
    history_ids: list[str]
    items: list[str]
    ids: list[str]
    hits: list[bool]
    scores: list[float]
    attributions: list[list[float]]
    wanted: list[str]


def run(cfg: DictConfig, output_dir: Path) -> None:
    """Print the causes; write them too when ``output`` names a folder."""
    del output_dir
    console = Terminal()
    record = whole_record(Path(cfg.run))
    if not record.done:
        raise UserError(
            f"{record.folder}: the run's status is '{record.values['status']}', so it has no model "
            f"to explain; finish it first: recsys-lab train resume={record.folder}"
        )
    if cfg.phase == "test" and "test" not in record.values:
        raise UserError(
            f"{record.folder}: a trial of a search, which never opens the test split; use "
            "phase=validation"
        )
    if cfg.phase == "validation" and record.values.get("refit"):
        console.print("note: this model was refit on validation events, so it knows what is wanted")
    folder = output_folder(cfg.output)
    explanation = explain(
        restore(record, cfg.verify, prepare=cfg.prepare), record.values["name"], cfg
    )
    console.print(_table(explanation))
    if folder is not None:
        write_text(folder / "explanation.json", json.dumps(vars(explanation), indent=1) + "\n")
        write_text(folder / "explanation.html", explanation_page(explanation))
        for name in ("explanation.json", "explanation.html"):
            console.print(f"written: {folder / name}", soft_wrap=True, highlight=False)


def explain(parts: Parts, name: str, cfg: DictConfig) -> Explanation:
    """The list of a user with its causes.

    Args:
        parts: a restored run.
        name: of its model.
        cfg: ``user`` (raw id), ``k``, ``method`` and ``phase`` of ``explain``.

    Raises:
        UserError: no such user in the split, or the method does not fit the model.
    """
    data = parts.data
    user = _judged_user(parts, cfg.user, cfg.phase)
    batch = parts.batches(cfg.phase).of_user(user).to(parts.device)
    history = batch.history
    with torch.inference_mode():
        ranked = parts.model.recommend(history, cfg.k, parts.protocol.exclude(batch))
    kept = ranked.items_BK[0] != NO_ITEM
    items_K, scores_K = ranked.items_BK[0][kept], ranked.scores_BK[0][kept]
    if cfg.method == "occlusion":
        with torch.inference_mode():
            causes_KT = occlusion(parts.model, history, items_K, data.num_items)
    else:
        causes_KT = integrated_gradients(parts.model, history, items_K)
    item_ids = [str(found) for found in data.item_ids()]
    titles = data.item_titles() or item_ids
    events, listed = history.items_T.tolist(), items_K.tolist()
    wanted = batch.target_items.tolist()
    return Explanation(
        model=name, user=cfg.user, phase=cfg.phase, method=cfg.method,
        history=[titles[item] for item in events],
        history_ids=[item_ids[item] for item in events],
        items=[titles[item] for item in listed],
        ids=[item_ids[item] for item in listed],
        hits=[item in wanted for item in listed],
        scores=scores_K.tolist(),
        attributions=causes_KT.tolist(),
        wanted=[titles[item] for item in wanted],
    )  # fmt: skip


def _judged_user(parts: Parts, user: str, phase: str) -> int:
    """The index of a user who has a list in the split."""
    segments = np.asarray(parts.data.segments(phase))
    ids = [str(found) for found in parts.data.user_ids()]
    judged = ", ".join(ids[index] for index in np.unique(segments[:, 0])[:3])
    if user not in ids:
        raise UserError(
            f"user: {user!r} is not in the data{did_you_mean(user, ids)} "
            f"Users of the {phase} split are e.g. {judged}."
        )
    rows = segments[segments[:, 0] == ids.index(user)]
    if not len(rows):
        raise UserError(
            f"user: {user!r} has no list, because none of their events is in the {phase} split; "
            f"those with one are e.g. {judged}"
        )
    index, start, end, _ = map(int, rows[-1])
    if end == start:
        raise UserError(
            f"user: {user!r} has no events before the {phase} split: nothing moved their list; "
            "choose another user"
        )
    return index


def _table(explanation: Explanation) -> Table:
    title = (
        f"{explanation.model}, user {explanation.user}: what moved each recommendation "
        f"({explanation.method}, {explanation.phase} split); {len(explanation.history)} events, "
        f"wanted: {'; '.join(explanation.wanted)}"
    )
    table = Table(title=Text(title), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("recommended")
    table.add_column("score", justify="right")
    table.add_column("moved most by")
    rows: Any = zip(
        explanation.items, explanation.hits, explanation.scores, explanation.attributions,
        strict=True,
    )  # fmt: skip
    for place, (title, hit, score, causes) in enumerate(rows, start=1):
        strongest = sorted(range(len(causes)), key=lambda t: -abs(causes[t]))[:_MOVERS]
        said = "\n".join(f"{causes[t]:+.3f} {explanation.history[t]}" for t in strongest)
        style = "bold green" if hit else ""
        table.add_row(str(place), Text(title, style=style), f"{score:.3f}", Text(said))
    return table
