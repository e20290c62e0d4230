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


Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; default: as kubectl.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="Namespace; default: the context's.")
]
Format = Annotated[Output, typer.Option("-o", "--output", help="For people, or for programs.")]
