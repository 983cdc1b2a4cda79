"""The application with models that are told what to do: batches, limits, token, metrics, log."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from recsys_lab.deploy.serve.queries import Answer
from tests.deploy.serve.fakes import LIMITS, Echo, InProcess, lists


def run(coroutine):
    return asyncio.run(coroutine)


async def gone(task):
    """Wait for a cancelled task."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def begun(model):
    while not model.begun.is_set():
        await asyncio.sleep(0.002)


class TestBatches:
    def test_concurrent_requests_are_joined_and_everyone_gets_the_own_lists(self):
        async def main():
            model = Echo()
            server = InProcess(model, max_wait=0.5, max_queue=99, max_batch=12)
            asked = [[f"{n}-{m}" for m in range(n % 3 + 1)] for n in range(6)]
            answers = await asyncio.gather(*(server.ask(*names) for names in asked))
            assert [lists(a) for a in answers] == [[[name] for name in names] for names in asked]
            assert model.batches == [12]  # full, so nobody waited
            assert len(model.threads) == 1
            assert server.counted("recsys_batch_size_sum") == {"recsys_batch_size_sum": 12}
            server.batcher.close()

        run(main())

    def test_lists_of_another_length_are_ranked_apart_and_a_long_request_alone(self):
        async def main():
            model = Echo()
            server = InProcess(model, max_wait=0.2, max_batch=3)
            answers = await asyncio.gather(
                server.ask("a", k=1), server.ask("b", k=2), server.ask("c", k=1)
            )
            assert [lists(a) for a in answers] == [[["a"]], [["b"]], [["c"]]]
            assert sorted(model.batches) == [1, 2]
            model.batches.clear()
            assert len(lists(await server.ask(*"abcde"))) == 5
            assert model.batches == [5]
            server.batcher.close()

        run(main())

    def test_threads_share_what_waits_and_rank_at_the_same_time(self):
        class Meeting(Echo):  # answers when two batches are ranked at once
            both = threading.Barrier(2, timeout=60)

            def answer(self, query):
                self.both.wait()
                return super().answer(query)

        async def main():
            model = Meeting()
            server = InProcess(model, max_wait=0.5, max_queue=99, max_batch=12, threads=2)
            answers = await asyncio.gather(*(server.ask(f"{n}") for n in range(8)))
            assert [lists(a) for a in answers] == [[[f"{n}"]] for n in range(8)]
            assert (model.batches, len(model.threads)) == ([4, 4], 2)
            server.batcher.close()

        run(main())

    def test_a_request_waits_no_longer_than_stated(self):
        async def main():
            server = InProcess(Echo(), max_wait=0.03)
            start = asyncio.get_running_loop().time()
            await server.ask("a")
            assert asyncio.get_running_loop().time() - start >= 0.03
            server.batcher.close()

        run(main())

    def test_health_answers_during_a_long_forward_pass(self):
        async def main():
            model = Echo()
            server = InProcess(model)
            slow = asyncio.create_task(server.ask("slow"))
            await begun(model)
            for path in ("/health", "/ready", "/version", "/metrics"):
                assert (await server.client.get(path)).status_code == 200
            assert not slow.done()
            model.go.set()
            assert lists(await slow) == [["slow"]]
            server.batcher.close()

        run(main())

    def test_clients_that_leave_and_queries_that_fail_harm_nobody_else(self):
        async def main():
            model = Echo()
            server = InProcess(model)
            slow = asyncio.create_task(server.ask("slow"))
            await begun(model)
            asked = ("later", "poison", "fine", "odd")
            later, *others = [asyncio.create_task(server.ask(x)) for x in asked]
            while server.batcher.waiting < 4:
                await asyncio.sleep(0.002)
            await gone(slow)
            await gone(later)
            model.go.set()
            poison, fine, odd = await asyncio.gather(*others)
            assert (poison.status_code, odd.status_code) == (500, 500)
            assert lists(fine) == [["fine"]]
            assert lists(await server.ask("next")) == [["next"]]
            server.batcher.close()

        run(main())

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ValueError("NaN for user 7"), 422), (MemoryError(), 500), (SystemExit(3), 500)],
    )
    def test_whatever_a_model_raises_is_an_answer_without_its_words(self, error, status, caplog):
        async def main():
            server = InProcess(Echo(error=error))
            answer = await server.ask("poison")
            assert answer.status_code == status
            assert "user 7" not in answer.text + caplog.text
            assert lists(await server.ask("next")) == [["next"]]
            server.batcher.close()

        run(main())

    def test_a_full_queue_is_told_at_once(self):
        async def main():
            model = Echo()
            server = InProcess(model, max_queue=2)
            slow = asyncio.create_task(server.ask("slow"))
            await begun(model)
            waiting = asyncio.create_task(server.ask("a", "b"))
            while server.batcher.waiting < 2:
                await asyncio.sleep(0.002)
            refused = await server.ask("c")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert "too many requests" in refused.json()["error"]
            model.go.set()
            assert len(lists(await slow)) + len(lists(await waiting)) == 3
            server.batcher.close()

        run(main())

    def test_a_request_without_lists_in_time_is_given_up(self):
        async def main():
            model = Echo()
            server = InProcess(model, timeout=0.05)
            answer = await server.ask("slow")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            model.go.set()
            server.batcher.close()

        run(main())

    def test_closing_answers_what_waits_and_takes_no_more(self):
        async def main():
            model = Echo()
            server = InProcess(model, max_wait=30)
            waiting = asyncio.create_task(server.ask("a"))
            while not server.batcher.waiting:
                await asyncio.sleep(0.002)
            server.batcher.close()
            assert lists(await waiting) == [["a"]]
            late = await server.ask("b")
            assert (late.status_code, late.json()["error"]) == (503, "the server stops; try again")

        run(main())


