"""Whole users are held out: what is learnt from some users is judged on others.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import Segments
from recsys_lab.data.splits.finish import finish
from recsys_lab.data.splits.places import choose, rounded_down

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog


class UnseenUsers:
    """Some users are for validation, some for test; none of their events is trained on.

    A held-out user's last `targets` events are to be found by the earlier ones. Every user has
    one role. Only users with more than `targets` events are held out; all others are trained on
    (Liang et al. 2018, "Variational autoencoders for collaborative filtering", call it strong
    generalization; their targets are drawn at random, ours are the latest). Models that learn
    a vector for each user cannot be judged by it.

    Args:
        config: see `Config`.

    Raises:
        UserError: when the shares leave nobody to train on.
    """

    held_out_phases: tuple[str, ...] = ("validation", "test")

    @dataclass(frozen=True)
    class Config:
        """Options of `UnseenUsers`.

        Attributes:
            validation_users: share of the users with more than `targets` events that are held
                out for validation, rounded down, but at least one user.
            test_users: likewise for test.
            targets: last events of a held-out user that are to be found.
            seed: of the choice of users; it is equal on every machine.
            cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count),
                or keep and ``report`` their number.
        """

        validation_users: Annotated[float, Gt(0), Lt(1)]
        test_users: Annotated[float, Gt(0), Lt(1)]
        targets: Annotated[int, Ge(1)]
        seed: Annotated[int, Ge(0)]
        cold_items: Literal["keep", "drop", "report"]

    def __init__(self, config: Config) -> None:
        self.config = config
        if config.validation_users + config.test_users > 1 - 1e-6:
            raise UserError(
                f"split.validation_users={config.validation_users:g} and "
                f"split.test_users={config.test_users:g} leave nobody to train on: their sum must "
                "be below 1"
            )

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        return {"name": "unseen_users", **asdict(self.config)}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when too few users have enough events.
        """
        config = self.config
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.flatnonzero(ends - starts > config.targets)
        hint = (
            f"split.targets={config.targets} needs users with {config.targets + 1} events, one "
            f"each for training, validation and test; {len(users)} of {len(starts)} have them"
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
            return np.stack([held, starts[held], ends[held] - config.targets, ends[held]], axis=1)

        rule = Segments(
            train=np.stack([train, starts[train], ends[train]], axis=1),
            validation=rows(validation),
            test=rows(test),
        )
        return finish(log, "unseen_users", rule, hint, cold_items=config.cold_items)
