"""``make demo``: everything from nothing to a verdict; ``make demo-down`` takes it away."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from e2e.demo.access import REPOSITORY, Access, Context, Embedded
from e2e.demo.served import Served
from e2e.demo.show import Row, Table, Verdict
from e2e.testbed import Cluster, ClusterSpec, Progress, TestbedError, images, machine, toolchain
from e2e.testbed.clients import clients
from e2e.testbed.progress import long_step

NAMESPACE = "conch-system"
SPEC = ClusterSpec(name="demo", gpus=6)
# One replica of the example carries about 35 requests a second within its target.
PHASES = "15x20,105x120,8x75"
READY_TIMEOUT_S = 300.0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Bring up a cluster, install Conch, serve a model, drive a load, judge.",
        epilog="CONTEXT=name uses that kubectl context instead of the embedded cluster; VALUES "
        "then names the chart's values (images that cluster can pull), SERVICE a manifest (a model "
        "that cluster can fetch).",
    )
    parser.add_argument("action", nargs="?", choices=("up", "down"), default="up")
    parser.add_argument("--context", default=os.environ.get("CONTEXT") or None)
    parser.add_argument("--values", type=Path, default=os.environ.get("VALUES") or None)
    parser.add_argument(
        "--service", type=Path, default=os.environ.get("SERVICE") or "examples/simple.yaml"
    )
    parser.add_argument("--phases", default=PHASES, help="the load, RATExSECONDS[,…]")
    parser.add_argument("--no-load", action="store_true", help="stop after the first answer")
    args = parser.parse_args()
    progress = Progress()
    try:
        if args.action == "down":
            return down(args, progress)
        return up(args, progress)
    except TestbedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


def up(args: argparse.Namespace, progress: Progress) -> int:
    """The demo's steps, in order. What this run made is taken away when it is interrupted."""
    args.manifest = read(args.service)  # first: what is misspelt is told before minutes of work
    if args.context:
        access: Access = Context(args.context, progress)
        return show(access, args, progress, values=args.values)
    machine.check()
    cluster = Cluster(SPEC, progress)
    fresh = not cluster.is_up()
    try:
        archives = build(progress)
        cluster.up()
        stamp = load_images(cluster, archives, progress)
        return show(Embedded(cluster), args, progress, stamp=stamp)
    except (KeyboardInterrupt, TestbedError):
        if fresh:
            progress("taking the cluster away again")
            cluster.down()
        raise


def read(manifest: Path) -> str:
    """What the file holds."""
    try:
        return Path(manifest).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TestbedError(f"SERVICE={manifest} can't be read: {error}") from error


def build(progress: Progress) -> list[Path]:
    """Everything that is built once, side by side: the Go build takes longest and uses all cores,
    the rest mostly waits for downloads."""
    with ThreadPoolExecutor(max_workers=2) as beside:
        environment = beside.submit(set_up, progress)
        archives = beside.submit(images.ensure, ["triton", "operator"], progress)
        try:
            toolchain.ensure(progress)
            clients(progress)
            with long_step(progress, "waiting for the Python environment and the images"):
                environment.result()
                return archives.result()
        except KeyboardInterrupt:
            progress("interrupted: what is being built ends first, nothing is left half made")
            beside.shutdown(wait=False, cancel_futures=True)
            raise