MANY = {"histories": [["a"]] * 9}
WRONG = [
    (b"", 400, "the body is not JSON"),
    (b"\xff\xfe", 400, "the body is not JSON"),
    (b"[" * 1500, 400, "recursion limit"),
    (b'{"histories": [["\\ud800"]]}', 400, "the body is not JSON"),
    (b'{"histories": [[' + b"9" * 30 + b"]]}", 422, "histories[0][0]: expected an item's"),
    (b'{"histories": [[NaN]]}', 422, "histories[0][0]: expected an item's"),
    ([], 422, "the body: Input should be an object"),
    ({}, 422, "give one of histories, events and users; got none of them"),
    ({"histories": [], "users": []}, 422, "got histories and users"),
    ({"history": [["a"]]}, 422, "no such key as 'history'; known are histories, events, users"),
    ({"histories": [["a", None]]}, 422, "histories[0][1]: expected an item's"),
    ({"histories": [["a"], [True]]}, 422, "histories[1][0]: expected an item's"),
    ({"histories": ["abc"]}, 422, "histories[0]: Input should be a valid array"),
    ({"histories": [["a" * 1001]]}, 422, "histories[0][0]: expected an item's"),
    ({"histories": [["a"]], "k": 0}, 422, "k: Input should be greater than or equal to 1"),
    ({"histories": [["a"]], "k": 21}, 422, "k: got 21, at most 20 is allowed"),
    ({"histories": [["a"]], "k": "5"}, 422, "k: Input should be a valid integer"),
    ({"histories": [["a"]], "exclude_seen": 1}, 422, "exclude_seen: Input should be a valid bool"),
    (MANY, 422, "histories: 9 in one request, at most 8 are allowed"),
    ({"histories": [["a"] * 7]}, 422, "histories[0]: 7 events, at most 6 are allowed"),
    ({"events": [[{"timestamp": 1}]]}, 422, "events[0][0].item_id: Field required"),
    ({"events": [[{"item_id": 1, "timestamp": 1e9}]]}, 422, "timestamp: Input should be a valid"),
    ({"events": [[{"item_id": 1, "timestamp": 10**12}]]}, 422, "timestamp: Input should be less"),
    ({"events": [[{"item_id": 1, "price": [1]}]]}, 422, "events[0][0].price: expected a text"),
    (b'{"events": [[{"item_id": 1, "price": 1e999}]]}', 422, "price: expected a text"),
    (b'{"histories": [["a"]], "k": 1, "\\u006b": 2}', 422, "the key 'k' is given more than once"),
    (b'{"events": [[{"item_id": 1, "item_id": 2}]]}', 422, "the key 'item_id' is given more"),
    ({"users": [1.5]}, 422, "users[0]: expected an item's or user's id"),
    (b"x" * 2001, 413, "more than 2,000 bytes"),
]  # fmt: skip


class TestRequests:
    def test_what_is_wrong_is_told_with_a_4xx(self):
        async def main():
            server = InProcess(Echo())
            for body, status, words in WRONG:
                content = body if isinstance(body, bytes) else json.dumps(body)
                answer = await server.client.post("/recommend", content=content)
                assert answer.status_code == status, body
                assert words in answer.json()["error"], body
            assert lists(await server.ask("a")) == [["a"]]
            server.batcher.close()

        run(main())

    def test_a_body_is_read_no_further_than_its_limit(self):
        sent = 0

        async def parts():
            nonlocal sent
            for _ in range(1000):
                sent += 1
                yield b" " * 1000

        async def main():
            server = InProcess(Echo())
            answer = await server.client.post("/recommend", content=parts())
            assert (answer.status_code, answer.headers["connection"]) == (413, "close")
            assert sent == 3
            zipped = await server.client.post(
                "/recommend", content=b"x", headers={"content-encoding": "gzip"}
            )
            assert zipped.status_code == 415
            server.batcher.close()

        run(main())

    def test_long_histories_are_truncated_where_that_is_chosen(self):
        async def main():
            model = Echo()
            seen = []
            answer = model.answer
            model.answer = lambda query: seen.extend(query.rows) or answer(query)
            server = InProcess(model, replace(LIMITS, long_history="truncate"))
            got = await server.client.post("/recommend", json={"histories": [list(range(9)), [1]]})
            assert [one["num_dropped"] for one in got.json()["lists"]] == [3, 0]
            assert seen == [list("345678"), ["1"]]
            seen.clear()
            times = [5, 3, 9, 9, 1, 2, 8]
            events = [{"item_id": n, "timestamp": t} for n, t in enumerate(times)]
            model.answer = lambda query: seen.extend(query.rows) or [SimpleNamespace(
                items=[], scores=[], titles=[], num_unknown=0, reason="none")]  # fmt: skip
            await server.client.post("/recommend", json={"events": [events]})
            assert [e["item_id"] for e in seen[0]] == ["5", "1", "0", "6", "2", "3"]  # ties stay
            server.batcher.close()

        run(main())

    def test_infinite_scores_are_json(self):
        async def main():
            model = Echo()
            model.answer = lambda _: [Answer(["a"], [float("inf")], ["t"], 0, None)]
            server = InProcess(model)
            [one] = (await server.ask("a")).json()["lists"]
            assert one["items"] == [{"item_id": "a", "score": None, "title": "t"}]
            server.batcher.close()

        run(main())

    def test_nothing_is_asked_for_no_history(self):
        async def main():
            model = Echo()
            server = InProcess(model)
            answer = await server.client.post("/recommend", json={"users": []})
            assert answer.json() == {"model_version": "1", "lists": []}
            assert model.batches == []
            server.batcher.close()

        run(main())
