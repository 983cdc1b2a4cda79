"""A stand-in for the W&B server: what ``wandb sync`` sends it, and nothing else."""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FILES = {"history": "wandb-history.jsonl", "summary": "wandb-summary.json"}
"""Names of the file stream."""


@dataclass
class Synced:
    """What the server holds of a run.

    Attributes:
        history: its rows by line, as a later row at the same line replaces an earlier one.
        summary: its last summary.
        config: its last config, with W&B's own part.
        posts: how many parts of a history came.
    """

    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    posts: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history in the order of its lines."""
        return [self.history[line] for line in sorted(self.history)]

    @property
    def lines(self) -> int:
        """How many lines a process that goes on finds."""
        return max(self.history, default=-1) + 1


@dataclass
class Stored:
    """A version of an artifact.

    Attributes:
        version: its number, from 0.
        metadata: JSON.
        aliases: that name it.
    """

    version: int
    metadata: str | None
    aliases: set[str] = field(default_factory=set)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, Synced] = {}
        self.artifacts: dict[str, dict[str, Stored]] = {}  # by name and hash of the content
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def wandb_server() -> Iterator[tuple[str, dict[str, Synced]]]:
    """Its address, and the runs by their id."""
    with running_server() as server:
        yield server.address, server.runs


@contextmanager
def running_server() -> Iterator[_Server]:
    """The server itself."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            self._answer({"data": self._graphql(json.loads(body))})
        elif self.path.endswith("/file_stream"):
            with self.server.lock:
                self._stream(self.path.split("/")[-2], json.loads(body))
            self._answer({"limits": {}})
        else:
            self._answer({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, run: str, sent: dict[str, Any]) -> None:
        held = self.server.runs.setdefault(run, Synced())
        for name, part in (sent.get("files") or {}).items():
            if name not in FILES.values():  # what the terminal showed
                continue
            rows = [json.loads(line) for line in part["content"]]
            if name == FILES["history"]:
                held.history |= dict(enumerate(rows, start=part["offset"]))
                held.posts += 1
            elif name == FILES["summary"]:
                held.summary = rows[-1]

    def _graphql(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = asked.get("variables") or {}
        operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        answer = _ANSWERS.get(operation[1] if operation else "")
        with self.server.lock:
            return {} if answer is None else answer(self.server, values)


def _viewer(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    del server, values
    user = {"id": "1", "entity": "me", "username": "me", "email": "me@here", "flags": "{}"}
    more = {"name": "Me", "admin": False, "deletedAt": None, "apiKeys": {"edges": []}}
    return {"viewer": {**user, **more, "teams": {"edges": []}}}


def _resume_status(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    held = server.runs.get(values["name"])
    project = {"id": "p", "name": "mine", "entity": {"id": "e", "name": "me"}}
    if held is None:
        return {"model": {**project, "bucket": None}}
    bucket = {
        "id": "b", "name": values["name"], "displayName": "a run", "tags": [],
        "summaryMetrics": json.dumps(held.summary), "config": json.dumps(held.config),
        "historyLineCount": held.lines, "logLineCount": 0, "eventsLineCount": 0,
        "historyTail": json.dumps([json.dumps(row) for row in held.rows[-1:]]),
        "eventsTail": "[]", "wandbConfig": '{"t": {}}',
    }  # fmt: skip
    return {"model": {**project, "bucket": bucket}}


def _upsert(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    is_new = values["name"] not in server.runs
    held = server.runs.setdefault(values["name"], Synced())
    if values.get("config"):
        held.config = json.loads(values["config"])
    project = {"id": "p", "name": "mine", "entity": {"id": "e", "name": "me"}}
    bucket = {
        "id": "b", "name": values["name"], "displayName": "a run", "description": None,
        "config": "{}", "sweepName": None, "project": project, "historyLineCount": held.lines,
    }  # fmt: skip
    return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}


def _files(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    places = [{"name": name, "uploadUrl": f"{server.address}/up/{name}"}
              for name in values.get("files", [])]  # fmt: skip
    return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": places}}


def _artifact(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    """As if its content were there already, so that nothing is uploaded."""
    sent = values["input"]
    name, aliases = sent["artifactCollectionName"], {one["alias"] for one in sent["aliases"]}
    versions = server.artifacts.setdefault(name, {})
    held = versions.setdefault(sent["digest"], Stored(len(versions), sent.get("metadata")))
    for other in versions.values():
        other.aliases -= aliases
    held.aliases |= aliases
    identifier = f"{name}:{sent['digest']}"
    latest = {"id": "s", "latestArtifact": {"id": identifier, "versionIndex": held.version}}
    made = {"id": identifier, "state": "COMMITTED", "artifactSequence": latest}
    return {"createArtifact": {"artifact": made}}


def _artifact_by_id(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    name, _, digest = values["id"].partition(":")
    held = server.artifacts[name][digest]
    project = {"id": "p", "internalId": "p", "name": "mine", "entity": {"name": "me"}}
    return {
        "artifact": {
            "id": values["id"], "artifactSequence": {"name": name, "project": project},
            "versionIndex": held.version, "artifactType": {"name": "model"}, "description": None,
            "metadata": held.metadata, "ttlDurationSeconds": 0, "ttlIsInherited": False, "tags": [],
            "state": "COMMITTED", "size": 1, "digest": digest, "commitHash": None, "fileCount": 1,
            "historyStep": None,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None, "aliases": [],
        }
    }  # fmt: skip


def _features(server: _Server, values: dict[str, Any]) -> dict[str, Any]:
    del server, values
    return {
        "serverInfo": {
            "features": [],
            "cliVersionInfo": {"max_cli_version": "99"},
            "latestLocalVersionInfo": None,
        }
    }


_ANSWERS = {
    "Viewer": _viewer,
    "GetViewer": _viewer,
    "RunResumeStatus": _resume_status,
    "UpsertBucket": _upsert,
    "CreateRunFiles": _files,
    "CreateArtifact": _artifact,
    "ArtifactByID": _artifact_by_id,
    "ArtifactType": lambda _, __: {"project": None},
    "ServerInfo": _features,
    "ServerFeaturesQuery": _features,
}
