import json
from pathlib import Path
from typing import Any

from e2e.bench.arrivals import percentile, waits_s
from e2e.bench.audit import AuditLog, count, parse, spelled


def _line(verb: str, resource: str, name: str, code: int, at: str, **more: Any) -> str:
    subresource = more.pop("subresource", None)
    ref = {"resource": resource, "namespace": "ns", "name": name}
    return json.dumps(
        {
            "userAgent": "conch/0.1.0",
            "verb": verb,
            "objectRef": ref | ({"subresource": subresource} if subresource else {}),
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": f"2026-11-22T12:00:{at}Z",
            "stageTimestamp": f"2026-11-22T12:00:{float(at) + 0.25:09.6f}Z",
            **more,
        }
    )


def test_a_line_of_the_log_is_read() -> None:
    write = parse(_line("patch", "inferenceservices", "a", 200, "01.500000", subresource="status"))
    assert (write.resource, write.name, write.by_operator) == (
        "inferenceservices/status",
        "a",
        True,
    )
    assert write.answered_s - write.received_s == 0.25


def test_an_apply_that_creates_counts_as_a_create_and_a_binding_does_not() -> None:
    lines = [
        _line("patch", "deployments", "a", 201, "01.0"),
        _line("patch", "deployments", "a", 200, "02.0"),
        _line("create", "pods", "a-x", 201, "03.0", subresource="binding"),
    ]
    counted = count(map(parse, lines))
    assert counted == {"create deployments": 1, "create pods/binding": 1, "patch deployments": 1}
    assert spelled(counted) == "1 create deployments, 1 create pods/binding, 1 patch deployments"
    assert spelled({"create events": 250}, 100) == "2.5 create events"


def test_each_write_is_given_out_once_and_a_half_written_line_later(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(_line("create", "services", "before", 201, "00.0") + "\n")
    log = AuditLog(path)
    line = _line("create", "services", "a", 201, "01.0")
    with path.open("a") as file:
        file.write(line + "\n" + line[:20])
    assert [w.name for w in log.new()] == ["a"]
    with path.open("a") as file:
        file.write(line[20:] + "\n")
    assert [w.name for w in log.new()] == ["a"]
    assert list(log.new()) == []


def test_a_wait_lasts_from_the_request_to_the_answer_about_the_deployment() -> None:
    writes = [
        parse(_line("create", "inferenceservices", "a", 201, "01.0", userAgent="bench")),
        parse(_line("create", "inferenceservices", "b", 201, "01.0", userAgent="bench")),
        parse(_line("patch", "deployments", "a", 201, "02.0")),
        parse(_line("patch", "deployments", "b", 200, "02.0")),
    ]
    assert waits_s(writes) == {"a": 1.25}


def test_the_99th_percentile_of_200_is_the_198th() -> None:
    assert percentile(range(1, 201), 99) == 198
    assert percentile([7.0], 99) == 7.0
