"""One run of the puller: all models, a few at a time, and one sentence when it fails.

The first failure ends the run at once. It goes to the container's termination message as JSON
(reason, message, model), which is where the operator reads it, and to stderr. A run that staged
all leaves the models' sizes there (``report``). Exit codes: 0 all staged, 1 a model could not be,
2 called wrongly, 143 told to stop.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conch.api.conditions import Reason
from conch.errors import FetchError, UsageError
from conch.fetch import admission, report
from conch.fetch.limits import Limits, Stopped
from conch.fetch.request import FetchRequest, ModelRequest, parse
from conch.fetch.stage import Rules, clean, stage

PARALLEL = 4
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run failed; ``model`` is empty when it is about no single one."""

    reason: str
    message: str
    model: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line (default: the process's own), runs, returns the exit code."""
    try:
        request = parse(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    with _ends_on_sigterm():
        outcome = fetch(request)
    termination_log = Path(request.termination_log)
    if isinstance(outcome, Failure):
        _publish(outcome, termination_log)
        return 1
    _write(report.text(outcome), termination_log)
    return 0


def fetch(request: FetchRequest) -> Failure | list[report.Staged]:
    """Stages every model of ``request``; the first failure, or what was staged.

    Workers are daemon threads: a stalled connection must not hold up the report.
    """
    repository = Path(request.repository)
    waiting: queue.SimpleQueue[ModelRequest] = queue.SimpleQueue()
    for model in request.models:
        waiting.put(model)
    results: queue.SimpleQueue[Failure | report.Staged] = queue.SimpleQueue()
    stop = threading.Event()
    deadline_s = time.monotonic() + request.timeout_s

    def work() -> None:
        while not stop.is_set():
            try:
                model = waiting.get_nowait()
            except queue.Empty:
                return
            if (result := _staged(model, request, deadline_s, stop)) is not None:
                results.put(result)

    for number in range(min(PARALLEL, len(request.models))):
        threading.Thread(target=work, name=f"stage-{number}", daemon=True).start()
    staged: list[report.Staged] = []
    for _ in request.models:
        try:
            result = results.get(timeout=max(0.0, deadline_s + 1.0 - time.monotonic()))
        except queue.Empty:
            result = Failure(
                Reason.FETCH_FAILED.value,
                f"the models could not be fetched within {request.timeout_s:.0f} s",
            )
        if isinstance(result, Failure):
            stop.set()
            return result
        staged.append(result)
    clean(repository)
    return staged


def _staged(
    model: ModelRequest, request: FetchRequest, deadline_s: float, stop: threading.Event
) -> Failure | report.Staged | None:
    """Stages one model; whatever goes wrong becomes a failure that may be shown.

    None: it was told to stop, because another one failed.
    """
    subject = f"model {model.name} from {admission.shown(model.uri)}"

    def tell(progress: str) -> None:
        print(f"{subject}: {progress}", flush=True)

    limits = Limits(
        max_bytes=request.max_bytes,
        max_files=request.max_files,
        deadline_s=deadline_s,
        stop=stop,
        report=tell,
    )
    rules = Rules(request.allowed_sources, request.allow_private_hosts)
    started_s = time.monotonic()
    try:
        outcome = stage(model, Path(request.repository), rules, limits)
    except Stopped:
        return None
    except FetchError as error:
        return Failure(error.reason, f"{subject}: {error}", model.name)
    except Exception as error:
        # A bug of ours. Its text may quote what was sent, so only its type and place are shown.
        traceback.print_tb(error.__traceback__)
        problem = f"{subject}: the puller failed ({type(error).__name__}); see its log"
        return Failure(Reason.STEP_ERROR.value, problem, model.name)
    tell(f"{outcome.words}, {time.monotonic() - started_s:.1f} s")
    key = report.model_key(model.uri, model.digest, model.config)
    return report.Staged(key, outcome.loaded_bytes)


def _publish(failure: Failure, termination_log: Path) -> None:
    message = failure.message[:_LONGEST_MESSAGE]
    document = {"reason": failure.reason, "message": message, "model": failure.model}
    print(f"{failure.reason}: {message}", file=sys.stderr, flush=True)
    _write(json.dumps(document, ensure_ascii=False), termination_log)


def _write(message: str, termination_log: Path) -> None:
    # Outside a container there is none: stderr and the log have what matters.
    with suppress(OSError):
        termination_log.write_text(message, encoding="utf-8")


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """As process 1 of a container, a signal without a handler is ignored until the kill."""
    if threading.current_thread() is not threading.main_thread():
        yield  # embedded in something that has its own idea of signals
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
