"""What the puller is asked to do, and the command line that carries it.

The one contract between ``render`` (writes the arguments of the init container) and ``fetch``
(reads them). Pure: reads no file, opens no connection. A credential never passes through here,
only the directory it is mounted in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conch.errors import UsageError

MAX_FILES = 100_000
TIMEOUT_S = 3600.0
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model to stage.

    ``config`` is ``spec.models[].config`` as the API has it. ``secret_dir`` holds one file per
    credential field. ``source_dir`` is where a pvc claim is mounted, or where the init container of
    the runtime's image left a baked model. ``reject_after_us``: how long a request may wait in
    Triton's queue before it is rejected; 0 leaves the model's own queue policy alone.
    ``stream_buckets``: whether the server takes buckets for a stream's time to its first response.
    """

    name: str
    uri: str
    digest: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    secret_dir: str = ""
    source_dir: str = ""
    reject_after_us: int = 0
    stream_buckets: bool = False

    def to_json(self) -> str:
        """One stable line; empty fields are left out."""
        values = {
            "name": self.name,
            "uri": self.uri,
            "digest": self.digest,
            "config": dict(self.config),
            "secretDir": self.secret_dir,
            "sourceDir": self.source_dir,
            "rejectAfterUs": self.reject_after_us,
            "streamBuckets": self.stream_buckets,
        }
        kept = {key: value for key, value in values.items() if value}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelRequest:
        """Raises UsageError when ``text`` is not what :meth:`to_json` writes."""
        try:
            values = json.loads(text)
            return cls(
                name=str(values["name"]),
                uri=str(values["uri"]),
                digest=str(values.get("digest", "")),
                config=dict(values.get("config", {})),
                secret_dir=str(values.get("secretDir", "")),
                source_dir=str(values.get("sourceDir", "")),
                reject_after_us=int(values.get("rejectAfterUs", 0)),
                stream_buckets=bool(values.get("streamBuckets", False)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--model takes a JSON object with name and uri: {type(error).__name__}"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """Everything one run of the puller needs.

    ``max_bytes`` and ``max_files`` bound each model, as downloaded and as unpacked. An empty
    ``allowed_sources`` allows nothing.
    """

    models: tuple[ModelRequest, ...]
    allowed_sources: tuple[str, ...]
    max_bytes: int
    repository: str = "/models"
    allow_private_hosts: bool = False
    max_files: int = MAX_FILES
    timeout_s: float = TIMEOUT_S
    termination_log: str = TERMINATION_LOG

    def arguments(self) -> list[str]:
        """The arguments of ``conch fetch``: what differs from the defaults."""
        options = [f"--max-bytes={self.max_bytes}"]
        options += [f"--allowed-source={prefix}" for prefix in self.allowed_sources]
        if self.repository != "/models":
            options.append(f"--repository={self.repository}")
        if self.allow_private_hosts:
            options.append("--allow-private-hosts")
        if self.max_files != MAX_FILES:
            options.append(f"--max-files={self.max_files}")
        if self.timeout_s != TIMEOUT_S:
            options.append(f"--timeout-s={self.timeout_s}")
        if self.termination_log != TERMINATION_LOG:
            options.append(f"--termination-log={self.termination_log}")
        return options + [f"--model={model.to_json()}" for model in self.models]


def parse(arguments: Sequence[str]) -> FetchRequest:
    """Read what :meth:`FetchRequest.arguments` writes; raises UsageError, exits on ``--help``."""
    import argparse  # only the puller parses; the operator only writes

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise UsageError(f"conch fetch: {message}")

    parser = Parser(
        prog="conch fetch",
        description="Stage models into a Triton model repository (runs in an init container).",
    )
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="JSON",
        help="a model, its source and where its Secret is mounted (repeat)",
    )
    parser.add_argument("--repository", default="/models", metavar="DIR", help="where they are put")
    parser.add_argument(
        "--allowed-source",
        action="append",
        default=[],
        metavar="PREFIX",
        help="what URIs may start with (repeat)",
    )
    parser.add_argument(
        "--allow-private-hosts", action="store_true", help="private and loopback addresses too"
    )
    parser.add_argument(
        "--max-bytes", type=int, required=True, metavar="N", help="the most one model may have"
    )
    parser.add_argument(
        "--max-files", type=int, default=MAX_FILES, metavar="N", help="the most one model may have"
    )
    parser.add_argument(
        "--timeout-s",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="for all models together",
    )
    parser.add_argument(
        "--termination-log",
        default=TERMINATION_LOG,
        metavar="FILE",
        help="where the kubelet reads how it ended",
    )
    given = parser.parse_args(list(arguments))
    return FetchRequest(
        models=tuple(ModelRequest.from_json(text) for text in given.model),
        allowed_sources=tuple(given.allowed_source),
        max_bytes=given.max_bytes,
        repository=given.repository,
        allow_private_hosts=given.allow_private_hosts,
        max_files=given.max_files,
        timeout_s=given.timeout_s,
        termination_log=given.termination_log,
    )
