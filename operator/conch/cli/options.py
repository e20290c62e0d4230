"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from conch.settings import Settings


class Output(StrEnum):
    """How a command prints its answer."""

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
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig file; default: as kubectl."),
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")
]
Namespace = Annotated[
    str | None,
    typer.Option("-n", "--namespace", metavar="NAME", help="Namespace; default: the context's."),
]
AllNamespaces = Annotated[
    bool, typer.Option("-A", "--all-namespaces", help="The services of every namespace.")
]
OperatorNamespace = Annotated[
    str, typer.Option("--operator-namespace", metavar="NAME", help="Where Conch itself runs.")
]
OPERATOR_NAMESPACE: Final = Settings().operator_namespace  # where the chart puts it
Service = Annotated[str, typer.Argument(metavar="NAME", help="The InferenceService.")]
Format = Annotated[Output, typer.Option("-o", "--output", help="For people, or for programs.")]
LogLevel = Annotated[
    _LogLevel | None, typer.Option("--log-level", help="How much is logged; default: info.")
]
LogFormat = Annotated[
    _LogFormat | None, typer.Option("--log-format", help="How a line looks; default: json.")
]
