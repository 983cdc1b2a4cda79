"""A server in this process with models that are told what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from recsys_lab.deploy.serve.app import make_app
from recsys_lab.deploy.serve.batching import Batcher
from recsys_lab.deploy.serve.messages import Limits
from recsys_lab.deploy.serve.metrics import Metrics
from recsys_lab.deploy.serve.queries import Answer, Bundle, Query


@dataclass(eq=False)
class Echo:
    """Recommends the last item of each history; records the sizes of batches.

    The items "slow", "poison" and "odd" make it wait for `go`, fail, and forget an answer.
    """

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    batches: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    error: BaseException = field(default_factory=lambda: RuntimeError("poison of user u1"))

    def check(self, query: Query) -> None:
        pass

    def warm_up(self, rows: int) -> None:
        pass

    def answer(self, query: Query) -> list[Answer]:
        items = [row[-1] for row in query.rows]
        self.batches.append(len(items))
        self.threads.add(threading.get_ident())
        if "slow" in items:
            self.begun.set()
            assert self.go.wait(60)
        if "poison" in items:
            raise self.error
        if "odd" in items:
            items = items[1:]
        return [Answer([item], [1.0], [None], 0, None) for item in items]


def bundle(model: Any, number: int = 1) -> Bundle:
    return Bundle(model, str(number), number, {"model": "fake"})


LIMITS = Limits(5, 20, 8, 6, "refuse", 2000)


class InProcess:
    """An application, its parts, and a client."""

    def __init__(
        self,
        model: Any,
        limits: Limits = LIMITS,
        *,
        max_batch: int = 8,
        max_wait: float = 0.02,
        max_queue: int = 8,
        threads: int = 1,
        timeout: float = 60.0,
        token: str | None = None,
        failure: Callable[[], Any] = lambda: None,
    ) -> None:
        self.metrics = Metrics(
            lambda: self.batcher.bundle.version, lambda: self.batcher.waiting, lambda: False
        )
        self.batcher = Batcher(
            model if isinstance(model, Bundle) else bundle(model),
            max_batch=max_batch,
            max_wait=max_wait,
            max_queue=max_queue,
            threads=threads,
            observe=self.metrics.batch,
        )
        app = make_app(
            self.batcher, self.metrics, limits, timeout=timeout, token=token, failure=failure
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://here")

    async def ask(self, *last: str, **more: Any) -> httpx.Response:
        """A list for each history of one item."""
        return await self.client.post(
            "/recommend", json={"histories": [[item] for item in last], **more}
        )

    def counted(self, name: str) -> dict[str, float]:
        """The samples of a metric: labels -> value."""
        lines = self.metrics.text().decode().splitlines()
        return {
            line.partition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(name)
        }


def lists(response: httpx.Response) -> list[list[Any]]:
    assert response.status_code == 200, response.text
    return [[item["item_id"] for item in one["items"]] for one in response.json()["lists"]]
