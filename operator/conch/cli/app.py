"""The commands: what they take and which exit code they give. What they do lies in the modules.

Exit codes: 0 done; 1 not found, not reachable, out of date; 2 called wrongly. An error is one
sentence on standard error, never a traceback.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from conch import __version__
from conch.cli import fleet, twin
from conch.cli.options import (
    AllNamespaces,
    Context,
    Format,
    Kubeconfig,
    LogFormat,
    LogLevel,
    Namespace,
    Output,
    Service,
)
from conch.cli.report import report
from conch.errors import (
    ApiUnreachable,
    ConchError,
    Forbidden,
    SettingsError,
    Unauthorized,
    UsageError,
)

if TYPE_CHECKING:
    from conch.settings import Settings

T = TypeVar("T")

app = typer.Typer(
    name="conch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the same in a pipe and in a terminal
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Conch serves models on NVIDIA Triton to a latency objective.\n\n"
    "As a kubectl plugin it is called kubectl conch.",
    epilog="Also: conch fetch --help (the model puller that runs in every pod).",
)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def conch(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """What stands before a command."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Errors of ours become one sentence."""
    try:
        app(list(arguments), prog_name=_program())
    except SystemExit as end:  # typer ends this way, also when it was called wrongly
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        return _fail(str(error), 2)
    except Forbidden as error:
        return _fail(f"you may not do that: {error.message}", 1)
    except Unauthorized:
        return _fail("the cluster does not accept these credentials; log in again", 1)
    except ApiUnreachable as error:
        return _fail(f"the cluster cannot be reached: {error}", 1)
    except ConchError as error:
        return _fail(str(error), 1)
    return 0


def _program() -> str:
    return "kubectl conch" if Path(sys.argv[0]).name == "kubectl-conch" else "conch"


def _fail(message: str, code: int) -> int:
    print(f"{_program()}: {message.rstrip('.')}.", file=sys.stderr)
    return code


@app.command(
    short_help="List services: ready, replicas, latency, decision.",
    epilog="Examples: conch status; conch status -A; conch status resnet -o json",
)
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One service; default: all.")
    ] = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    output: Format = Output.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """One line per service: is it ready, how many replicas, how fast, and what was decided."""
    if name and all_namespaces:
        raise UsageError("a NAME lies in one namespace: leave out -A, or leave out NAME")
    from conch.cli import cluster, explain, screen
    from conch.cli.context import check, default_namespace
    from conch.kube.transport import Api

    check(kubeconfig, context)
    chosen = None if all_namespaces else namespace or default_namespace(kubeconfig, context)

    async def read() -> list[dict[str, Any]]:
        async with await Api.connect(kubeconfig, context) as api:
            if name:
                return [(await cluster.gather(api, str(chosen), name)).service]
            return await cluster.services(api, chosen)

    now = datetime.now(UTC)
    found = [explain.summarise(service, now) for service in _wait(read())]
    found.sort(key=lambda s: (s.namespace, s.name))
    if output is Output.JSON:
        _print_json([dataclasses.asdict(summary) for summary in found])
    elif found:
        screen.show(screen.status_table(found, namespaces=all_namespaces), unwrapped=True)
    else:
        where = "in any namespace" if all_namespaces else f"in namespace {chosen}"
        print(f"No InferenceServices {where}.", file=sys.stderr)


