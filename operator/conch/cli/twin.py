"""What `conch simulate` and `conch trace` take; what they do lies in modules of those names.

Those are imported when a command runs: they need what takes a second to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conch.cli.options import (
    OPERATOR_NAMESPACE,
    Context,
    Kubeconfig,
    Namespace,
    OperatorNamespace,
    Service,
)


def simulate(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE", help="File with the InferenceService; with --from-cluster its name."
        ),
    ],
    trace: Annotated[
        Path, typer.Option("--trace", metavar="FILE", help="What arrives: docs/simulate.md.")
    ],
    cold_start: Annotated[
        str | None,
        typer.Option(
            "--cold-start",
            metavar="TIME",
            help="From asking for a replica until it serves: 40s, or 35s,40s,150s as measured.",
        ),
    ] = None,
    service_time: Annotated[
        str | None,
        typer.Option(
            "--service-time",
            metavar="TIMES",
            help='Time of a batch of b: "40ms+20ms*b", 250ms, or a list.',
        ),
    ] = None,
    max_batch: Annotated[
        int | None,
        typer.Option("--max-batch", metavar="N", help="Largest batch; default: the service's."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which model, when the service has several."),
    ] = None,
    from_cluster: Annotated[
        bool,
        typer.Option(
            "--from-cluster", help="Ask the running service for batch times and cold start."
        ),
    ] = False,
    compare: Annotated[
        str,
        typer.Option(
            "--compare",
            metavar="RULES",
            help="Beside Conch: keda,hpa@0.6,static+reject,oracle…, all or none.",
        ),
    ] = "keda,hpa,static",
    scale: Annotated[
        float, typer.Option("--scale", metavar="N", help="This many times the trace.")
    ] = 1.0,
    routing: Annotated[
        str,
        typer.Option(
            "--routing", metavar="HOW", help="least (busy replica), random, or connections."
        ),
    ] = "least",
    noise: Annotated[
        float,
        typer.Option("--noise", metavar="N", help="Relative scatter of one execution's time."),
    ] = 0.05,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="PRICE", help='A replica for an hour, e.g. "0.80 EUR".'),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Another seed, other chances.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write a report: one HTML file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Play a trace against a service: how many requests late, at what cost, under which scaler.

    Nothing in any cluster changes.
    """
    from conch.cli.simulate import Options, run

    run(
        Options(
            service=service,
            trace=trace,
            cold_start=cold_start,
            service_time=service_time,
            max_batch=max_batch,
            model=model,
            from_cluster=from_cluster,
            compare="" if compare == "none" else compare,
            scale=scale,
            routing=routing,
            noise=noise,
            price=price,
            seed=seed,
            output=output,
            json=as_json,
            namespace=namespace,
            kubeconfig=kubeconfig,
            context=context,
        )
    )


def trace(
    name: Service,
    namespace: Namespace = None,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", help="The last so many, at most 60.")
    ] = 60.0,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which model, when the service has several."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="File to write; default: print it."),
    ] = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Write what arrived at a service, in requests a second, for `conch simulate --trace`."""
    from conch.cli.trace import run

    run(name, namespace, minutes, model, output, operator_namespace, kubeconfig, context)
