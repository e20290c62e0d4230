"""Log lines: one JSON object per event, and no false alarms."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from conch.errors import SettingsError
from conch.telemetry import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kopf", "kubernetes", "aiohttp")}
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("conch.x").warning("two\nlines of %s", "größe")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"]) == ("warning", "conch.x")
    assert line["message"] == "two\nlines of größe"
    assert line["time"].endswith("Z")


def test_an_error_comes_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        logging.getLogger("conch.x").exception("failed")
    [text] = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: why" in json.loads(text)["error"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "text")
    logging.getLogger("conch.x").info("hidden")
    logging.getLogger("conch.x").warning("seen")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING conch.x: seen")


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_what_cannot_be_is_said(level: str, form: str) -> None:
    with pytest.raises(SettingsError):
        logs.configure(level, form)


def test_kopf_is_heard_only_when_it_matters(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    kopf = logging.getLogger("kopf.x")
    kopf.info("one of many")
    kopf.error("Request attempt #1 failed; will retry")
    kopf.error("it is over")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("it is over")
