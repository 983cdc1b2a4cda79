"""A server for a run: its lists are those of `recsys_lab.load(RUN).recommend`."""

from __future__ import annotations

import json
import signal
import socket
import threading
from contextlib import ExitStack

import numpy as np
import polars as pl
import pytest

import recsys_lab
from recsys_lab.config.deploy_commands import ServeConfig
from recsys_lab.deploy.serve.server import _Uvicorn
from tests.cli.flow import until
from tests.deploy.serve.conftest import RUNS, serving
from tests.deploy.serve.test_follow import write_champion

HISTORIES = [["i3", "i1", "i20"], ["i7"], ["nope", "i2", "gone"], [], ["nope"]]


def flat(response):
    """(history, item, score) of every rank."""
    assert response.status_code == 200, response.text
    return [
        (row, item["item_id"], item["score"])
        for row, one in enumerate(response.json()["lists"])
        for item in one["items"]
    ]


def same(served, frame, key="history"):
    """Equal items; scores may differ in the last bits, as batches have other sizes."""
    rows = {name: row for row, name in enumerate(frame[key].unique(maintain_order=True))}
    expected = [
        (rows[name] if key != "history" else name, item, score)
        for name, item, score in frame.select(key, "item_id", "score").iter_rows()
    ]
    assert [x[:2] for x in served] == [x[:2] for x in expected]
    assert [x[2] for x in served] == pytest.approx([x[2] for x in expected], rel=1e-5)


