"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How `status` and `why` print."""

    TABLE = "table"
    JSON = "json"


class _LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; default: as kubectl.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="Namespace; default: the context's.")
]
Format = Annotated[Output, typer.Option("-o", "--output", help="For people, or for programs.")]
LogLevel = Annotated[
    _LogLevel | None, typer.Option("--log-level", help="How much is logged; default: info.")
]
LogFormat = Annotated[
    _LogFormat | None, typer.Option("--log-format", help="How a line looks; default: json.")
]
