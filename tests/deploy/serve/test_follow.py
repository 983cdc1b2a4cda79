"""A registry's champion is followed, without a dropped request and without a second model left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import weakref
from dataclasses import dataclass, field

import pytest

from recsys_lab.deploy.registry import Champion, Registry
from recsys_lab.deploy.serve import follow
from recsys_lab.deploy.serve.batching import Batcher
from recsys_lab.deploy.serve.follow import Follower
from tests.deploy.serve.fakes import Echo, InProcess, bundle, lists


def write_champion(registry, version, run="runs/one", **more):
    """As promotion writes it: atomically."""
    champion = {"run": run, "export": None, "version": version, "promoted": "2026-11-29"}
    champion["decision"] = f"decisions/{version:04d}.json"
    values = {"schema": 1, "champion": champion, "history": [], **more}
    file = registry / "registry.json"
    file.with_suffix(".new").write_text(json.dumps(values))
    os.replace(file.with_suffix(".new"), file)


@dataclass
class Loader:
    """Makes models, and knows which of them are alive."""

    models: weakref.WeakSet = field(default_factory=weakref.WeakSet)
    most: int = 0
    fails: bool = False
    loads: int = 0

    def __call__(self, champion: Champion):
        self.loads += 1
        if self.fails:
            raise RuntimeError("no memory")
        model = Echo()
        self.models.add(model)
        self.most = max(self.most, len(self.models))
        return bundle(model, champion.version)


class TestFollower:
    def test_swaps_under_load_drop_no_request_and_leave_one_model(self, tmp_path):
        async def main():
            load = Loader()
            write_champion(tmp_path, 1)
            server = InProcess(load(Registry(tmp_path).champion()), max_wait=0.0, max_queue=64)
            follower = Follower(
                tmp_path, server.batcher, load, poll=0.005, on_swap=server.metrics.swaps.inc
            )
            done, answers = False, []

            async def client(name):
                while not done:
                    answer = await server.ask(name)
                    assert lists(answer) == [[name]]
                    answers.append(int(answer.json()["model_version"]))

            clients = [asyncio.create_task(client(f"c{n}")) for n in range(4)]
            before = 0.0
            while not answers:
                await asyncio.sleep(0.002)
            follower.start()
            for version in range(2, 8):
                write_champion(tmp_path, version)
                while answers[-1] != version:
                    await asyncio.sleep(0.002)
                [requests] = server.counted("recsys_requests_total").values()
                assert requests >= before
                before = requests
            done = True
            await asyncio.gather(*clients)
            follower.stop()
            assert set(answers) == set(range(1, 8))
            assert answers == sorted(answers)  # once the new one answers, the old one never does
            assert server.counted("recsys_model_swaps_total") == {"recsys_model_swaps_total": 6}
            assert server.counted("recsys_model_info") == {'recsys_model_info{version="7"}': 1}
            gc.collect()
            assert len(load.models) == 1
            assert load.most <= 3  # old, new, and the one of a batch that was being ranked
            server.batcher.close()

        asyncio.run(main())

    @pytest.fixture
    def served(self, tmp_path):
        load, failures = Loader(), []
        write_champion(tmp_path, 1)
        batcher = Batcher(load(Registry(tmp_path).champion()), max_batch=1, max_wait=0, max_queue=1)
        follower = Follower(tmp_path, batcher, load, poll=1, on_failure=lambda: failures.append(1))
        yield tmp_path, batcher, follower, load, failures
        batcher.close()

    def test_an_unchanged_champion_is_not_loaded_again(self, served):
        folder, batcher, follower, load, _ = served
        first = batcher.bundle
        for _ in range(3):
            follower.look()
        write_champion(folder, 1, history=[{"version": 0}])
        follower.look()
        assert (batcher.bundle, load.loads) == (first, 1)

    def test_a_champion_that_fails_keeps_the_old_one_and_is_tried_again(
        self, served, monkeypatch, caplog
    ):
        folder, batcher, follower, load, failures = served
        first = batcher.bundle
        load.fails = True
        write_champion(folder, 2)
        for _ in range(3):
            follower.look()
        assert batcher.bundle is first
        assert follower.failure.version == 2
        assert (failures, load.loads) == ([1], 2)  # once, until it is time to try again
        assert (
            "champion version 2 cannot be loaded, 1 stays: RuntimeError: no memory" in caplog.text
        )
        monkeypatch.setattr(follow, "_RETRY", 0.0)
        follower._retry_at = 0.0
        follower.look()
        assert load.loads == 3
        load.fails = False
        follower.look()
        assert (batcher.bundle.version, follower.failure) == ("2", None)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "not a registry"),
            ('{"schema": 2, "champion": null}', "(schema: "),
            ('{"schema": 1, "champion": {"run": 3}}', "(champion.run: "),
            (
                '{"schema": 1, "champion": {"run": "r", "export": null, "version": "2"}}',
                "(champion.version: ",
            ),
            (None, "is missing"),
        ],
    )
    def test_a_registry_that_cannot_be_read_keeps_the_model(self, served, text, words):
        folder, batcher, follower, _, failures = served
        first = batcher.bundle
        file = folder / "registry.json"
        file.unlink()
        if text is not None:
            file.write_text(text)
        follower.look()
        follower.look()
        assert batcher.bundle is first
        assert follower.failure.version is None
        assert words in follower.failure.reason
        assert failures == [1]
        write_champion(folder, 3)
        follower.look()
        assert (batcher.bundle.version, follower.failure) == ("3", None)

    def test_a_failing_champion_shows_in_ready_without_its_path(self):
        async def main():
            failure = follow.Failure(4, "/secret/run: damaged")
            server = InProcess(Echo(), failure=lambda: failure)
            answer = await server.client.get("/ready")
            assert answer.json() == {
                "ready": True,
                "model_version": "1",
                "failed_champion": "version 4 cannot be loaded; see the log",
            }
            server.batcher.close()

        asyncio.run(main())


def test_paths_of_a_champion_are_relative_to_its_registry(tmp_path):
    write_champion(tmp_path, 7, run="../runs/seven")
    champion = Registry(tmp_path).champion()
    assert (champion.run, champion.export) == (tmp_path.parent / "runs/seven", None)
    write_champion(tmp_path, 8, run="/runs/eight")
    assert str(Registry(tmp_path).champion().run) == "/runs/eight"
    (tmp_path / "registry.json").write_text('{"schema": 1, "champion": null}')
    assert Registry(tmp_path).champion() is None
