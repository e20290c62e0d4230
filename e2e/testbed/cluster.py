"""One cluster: what `up` and `down` do, in which order, and how to run things against it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from e2e.testbed import (
    cache,
    clients,
    controlplane,
    kwok,
    layout,
    machine,
    namespaces,
    node,
    ociarchive,
    packages,
    pki,
    toolchain,
)
from e2e.testbed.api import ApiClient
from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout
from e2e.testbed.progress import Progress
from e2e.testbed.spec import ClusterSpec

READY_TIMEOUT_S = 120.0


class Cluster:
    """A throwaway Kubernetes cluster. As a context manager it is up inside and gone after."""

    def __init__(self, spec: ClusterSpec | None = None, progress: Progress | None = None) -> None:
        self.spec = spec if spec is not None else ClusterSpec()
        self.progress = progress if progress is not None else Progress()
        self.place = Layout(self.spec.name)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # What a caller works with.

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
        self._require_up()
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
        holder = self._require_up()
        self._import(holder, archive, toolchain.ensure(self.progress))

    def add_kwok_nodes(self, count: int, first: int = 0) -> None:
        """Create `count` KWOK nodes numbered from `first`, and wait until they are Ready."""
        with self._api() as api:
            self._create_kwok_nodes(api, count, first)

    # Up and down.

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
                self._up()
            except BaseException as error:
                if isinstance(error, Exception):  # not Ctrl-C
                    self._keep_logs()
                self._remove()
                raise

    def down(self) -> None:
        """End the cluster and remove everything of it; nothing to do is no error."""
        machine.check()
        with cache.locked(self.place.lock):
            self._remove()

    def is_up(self) -> bool:
        """Whether the cluster of exactly this spec came up whole and its processes live."""
        try:
            recorded = json.loads(self.place.spec.read_text())
        except (OSError, ValueError):
            return False
        return (
            bool(recorded["spec"] == self.spec.to_json())
            and namespaces.find_holder(self.place) is not None
            and not dead_processes(self.place)
        )

    def _remove(self) -> None:
        left = namespaces.remove(self.place)
        self._processes.clear()
        if left:
            raise TestbedError(f"could not remove of cluster {self.spec.name}: {', '.join(left)}")

    def _up(self) -> None:
        spec, place, say = self.spec, self.place, self.progress
        packages.ensure(real_node=spec.real_node, progress=say)
        with ThreadPoolExecutor(1) as pool:
            # Beside the Go build, which is what takes long; the build itself stays in this thread,
            # where Ctrl-C ends it.
            fetched = pool.submit(self._fetch)
            binaries = toolchain.ensure(say)
            archives = [*self._pause(binaries), *fetched.result()]

        say("namespaces and certificates")
        place.state.mkdir(parents=True)
        place.logs.mkdir()
        namespaces.make_network(place)
        holder = namespaces.start_holder(place, Path(binaries["pause"]))
        namespaces.make_private_places(place, holder)
        pki.make(binaries["pki"], place)
        controlplane.write_files(place, spec)

        say("starting the control plane")
        self._start(holder, binaries, "etcd", controlplane.etcd(place))
        self._start(holder, binaries, "kube-apiserver", controlplane.apiserver(place, spec))
        port = self._start_forwarder()
        with ThreadPoolExecutor(1) as pool:
            imported = pool.submit(self._start_containerd, holder, binaries, archives)
            with self._api() as api:
                self._wait("the API server", api.ready)
                say(f"API server ready (on this machine: 127.0.0.1:{port})")
                # Not before: the controller-manager exits when the API server does not answer.
                self._start(
                    holder,
                    binaries,
                    "kube-controller-manager",
                    controlplane.controller_manager(place, spec),
                )
                self._start(holder, binaries, "kube-scheduler", controlplane.scheduler(place))
                if spec.runs_kwok:
                    (place.state / "kwok.yaml").write_text(kwok.config())
                    self._start(holder, binaries, "kwok", kwok.arguments(place))
                if spec.real_node:
                    self._start_node(holder, binaries, api, imported)
                account = "/api/v1/namespaces/default/serviceaccounts/default"
                self._wait("the default ServiceAccount", lambda: api.get(account) is not None)
                if spec.kwok_nodes:
                    self._create_kwok_nodes(api, spec.kwok_nodes, 0)
                if spec.real_node:
                    self._finish_node(api)
        record = {"spec": spec.to_json(), "port": port, "processes": self._pids()}
        partial = place.spec.with_suffix(".partial")
        partial.write_text(json.dumps(record))
        partial.replace(place.spec)
        say(f"cluster {spec.name} is up: kubectl --kubeconfig {place.kubeconfig}")

    def _fetch(self) -> list[Path]:
        """What needs no built binary: the clients, and the archives of the spec's images."""
        clients.clients(self.progress)
        if not self.spec.images:
            return []
        from e2e.testbed import images

        return images.ensure(list(self.spec.images), self.progress)

    def _pause(self, binaries: toolchain.Binaries) -> list[Path]:
        """The archive of the image that every pod's sandbox runs."""
        if not self.spec.real_node:
            return []

        def build(folder: Path) -> None:
            files = {"/pause": Path(binaries["pause"])}
            ociarchive.write(
                folder / "pause.tar", node.PAUSE_IMAGE, files, {"Entrypoint": ["/pause"]}
            )

        name = binaries.folder.name.replace("kubernetes", "image-pause")
        return [cache.entry(name, build) / "pause.tar"]

    def _start_containerd(
        self, holder: int, binaries: toolchain.Binaries, archives: Sequence[Path]
    ) -> None:
        if not self.spec.real_node:
            return
        cni_plugins = packages.cni_folder()
        if cni_plugins is None:
            raise TestbedError(f"missing on this machine: {packages.CNI_PACKAGE}")
        namespaces.make_cgroups(self.place)
        node.write_files(self.place, cni_plugins)
        self._start(holder, binaries, "containerd", node.containerd(self.place))
        self._wait("containerd", lambda: _containerd_answers(holder, binaries))
        for archive in archives:
            self._import(holder, archive, binaries)
        self.progress(f"containerd ready, {len(archives)} images imported")

    def _start_node(
        self, holder: int, binaries: toolchain.Binaries, api: ApiClient, imported: Future[None]
    ) -> None:
        place = self.place
        api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", node.PROXY_BINDING)
        imported.result()
        self._start(holder, binaries, "kubelet", node.kubelet(place))
        self._start(holder, binaries, "kube-proxy", node.proxy(place))

    def _finish_node(self, api: ApiClient) -> None:
        path = f"/api/v1/nodes/{layout.NODE}"
        self._wait("the real node", lambda: api.get(path) is not None)
        if self.spec.gpus:
            api.patch(path, {"metadata": {"labels": node.gpu_labels(self.spec)}})
            api.patch(f"{path}/status", node.gpu_status_patch(self.spec))
        self._wait("the real node", lambda: _is_ready(api.get(path)))
        self.progress(f"real node Ready, {self.spec.gpus} GPUs")

    def _create_kwok_nodes(self, api: ApiClient, count: int, first: int) -> None:
        wanted = kwok.nodes(count, first)
        for one in wanted:
            api.create("/api/v1/nodes", one)
        names = {one["metadata"]["name"] for one in wanted}

        def all_ready() -> bool:
            listed = api.get("/api/v1/nodes?labelSelector=type%3Dkwok") or {"items": []}
            ready = {one["metadata"]["name"] for one in listed["items"] if _is_ready(one)}
            return names <= ready

        self._wait("the KWOK nodes", all_ready)
        self.progress(f"{count} KWOK nodes Ready")

    # Programs of the cluster.

    def _start(
        self, holder: int, binaries: toolchain.Binaries, name: str, arguments: Sequence[str]
    ) -> None:
        with (self.place.logs / f"{name}.log").open("ab") as log:
            self._processes[name] = namespaces.start(
                self.place, holder, [binaries[name], *arguments], log
            )

    def _start_forwarder(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = int(listener.getsockname()[1])
        with listener, (self.place.logs / "forwarder.log").open("ab") as log:
            self._processes["forwarder"] = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("forwarder.py")),
                    str(listener.fileno()),
                    str(self.place.namespace_file),
                    "127.0.0.1",
                    str(layout.API_PORT),
                ],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        namespaces.adopt(self.place, self._processes["forwarder"])
        (self.place.state / "port").write_text(str(port))
        pki.write_kubeconfig(
            self.place, pki.ADMIN, f"https://127.0.0.1:{port}", self.place.kubeconfig
        )
        return port

    def _import(self, holder: int, archive: Path, binaries: toolchain.Binaries) -> None:
        result = subprocess.run(
            [
                *namespaces.enter_all(holder),
                *_ctr(binaries),
                "--namespace=k8s.io",
                "images",
                "import",
                str(archive.absolute()),
            ],
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise TestbedError(f"importing {archive.name}: {result.stderr.strip()[-300:]}")

    def _pids(self) -> dict[str, str]:
        return {name: machine.identity(one.pid) for name, one in self._processes.items()}

    @contextlib.contextmanager
    def _api(self) -> Iterator[ApiClient]:
        port = int((self.place.state / "port").read_text())
        with contextlib.closing(ApiClient(self.place, port)) as api:
            yield api

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        """Poll until done; a program of ours that died in the meantime ends the wait."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not done():
            for name, process in list(self._processes.items()):
                if process.poll() is not None:
                    raise TestbedError(f"{name} exited: {self._last_line(name)}")
            if time.monotonic() > deadline_s:
                raise TestbedError(f"{what} was not ready within {READY_TIMEOUT_S:.0f} s")
            time.sleep(0.05)

    def _last_line(self, name: str) -> str:
        lines = (self.place.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return next((line[-300:] for line in reversed(lines) if line.strip()), "no output")

    def _keep_logs(self) -> None:
        """Its logs are the only witness of a failed start: the last one's stay."""
        kept = layout.STATE / f"{self.spec.name}.failed-logs"
        with contextlib.suppress(OSError):
            kept.mkdir(parents=True, exist_ok=True)
            for log in self.place.logs.glob("*.log"):
                log.replace(kept / log.name)
            self.progress(f"logs of the failed start: {kept}")

    def _require_up(self) -> int:
        holder = namespaces.find_holder(self.place)
        if holder is None:
            raise TestbedError(f"cluster {self.spec.name} is not up")
        return holder


def dead_processes(place: Layout) -> list[str]:
    """Names of recorded programs of the cluster that no longer run."""
    try:
        recorded = json.loads(place.spec.read_text())["processes"]
    except (OSError, ValueError):
        return []
    return [name for name, identity in recorded.items() if not machine.is_alive(identity)]


def _ctr(binaries: toolchain.Binaries) -> list[str]:
    return [binaries["ctr"], f"--address={layout.CONTAINERD_SOCKET}"]


def _containerd_answers(holder: int, binaries: toolchain.Binaries) -> bool:
    command = [*namespaces.enter_all(holder), *_ctr(binaries), "version"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _is_ready(one: Any) -> bool:
    conditions = (one or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