@pytest.fixture(scope="module")
def clients(served_runs):
    """A client of each run's server."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(served_runs / name)) for name in RUNS}


class TestLists:
    @pytest.mark.parametrize("name", ["sasrec", "generator", "popularity", "ease"])
    @pytest.mark.parametrize("more", [{}, {"k": 3, "exclude_seen": False}])
    def test_lists_for_histories_are_those_of_python(self, served_runs, clients, name, more):
        served = clients[name].post("/recommend", json={"histories": HISTORIES, **more})
        with pytest.warns(UserWarning, match="skipped|no known item"):
            lists = recsys_lab.load(served_runs / name).recommend(HISTORIES, **more)
        same(flat(served), lists)
        answers = served.json()["lists"]
        assert [one["num_unknown"] for one in answers] == [0, 0, 2, 0, 1]
        ranks_nothing = name in ("sasrec", "generator")
        nothing = "the history has no item that the model knows" if ranks_nothing else None
        assert [one["reason"] for one in answers] == [None, None, None, nothing, nothing]

    def test_lists_for_events_are_those_of_python_whatever_their_order(self, served_runs, clients):
        more = [{"channel": "web", "paid": 3}, {"channel": None, "paid": 0.5}]
        more += [{"channel": 7, "paid": None}]
        events = [
            [
                {"item_id": f"i{n}", "timestamp": t, **columns}
                for (n, t), columns in zip([(4, 5000), (2, 100), (9, 7000)], more, strict=True)
            ],
            [],
            [{"item_id": "i8", "timestamp": 3, "channel": "app", "paid": 1, "unread": True}],
        ]
        served = clients["timed"].post("/recommend", json={"events": events, "k": 5})
        frame = pl.DataFrame(
            [
                (
                    f"new{row}",
                    e["item_id"],
                    e["timestamp"],
                    e["channel"] and str(e["channel"]),
                    e["paid"],
                )
                for row in (0, 2)
                for e in events[row]
            ],
            {"user_id": str, "item_id": str, "timestamp": int, "channel": str, "paid": float},
            orient="row",
            strict=False,
        )
        lists = recsys_lab.load(served_runs / "timed").recommend(frame, k=5)
        same([(row // 2, *rest) for row, *rest in flat(served)], lists, "user_id")
        assert served.json()["lists"][1]["items"] == []

    @pytest.mark.parametrize("name", RUNS)
    def test_lists_for_users_are_from_their_whole_histories(self, served_runs, clients, name):
        served = clients[name].post("/recommend", json={"users": ["u3", "stranger", "u11"]})
        log = pl.read_csv(served_runs / "log.csv").sort("user_id", "timestamp")
        frame = log.filter(pl.col("user_id").is_in(["u3", "u11"])).sort(
            pl.col("user_id").replace_strict({"u3": 0, "u11": 1}), maintain_order=True
        )
        lists = recsys_lab.load(served_runs / name).recommend(frame)
        known = [(row // 2, *rest) for row, *rest in flat(served) if row != 1]
        same(known, lists, "user_id")
        stranger = served.json()["lists"][1]
        if name in ("popularity", "ease"):  # they rank without a history
            assert len(stranger["items"]) == 10
        else:
            assert stranger["reason"] == "the model's dataset has no such user"

    def test_a_list_does_not_depend_on_the_others_in_its_batch(self, clients):
        client = clients["sasrec"]
        rng = np.random.default_rng(0)
        histories = [[f"i{n}" for n in rng.choice(25, 5)] for _ in range(20)]
        together = flat(client.post("/recommend", json={"histories": histories, "k": 20}))
        alone = []
        for row, history in enumerate(histories):
            one = flat(client.post("/recommend", json={"histories": [history], "k": 20}))
            alone += [(row, *rest) for _, *rest in one]
        assert [x[:2] for x in alone] == [x[:2] for x in together]

    def test_titles_are_given_where_the_dataset_has_them(self, clients):
        [one] = (
            clients["sasrec"]
            .post("/recommend", json={"histories": [["i1"]], "k": 25})
            .json()["lists"]
        )
        assert len(one["items"]) == 24  # all but the seen one
        for item in one["items"]:
            number = int(item["item_id"][1:])
            assert item["title"] == (None if number % 5 == 0 else f"Item {number}")
        [seen] = (
            clients["popularity"]
            .post("/recommend", json={"histories": [[f"i{n}" for n in range(25)]]})
            .json()["lists"]
        )
        assert (seen["items"], seen["reason"]) == ([], "no item is left to recommend")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (
                {"histories": [["i1"]]},
                "histories: HSTU reads channel, paid, timestamp of every event; send events",
            ),
            (
                {"events": [[{"item_id": "i1", "channel": None}]]},
                "events[0][0]: lacks paid, timestamp, which HSTU reads",
            ),
            (
                {"events": [[{"item_id": 1, "timestamp": 1, "channel": 1, "paid": "3"}]]},
                "events[0][0].paid: expected a number or null",
            ),
        ],
    )
    def test_a_model_that_reads_times_says_what_it_needs(self, clients, body, words):
        answer = clients["timed"].post("/recommend", json=body)
        assert answer.status_code == 422
        assert words in answer.json()["error"]

    def test_version_names_the_model_and_its_data(self, served_runs, clients):
        about = clients["sasrec"].get("/version").json()
        record = recsys_lab.load(served_runs / "sasrec").record
        digest = record["files"]["checkpoints/best.safetensors"]["sha256"]
        assert about["model_version"] == f"SASRec-{digest[:12]}"
        assert about["data_fingerprint"] == record["data"]["fingerprint"]
        assert (about["run"], about["num_items"]) == ("sasrec", 25)
        version = 'recsys_model_info{version="' + about["model_version"] + '"} 1.0'
        assert version in clients["sasrec"].get("/metrics").text


class TestHostile:
    def test_no_bytes_make_it_fail(self, clients):
        rng = np.random.default_rng(1)
        bodies = [
            b'{"histories": [["i1", 2]], "k": 3}', b'{"users": ["u1"]}', b'{"users": [[1]]}',
            json.dumps({"events": [[{"item_id": "i1", "timestamp": 1, "x": {"y": [1]}}]]}).encode(),
        ]  # fmt: skip
        client = clients["sasrec"]
        statuses = set()
        for number in range(150):
            body = bytearray(bodies[number % len(bodies)])
            for _ in range(rng.integers(1, 4)):
                body[rng.integers(len(body))] = rng.integers(256)
            statuses.add(client.post("/recommend", content=bytes(body)).status_code)
        assert statuses <= {200, 400, 422}
        assert len(statuses) > 1

    def test_broken_http_is_refused_and_the_next_client_served(self, clients):
        port = clients["sasrec"].server.port
        for sent in (b"\x16\x03\x01\x02\x00", b"GET /\r\n\r\n", b"POST /recommend HTTP/1.1\r\n"
                     b"Content-Length: 10\r\nHost: x\r\n\r\n{"):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(sent)
        assert clients["sasrec"].get("/health").status_code == 200


class TestLife:
    def test_the_champion_is_followed(self, served_runs, tmp_path):
        write_champion(tmp_path, 1, str(served_runs / "sasrec"))
        with serving(tmp_path, poll_s=0.01) as client:
            body = {"histories": [["i1"]]}
            assert client.post("/recommend", json=body).json()["model_version"] == "1"
            write_champion(tmp_path, 2, str(tmp_path / "absent"))
            until(lambda: "failed_champion" in client.get("/ready").json())
            assert "recsys_champion_failing 1.0" in client.get("/metrics").text
            assert client.post("/recommend", json=body).json()["model_version"] == "1"
            write_champion(tmp_path, 3, str(served_runs / "popularity"))
            until(lambda: client.get("/ready").json() == {"ready": True, "model_version": "3"})
            about = client.get("/version").json()
            assert (about["champion"], about["model"]) == (3, "Popularity")
            assert "recsys_champion_failing 0.0" in client.get("/metrics").text

    def test_requests_in_flight_are_finished_at_the_end(self, served_runs):
        with serving(served_runs / "popularity", max_wait_ms=300) as client:
            answers = []
            asked = threading.Thread(
                target=lambda: answers.append(client.post("/recommend", json={"users": ["u1"]}))
            )
            asked.start()
            until(lambda: client.server.batcher.waiting)
            client.server.stop()
            asked.join()
            assert answers[0].status_code == 200
            assert len(answers[0].json()["lists"][0]["items"]) == 10

    def test_sigterm_is_the_normal_end(self):
        import uvicorn

        server = _Uvicorn(uvicorn.Config(lambda: None))
        before = signal.getsignal(signal.SIGTERM)
        with server.capture_signals():
            signal.raise_signal(signal.SIGTERM)
        assert server.should_exit
        assert signal.getsignal(signal.SIGTERM) is before

    def test_there_is_one_process(self):
        # Metrics of several would be partial; a balancer has several servers instead.
        assert not {"workers", "processes"} & set(ServeConfig.__dataclass_fields__)
