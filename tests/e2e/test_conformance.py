"""The fleet of fake servers answers as a real tritonserver does: the same questions to both.

What was recorded of the real one is compared name by name in ``tests/fleet/test_exposition.py``;
here both run, and nothing is remembered. Compared is what a client can rely on: status, kind of
content, keys and types, series with their labels; and that the same requests count the same.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from conch.api import names
from conch.triton import configuration, metrics, statistics
from tests.e2e.bed import Bed
from tests.e2e.room import START_S, Room, fake, spec

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

_TENSOR = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}
_INFER = json.dumps({"inputs": [_TENSOR]})
_REQUESTS = 3
# Method, port, path, body. The last ones are what a client may get wrong.
QUESTIONS: tuple[tuple[str, int, str, str], ...] = (
    ("GET", 8000, "/v2/health/live", ""),
    ("GET", 8000, "/v2/health/ready", ""),
    ("GET", 8000, "/v2/models/m/ready", ""),
    ("GET", 8000, "/v2/models/m/stats", ""),
    ("GET", 8000, "/v2/models/stats", ""),
    ("GET", 8000, "/v2/models/m/config", ""),
    ("POST", 8000, "/v2/repository/index", ""),
    ("POST", 8000, "/v2/models/m/infer", _INFER),
    ("GET", 8002, "/metrics", ""),
    ("GET", 8000, "/v2/models/other/ready", ""),
    ("GET", 8000, "/v2/models/other/stats", ""),
    ("GET", 8000, "/v2/models/other/config", ""),
    ("POST", 8000, "/v2/models/other/infer", _INFER),
    ("POST", 8000, "/v2/models/m/infer", "{"),
    ("POST", 8000, "/v2/models/m/infer", "{}"),
    ("GET", 8000, "/v2/elsewhere", ""),
    ("GET", 8002, "/elsewhere", ""),
)
_SERIES = re.compile(r"^(\w+(?:\{.*\})?) \S+$")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    kind: str
    body: bytes

    @property
    def shape(self) -> object:
        """What of the body does not depend on the moment."""
        text = self.body.decode()
        if text.startswith(("{", "[")):  # errors are JSON also where they are called text
            return _shape(json.loads(text))
        found = (_SERIES.match(line) for line in text.splitlines())
        return {match[1] for match in found if match is not None}


def _shape(value: Any) -> object:
    """Keys and types; of a list, those of its first item."""
    if isinstance(value, dict):  # parameters are the model's own
        return {key: _shape(inner) for key, inner in value.items() if key != "parameters"}
    if isinstance(value, list):
        return [_shape(item) for item in value[:1]]
    return type(value).__name__


async def _ask(room: Room, address: str, question: tuple[str, int, str, str]) -> Answer:
    """From inside the cluster's network, as the operator asks."""
    method, port, path, body = question
    command = ["curl", "-sS", "--max-time", "10", "-X", method, f"http://{address}:{port}{path}"]
    command += ["-H", "Content-Type:", "-w", "\n%{http_code} %{content_type}", "--output", "-"]
    if body:
        command += ["--data-binary", body]
    done = await asyncio.to_thread(room.cluster.run, command, capture_output=True)
    assert done.returncode == 0, done.stderr
    content, _, told = done.stdout.rpartition(b"\n")
    status, _, kind = told.decode().partition(" ")
    return Answer(int(status), kind, content)


async def _counted(room: Room, address: str) -> tuple[float, float, dict[int, int]]:
    """Requests, executions and executions by batch size, as the operator reads them."""
    told = (await _ask(room, address, ("GET", 8002, "/metrics", ""))).body.decode()
    found = metrics.parse(told, ["m"], 99)["m"]
    stats = (await _ask(room, address, ("GET", 8000, "/v2/models/stats", ""))).body
    batches = statistics.parse(stats, ["m"])["m"]
    return found.success, found.executions, {size: b.count for size, b in batches.items()}


def test_the_fleet_answers_as_a_real_server(bed: Bed, fleet: None) -> None:
    room = bed.room("conformance")
    bed.run(room.enter())
    try:
        bed.run(_compare(room))
    finally:
        bed.run(room.leave())


async def _compare(room: Room) -> None:
    await room.create("real", spec())
    await room.create("fake", fake())
    addresses = {}
    for name in ("real", "fake"):
        await room.ready(name, within_s=START_S)
    for pod in await room.pods():
        addresses[pod["metadata"]["labels"][names.LABEL_INSTANCE]] = pod["status"]["podIP"]
    real, other = addresses["real"], addresses["fake"]

    # The same load first: idle servers leave out what busy ones tell.
    before = [await _counted(room, address) for address in (real, other)]
    for _ in range(_REQUESTS):
        for address in (real, other):
            answer = await _ask(room, address, ("POST", 8000, "/v2/models/m/infer", _INFER))
            assert json.loads(answer.body)["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]
    for address, (requests, executions, batches) in zip((real, other), before, strict=True):
        assert await _counted(room, address) == (
            requests + _REQUESTS,
            executions + _REQUESTS,
            {1: batches.get(1, 0) + _REQUESTS},
        )

    differences = []
    for question in QUESTIONS:
        wanted, found = [await _ask(room, address, question) for address in (real, other)]
        if (wanted.status, wanted.kind, wanted.shape) != (found.status, found.kind, found.shape):
            differences.append(f"{question}:\n  real {wanted}\n  fake {found}")
    assert not differences, "\n".join(differences)

    configs = [
        configuration.parse((await _ask(room, a, ("GET", 8000, "/v2/models/m/config", ""))).body)
        for a in (real, other)
    ]
    assert configs[0].max_batch == configs[1].max_batch
