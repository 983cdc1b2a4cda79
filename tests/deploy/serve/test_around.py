"""Token, metrics, access log and description of the server."""

from __future__ import annotations

import logging
from asyncio import run

from tests.deploy.serve.fakes import Echo, InProcess


class TestAround:
    def test_a_token_is_needed_but_for_health_and_the_description(self, caplog):
        caplog.set_level(logging.DEBUG)

        async def main():
            server = InProcess(Echo(), token="s3cret-token")
            for path in ("/health", "/ready", "/docs", "/openapi.json"):
                assert (await server.client.get(path)).status_code == 200
            wrong = [
                "s3cret-token",
                "Bearer",
                "Bearer s3cret",
                "Bearer s3cret-tokenn",
                "Basic x",
                "",
            ]
            for given in [None, *wrong]:
                headers = {} if given is None else {"authorization": given}
                answer = await server.client.get("/version", headers=headers)
                assert (answer.status_code, answer.json()) == (
                    401, {"error": "a bearer token is needed"},
                )  # fmt: skip
                assert answer.headers["www-authenticate"] == "Bearer"
            unasked = await server.client.post("/recommend", content=b"not read")
            assert unasked.status_code == 401
            right = {"authorization": "bearer s3cret-token"}
            assert (await server.client.get("/version", headers=right)).status_code == 200
            assert "s3cret" not in caplog.text + server.metrics.text().decode()
            server.batcher.close()

        run(main())

    def test_paths_methods_and_versions_do_not_add_series(self):
        async def main():
            server = InProcess(Echo())
            await server.ask("a")
            for number in range(1000):
                answer = await server.client.get(f"/{number}.php?x={number}")
                assert answer.status_code == 404
            assert answer.json() == {"error": "there is no such path; /docs lists all"}
            assert (await server.client.get("/recommend")).status_code == 405
            for method in ("FOO", "BAR"):
                await server.client.request(method, "/health")
            assert server.counted("recsys_requests_total") == {
                'recsys_requests_total{method="POST",route="/recommend",status="200"}': 1,
                'recsys_requests_total{method="GET",route="unmatched",status="404"}': 1000,
                'recsys_requests_total{method="GET",route="/recommend",status="405"}': 1,
                'recsys_requests_total{method="other",route="/health",status="405"}': 2,
            }
            server.batcher.close()

        run(main())

    def test_head_is_get_without_the_body(self):
        async def main():
            server = InProcess(Echo())
            for path, status in (("/health", 200), ("/recommend", 405), ("/none", 404)):
                answer = await server.client.head(path)
                assert (answer.status_code, answer.content) == (status, b"")
            server.batcher.close()

        run(main())

    def test_the_log_has_no_ids_and_no_bodies(self, caplog):
        caplog.set_level(logging.DEBUG)

        async def main():
            server = InProcess(Echo())
            await server.ask("item-7", "poison")
            await server.ask("item-7")
            await server.client.post("/recommend", json={"users": ["ann"], "item-7": 1})
            await server.client.get("/item-7?user=ann")
            server.batcher.close()

        run(main())
        lines = [r.getMessage() for r in caplog.records if "recsys_lab" in r.name]
        assert [line.rsplit(" ", 2)[0] for line in lines if line.endswith("ms")] == [
            "/recommend 500", "/recommend 200", "/recommend 422", "unmatched 404",
        ]  # fmt: skip
        assert not any(word in line for line in lines for word in ("item-7", "ann", "u1"))

    def test_the_api_is_described_without_other_servers(self):
        async def main():
            server = InProcess(Echo())
            page = (await server.client.get("/docs")).text
            assert "POST /recommend" in page
            assert "<script" not in page
            assert "oldest first" in page
            described = (await server.client.get("/openapi.json")).json()
            assert set(described["paths"]) == {
                "/recommend", "/health", "/ready", "/version", "/metrics",
            }  # fmt: skip
            body = described["paths"]["/recommend"]["post"]["requestBody"]["content"]
            schema = body["application/json"]["schema"]
            assert {"histories", "events", "users", "k"} <= set(schema["properties"])
            server.batcher.close()

        run(main())