def set_up(progress: Progress) -> None:
    """The Python environment that the load and `conch why` run in."""
    if not (REPOSITORY / ".venv/.installed").exists():
        progress("installing the Python environment (.venv)")
    done = subprocess.run(
        ["make", "--no-print-directory", "setup", f"PYTHON={sys.executable}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise TestbedError(f"make setup failed: {(done.stderr or done.stdout).strip()[-600:]}")


def load_images(cluster: Cluster, archives: list[Path], progress: Progress) -> str:
    """Import what the node does not have yet; returns the operator archive's name."""
    record = cluster.place.spec.parent / "demo-images.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    boot = str(cluster.place.spec.stat().st_mtime_ns)
    have = set(known.get("names", [])) if known.get("boot") == boot else set()
    for archive in archives:
        if archive.parent.name not in have:
            progress(f"importing {archive.parent.name}")
            cluster.import_image(archive)
    record.write_text(json.dumps({"boot": boot, "names": [a.parent.name for a in archives]}))
    return archives[1].parent.name


def show(
    access: Access,
    args: argparse.Namespace,
    progress: Progress,
    *,
    values: Path | None = None,
    stamp: str = "",
) -> int:
    """Install, serve, load, judge."""
    progress("installing the chart")
    install(access, values, stamp)
    if not args.no_load:
        for left in Served.of(access, args.manifest):
            left.delete()
    progress(f"kubectl apply -f {args.service}")
    applied_s = time.time()
    access.kubectl("apply", "-f", "-", stdin=args.manifest)
    served = next(iter(Served.of(access, args.manifest)), None)
    if served is None:
        raise TestbedError(f"{args.service} holds no InferenceService")
    spec = served.read()["spec"]
    verdict = Verdict(target_ms(spec["objectives"]["latency"]["target"]))
    model = spec["models"][0]["name"]
    url = served.wait_for_address()
    verdict.first_answer_s = first_answer(served, url, model, progress) - applied_s
    progress(f"first answer {verdict.first_answer_s:.1f} s after kubectl apply")
    print("\nLook around, also while the load runs, from a second terminal:")
    print("\n".join(f"  {line}" for line in access.hint(served.name, args.service)), flush=True)
    if args.no_load:
        return 0
    print()
    wait_ready(served, progress)
    drive(served, url, model, args.phases, verdict, progress)
    print("\n".join(verdict.lines()))
    return 0


def install(access: Access, values: Path | None, stamp: str) -> None:
    """Install or upgrade the chart; the embedded cluster gets the images built here."""
    argv = ["upgrade", "--install", "conch", str(REPOSITORY / "charts/conch")]
    argv += ["-n", NAMESPACE, "--create-namespace", "--wait", "--timeout", "180s"]
    if values is not None:
        argv += ["-f", str(values)]
    elif stamp:
        repository, _, tag = images.TAGS["operator"].rpartition(":")
        settings = {
            "image.repository": repository,
            "image.tag": tag,
            "image.pullPolicy": "IfNotPresent",
            "runtime.image": images.TAGS["triton"],
            "runtime.release": "24.10",
            "runtime.backendDirectory": "/opt/tritonserver/backends",
            # The tag stays the same when the image is built anew: the pods must not.
            "podAnnotations.conch\\.dev/image": stamp,
            "resources.requests.cpu": "50m",
        }
        for key, value in settings.items():
            argv += ["--set-string" if "." not in value else "--set", f"{key}={value}"]
    access.helm(*argv)


def first_answer(served: Served, url: str, model: str, progress: Progress) -> float:
    """When the first inference was answered; shows the condition while it waits."""
    process = served.access.load("e2e.load.first", "--http", url, "--model", model)
    shown = ""
    while process.poll() is None:
        status = served.describe()
        if status != shown:
            progress(f"  {status}")
            shown = status
        time.sleep(0.5)
    output = process.communicate()[0]
    if process.returncode != 0:
        raise TestbedError(f"the model never answered; {served.describe()}")
    return float(output.split()[-1])


def wait_ready(served: Served, progress: Progress) -> None:
    """Wait until the InferenceService says Ready."""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not (status := served.describe()).startswith("True"):
        if time.monotonic() > deadline_s:
            raise TestbedError(f"not Ready within {READY_TIMEOUT_S:.0f} s: {status}")
        time.sleep(0.5)
    progress(f"  {status}")


def drive(
    served: Served, url: str, model: str, phases: str, verdict: Verdict, progress: Progress
) -> None:
    """Send the load and show what happens, a line every two seconds."""
    progress(f"load: {phases.replace('x', ' req/s for ').replace(',', ' s, then ')} s")
    table = Table(verdict.target_ms, width=shutil.get_terminal_size((110, 24)).columns)
    table.header()
    process = served.access.load(
        "e2e.load", "--http", url, "--model", model, "--phases", phases,
        "--target-ms", str(verdict.target_ms), "--every", "2",
    )  # fmt: skip
    if process.stdout is None:
        raise TestbedError("the load has no output")
    try:
        for line in process.stdout:
            told = json.loads(line)
            if "summary" in told:
                verdict.summary = told["summary"]
                verdict.phases = told["phases"]
                verdict.errors = told["errors"]
                break
            row = look(served, told)
            verdict.add(row, told["within"], told["answered"] + told["failed"])
            table.row(row)
    finally:
        end(process)
    if not verdict.summary:
        raise TestbedError("the load ended without a summary")


def look(served: Served, told: dict[str, Any]) -> Row:
    """The service as it is now, beside what the load saw in the last interval."""
    status = served.read().get("status", {})
    decision = status.get("decision", {})
    reason = decision.get("reason", "-")
    numbers = ", ".join(
        f"{name} {decision[key]}"
        for key, name in (("demand", "demand"), ("bound", "bound"), ("capacityPerReplica", "each"))
        if key in decision
    )
    return Row(
        at_s=told["at_s"],
        rate_per_s=told["rate"],
        wanted=status.get("desiredReplicas", 0),
        ready=status.get("readyReplicas", 0),
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        decision=f"{reason} ({numbers})" if numbers else reason,
    )


def end(process: subprocess.Popen[str]) -> None:
    """End a child, kindly first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def target_ms(text: str) -> float:
    """Milliseconds of the target in the spec."""
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * units[unit]


def down(args: argparse.Namespace, progress: Progress) -> int:
    """Take the demo away: the embedded cluster, or what the demo put into another one."""
    if not args.context:
        progress("taking the demo's cluster away")
        Cluster(SPEC, progress).down()
        progress("the demo's cluster is gone; built things stay in the cache")
        return 0
    access = Context(args.context, progress)
    for served in Served.of(access, read(args.service)):
        served.delete()
    access.kubectl("delete", "pod,configmap", "-l", "app.kubernetes.io/part-of=conch-demo")
    access.helm("uninstall", "conch", "-n", NAMESPACE, "--ignore-not-found", "--wait")
    progress(f"the demo is gone from {args.context}; Conch's CRDs stay")
    return 0


if __name__ == "__main__":
    sys.exit(main())
