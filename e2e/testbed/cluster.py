"""One cluster as its users see it: up, down, and running things against it.

Look next at `bringup.py` for the steps of `up`, and at `namespaces.remove` for those of `down`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from e2e.testbed import bringup, cache, clients, layout, machine, namespaces, runtime, toolchain
from e2e.testbed.api import ApiClient
from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout
from e2e.testbed.programs import Programs
from e2e.testbed.progress import Progress
from e2e.testbed.spec import ClusterSpec


class Cluster:
    """A throwaway Kubernetes cluster. As a context manager it is up inside and gone after."""

    def __init__(self, spec: ClusterSpec | None = None, progress: Progress | None = None) -> None:
        self.spec = spec if spec is not None else ClusterSpec()
        self.progress = progress if progress is not None else Progress()
        self.place = Layout(self.spec.name)

    def up(self) -> None:
        """Bring the cluster up; one that is up already as asked is left alone.

        Leftovers of a killed run, and a cluster of another spec, are taken down first.
        """
        machine.check()
        with cache.locked(self.place.lock):
            if self.is_up():
                self.progress(f"cluster {self.spec.name} is up already")
                return
            self._remove()
            try:
                bringup.bring_up(self.spec, self.place, self.progress)
            except BaseException as error:
                if isinstance(error, Exception):  # not Ctrl-C
                    self._keep_logs()
                self._remove()
                raise
        self.progress(f"cluster {self.spec.name} is up: kubectl --kubeconfig {self.kubeconfig}")

    def down(self) -> None:
        """End the cluster and remove everything of it; nothing to do is no error."""
        machine.check()
        with cache.locked(self.place.lock):
            self._remove()

    def is_up(self) -> bool:
        """Whether the cluster of exactly this spec came up whole and its programs live."""
        try:
            recorded = json.loads(self.place.spec.read_text())
        except (OSError, ValueError):
            return False
        return (
            bool(recorded["spec"] == self.spec.to_json())
            and namespaces.find_holder(self.place) is not None
            and not dead_programs(self.place)
        )

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def kubeconfig(self) -> Path:
        """For programs on the host."""
        return self.place.kubeconfig

    @property
    def inner_kubeconfig(self) -> Path:
        """For programs inside the cluster's network namespace."""
        return self.place.inner_kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON object for every write the API server answered; needs `spec.audit`."""
        return self.place.audit_log

    def environment(self) -> dict[str, str]:
        """This process's environment, with KUBECONFIG for inside and kubectl and helm on PATH."""
        path = f"{clients.clients(self.progress)}:{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.inner_kubeconfig), "PATH": path}

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The same command, run inside the cluster's network namespace."""
        self._holder()
        return [*namespaces.enter_network(self.place), *map(str, argv)]

    def run(self, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """subprocess.run inside the cluster's network namespace; ends with the cluster."""
        options.setdefault("env", self.environment())
        return subprocess.run(self.command(argv), **options)

    def popen(self, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """subprocess.Popen inside the cluster's network namespace; its pid is the program's."""
        options.setdefault("env", self.environment())
        return subprocess.Popen(self.command(argv), **options)

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """kubectl's output. Raises TestbedError with what it said when it fails."""
        result = self.run(["kubectl", *argv], input=stdin, capture_output=True, text=True)
        if result.returncode != 0:
            raise TestbedError(f"kubectl {' '.join(argv)}: {result.stderr.strip()}")
        return str(result.stdout)

    def import_image(self, archive: Path) -> None:
        """Load an OCI or docker archive into the real node."""
        runtime.import_archive(self._holder(), toolchain.ensure(self.progress), archive)

    def add_kwok_nodes(self, count: int, first: int = 0) -> None:
        """Create `count` KWOK nodes numbered from `first`, and wait until they are Ready."""
        with self._api() as api:
            bringup.create_kwok_nodes(api, self._programs(), count, first)

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Meanwhile nothing passes between the real node's programs and the API server.

        Nobody is told: packets vanish. Pods, and what the node's rules know, go on.
        """
        table = f"table ip {layout.PREFIX}uplink"
        address = layout.UPLINK_ADDRESS
        rules = f"""{table} {{
            chain output {{
                type filter hook output priority filter; policy accept;
                ip daddr {address} drop
                ip saddr {address} drop
            }}
        }}"""
        self._nft(rules)
        try:
            yield
        finally:
            self._nft(f"delete {table}")

    def _nft(self, rules: str) -> None:
        result = self.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True)
        if result.returncode != 0:
            raise TestbedError(f"nft: {result.stderr.strip()}")

    def restart(self, program: str) -> None:
        """SIGKILL a program of the cluster and start it again; waits for the API server."""
        programs = self._programs()
        programs.restart(program)
        record = json.loads(self.place.spec.read_text())
        record["processes"] |= programs.identities()
        self.place.spec.write_text(json.dumps(record))
        with self._api() as api:
            programs.wait("the API server", api.ready)

    def _programs(self) -> Programs:
        return Programs(self.place, toolchain.ensure(self.progress), self._holder())

    @contextlib.contextmanager
    def _api(self) -> Iterator[ApiClient]:
        port = int(self.place.port.read_text())
        with contextlib.closing(ApiClient(self.place, port)) as api:
            yield api

    def _holder(self) -> int:
        holder = namespaces.find_holder(self.place)
        if holder is None:
            raise TestbedError(f"cluster {self.spec.name} is not up")
        return holder

    def _remove(self) -> None:
        left = namespaces.remove(self.place)
        if left:
            raise TestbedError(f"could not remove of cluster {self.spec.name}: {', '.join(left)}")

    def _keep_logs(self) -> None:
        """Its logs are the only witness of a failed start: the last one's stay."""
        if not self.place.logs.is_dir():
            return
        kept = layout.STATE / f"{self.spec.name}.failed-logs"
        with contextlib.suppress(OSError):
            kept.mkdir(parents=True, exist_ok=True)
            for log in self.place.logs.glob("*.log"):
                log.replace(kept / log.name)
            self.progress(f"logs of the failed start: {kept}")


def dead_programs(place: Layout) -> list[str]:
    """Names of recorded programs of the cluster that no longer run."""
    try:
        recorded = json.loads(place.spec.read_text())["processes"]
    except (OSError, ValueError):
        return []
    return [name for name, identity in recorded.items() if not machine.is_alive(identity)]
