"""Unseen users: models are evaluated on users that are held out of training.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import PositionOptions
from recsys_lab.data.splits.ranges import choose, rounded_down
from recsys_lab.data.splits.units import Units


class UnseenUsers(Split):
    """Some users are held out for validation, others for test; none of their events is trained on.

    A held-out user's last `targets` events are predicted from the earlier ones. Only users with
    another event before these are held out; all others are trained on. Liang et al. 2018,
    "Variational autoencoders for collaborative filtering", call it strong generalization; their
    targets are drawn at random, ours are the latest. Models that learn a vector for each user
    cannot be evaluated by it.

    Raises:
        UserError: if the shares leave no user to train on.
    """

    name = "unseen_users"
    held_out_phases = ("validation", "test")

    @dataclass(frozen=True)
    class Config(PositionOptions):
        """Options of `UnseenUsers`.

        Attributes:
            validation_users: share of the users with `targets` events and one before them that
                are held out for validation, rounded down, but at least one user.
            test_users: likewise for test.
            targets: number of targets of a held-out user, the last events.
            seed: of the choice of users, which is the same on every machine.
        """

        validation_users: Annotated[float, Gt(0), Lt(1)]
        test_users: Annotated[float, Gt(0), Lt(1)]
        targets: Annotated[int, Ge(1)]
        seed: Annotated[int, Ge(0)]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.validation_users + config.test_users > 1 - 1e-6:
            raise UserError(
                f"split.validation_users={config.validation_users:g} and "
                f"split.test_users={config.test_users:g} leave no user to train on: their sum must "
                "be below 1"
            )

    def segments(self, log: FlatLog) -> Segments:
        """Split the events; an error if too few users have enough events."""
        config = self.config
        starts, ends = log.offsets[:-1], log.offsets[1:]
        units = Units(log, config.unit, config.target_events)
        users = np.flatnonzero(units.counts >= config.targets)
        held = units.offsets[users + 1] - config.targets
        users = users[units.starts(users, held) > starts[users]]
        hint = (
            f"split.targets={config.targets} needs users with as many {units.named} and an event "
            "before them, one user each for training, validation and test; "
            f"{len(users)} of {len(starts)} have them"
        )
        if len(users) < 2:
            raise UserError(f"split=unseen_users: too few users can be held out. {hint}")
        test_number = max(1, int(rounded_down(config.test_users, len(users))))
        number = max(1, int(rounded_down(config.validation_users, len(users))))
        test = choose(config.seed, 0, users, test_number)
        validation = choose(config.seed, 1, np.setdiff1d(users, test), number)
        trained = np.ones(len(starts), dtype=bool)
        trained[test] = False
        trained[validation] = False
        train = np.flatnonzero(trained)

        def rows(held: NDArray[np.int64]) -> NDArray[np.int64]:
            last = units.offsets[held + 1]
            return units.rows(config.target, held, last - config.targets, last)

        rule = Segments(
            train=np.stack([train, starts[train], ends[train]], axis=1),
            validation=rows(validation),
            test=rows(test),
        )
        return finish(log, self.name, rule, hint, cold_items=config.cold_items)
