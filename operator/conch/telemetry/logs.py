"""Logging: one line per event, JSON for machines or text for people."""

from __future__ import annotations

import json
import logging
import sys
import time

from conch.errors import SettingsError


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the error if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, fmt: str) -> None:
    """Send all logging to stderr in the chosen form."""
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"log level {level!r}: use debug, info, warning or error")
    if fmt not in ("json", "text"):
        raise SettingsError(f"log format {fmt!r}: use json or text")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if fmt == "json"
        else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    handler.addFilter(_retries_are_no_errors)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf logs every event of every object at debug and info; its warnings and errors matter.
    logging.getLogger("kopf").setLevel("DEBUG" if level.upper() == "DEBUG" else "WARNING")
    for noisy in ("kubernetes", "asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel("INFO")


def _retries_are_no_errors(record: logging.LogRecord) -> bool:
    """kopf calls a request it is about to repeat an error."""
    return not (record.name.startswith("kopf") and "will retry" in record.getMessage())