@app.command(
    short_help="Explain one service on one screen.",
    epilog="Examples: conch why resnet; conch why resnet -n vision -o json",
)
def why(
    name: Service,
    namespace: Namespace = None,
    output: Format = Output.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """One screen: what was decided, from which numbers, what holds it back and what to do."""
    from conch.cli import cluster, explain, place, screen
    from conch.cli.context import check, default_namespace
    from conch.kube.transport import Api

    check(kubeconfig, context)

    async def read() -> explain.Explanation:
        async with await Api.connect(kubeconfig, context) as api:
            chosen = namespace or default_namespace(kubeconfig, context)
            found = await cluster.gather(api, chosen, name)
            classes = await place.classes_now(api, chosen, name)
        return explain.explain(found, datetime.now(UTC), classes)

    explanation = _wait(read())
    if output is Output.JSON:
        _print_json(dataclasses.asdict(explanation))
    else:
        screen.show(screen.why(explanation, plain=screen.ascii_only()))


app.command(
    "capacity",
    short_help="The fleet at a glance: free, stranded, what fits, prices.",
    epilog="Examples: conch capacity; conch capacity -o json; conch capacity --save fleet.json",
)(fleet.capacity)
app.command(
    "place",
    short_help="Where a service would go, and what it would cost.",
    epilog="Examples: conch place -f a.yaml; conch place -f a.yaml --snapshot fleet.json",
)(fleet.place)
app.command(
    "simulate",
    short_help="Try scalers on a trace: late requests and cost.",
    epilog="Example: conch simulate service.yaml --trace trace.csv --cold-start 40s "
    '--service-time "40ms+20ms*b" --max-batch 8 --compare keda,hpa,oracle -o report.html',
)(twin.simulate)
app.command(
    "report",
    short_help="Cost, energy and carbon: a table, CSV or a page.",
    epilog="Examples: conch report; conch report -A --by team; conch report -A -o report.html",
)(report)
app.command(
    "trace",
    short_help="Write what arrived at a service, for simulate.",
    epilog="Example: conch trace resnet -n vision --minutes 30 -o resnet.csv",
)(twin.trace)


@app.command(
    short_help="Print a model directory's digest.",
    epilog="Example: conch digest ./resnet",
)
def digest(
    directory: Annotated[Path, typer.Argument(help="A model's directory.", metavar="DIR")],
) -> None:
    """Print the content digest of a model's directory, for spec.models[].source.digest."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory; for an archive use sha256sum")
    from conch.fetch.digest import tree

    print(tree(directory))


@app.command(
    short_help="Print or write the CRDs.",
    epilog="Examples: conch crds | kubectl apply --server-side -f -; conch crds -d crds",
)
def crds(
    directory: Annotated[
        Path | None,
        typer.Option("-d", "--directory", metavar="DIR", help="Write one file each into it."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when a file is out of date.")
    ] = False,
) -> None:
    """Print the CustomResourceDefinitions, or write them into a directory."""
    from conch.cli import crds as command

    raise typer.Exit(command.run(directory, check))


@app.command(
    "run",
    short_help="Run the operator.",
    epilog="Example, outside a cluster: conch run --kubeconfig ~/.kube/config --no-leader-election "
    "--log-format text",
)
def run_operator(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "-n", "--namespace", metavar="NAME", help="Namespace to serve (repeat); default: all."
        ),
    ] = None,
    leader_election: Annotated[
        bool | None,
        typer.Option("--leader-election/--no-leader-election", help="Elect a leader by a Lease."),
    ] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run the operator until it is told to stop.

    Every other setting is a CONCH_* variable: docs/reference/settings.md lists them.
    """
    from conch.cli.context import check

    check(kubeconfig, context)
    chosen = _settings(
        namespaces=tuple(namespace) if namespace else None,
        leader_election=leader_election,
        log_level=log_level,
        log_format=log_format,
    )
    from conch.wiring import runtime  # last: it takes a second, and a mistake should not

    raise typer.Exit(runtime.run(chosen, kubeconfig=kubeconfig, context=context))


@app.command(
    short_help="Run the activator.",
    epilog="The chart runs it, in two replicas beside the operator: docs/to-zero.md",
)
def activator(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Hold connections to services without a replica, until one is ready.

    Settings are CONCH_* variables: docs/reference/settings.md lists them.
    """
    from conch.cli.context import check

    check(kubeconfig, context)
    chosen = _settings(log_level=log_level, log_format=log_format)
    from conch.activator import run as process

    raise typer.Exit(process.run(chosen, kubeconfig=kubeconfig, context=context))


@app.command(
    short_help="For developers: write the generated files.",
    epilog="Example: conch generate --check",
)
def generate(
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Root of the repository.")
    ] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when a file is out of date.")
    ] = False,
) -> None:
    """For developers: write crds/ and docs/reference/ from the code."""
    from conch.cli import generate as command

    raise typer.Exit(command.run(root, check))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _settings(**given: Any) -> Settings:
    """From the environment; what is given on the command line, and is not None, wins."""
    from conch import settings

    try:
        return settings.from_environment(**given)
    except SettingsError as error:
        raise UsageError(str(error)) from error


def _wait(reading: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(reading)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))
