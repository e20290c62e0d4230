"""The steps from nothing to a cluster that is up, in order. It takes nothing down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from e2e.testbed import (
    cache,
    clients,
    controlplane,
    kwok,
    layout,
    namespaces,
    node,
    ociarchive,
    packages,
    pki,
    runtime,
    toolchain,
)
from e2e.testbed.api import ApiClient
from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout
from e2e.testbed.programs import Programs
from e2e.testbed.progress import Progress
from e2e.testbed.spec import ClusterSpec
from e2e.testbed.toolchain import Binaries


def bring_up(spec: ClusterSpec, place: Layout, progress: Progress) -> None:
    """Build what is missing, start everything, wait for it, and record that it is up."""
    binaries, archives = _prepare(spec, progress)

    progress("namespaces and certificates")
    place.state.mkdir(parents=True)
    place.logs.mkdir()
    namespaces.make_network(place)
    holder = namespaces.start_holder(place, Path(binaries["pause"]))
    namespaces.make_private_places(place, holder)
    pki.make(binaries["pki"], place)
    controlplane.write_files(place, spec)

    progress("starting the control plane")
    programs = Programs(place, binaries, holder)
    programs.start("etcd", controlplane.etcd(place))
    programs.start("kube-apiserver", controlplane.apiserver(place, spec))
    port = programs.start_forwarder()
    pki.write_kubeconfig(place, pki.ADMIN, f"https://127.0.0.1:{port}", place.kubeconfig)
    with ThreadPoolExecutor(1) as pool, closing(ApiClient(place, port)) as api:
        try:
            if spec.real_node:
                imported = pool.submit(
                    _start_containerd, place, holder, binaries, programs, archives
                )
            _start_control_plane(spec, place, programs, api)
            progress(f"API server ready (on this machine: 127.0.0.1:{port})")
            if spec.real_node:
                imported.result()
                progress(f"containerd ready, {len(archives)} images imported")
                _start_node(spec, place, programs, api)
                progress(f"real node Ready, {spec.gpus} GPUs")
            if spec.kwok_nodes:
                create_kwok_nodes(api, programs, spec.kwok_nodes, 0)
                progress(f"{spec.kwok_nodes} KWOK nodes Ready")
            # Pods can be made from here on. Last, since it comes by itself beside the rest.
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            programs.wait("the default ServiceAccount", lambda: api.get(account) is not None)
        except BaseException:
            namespaces.end(place)  # else the pool would first wait for its import to finish
            raise
    _record(spec, place, programs)


def _prepare(spec: ClusterSpec, progress: Progress) -> tuple[Binaries, list[Path]]:
    """Everything that comes out of the cache, or is built or fetched into it."""
    from e2e.testbed import images

    unknown = [name for name in spec.images if name not in images.TAGS]
    if unknown:  # before the long build, not after it
        raise TestbedError(f"unknown image {unknown[0]}: there are {', '.join(images.TAGS)}")
    packages.ensure(real_node=spec.real_node, progress=progress)

    def fetch() -> list[Path]:
        clients.clients(progress)
        return images.ensure(list(spec.images), progress) if spec.images else []

    with ThreadPoolExecutor(1) as pool:
        # Beside the Go build, which is what takes long; the build itself stays in this thread,
        # where Ctrl-C ends it.
        fetched = pool.submit(fetch)
        binaries = toolchain.ensure(progress)
        return binaries, [*_pause(spec, binaries), *fetched.result()]


def _start_control_plane(
    spec: ClusterSpec, place: Layout, programs: Programs, api: ApiClient
) -> None:
    programs.wait("the API server", api.ready)
    # Not before: the controller-manager exits when the API server does not answer.
    programs.start("kube-controller-manager", controlplane.controller_manager(place, spec))
    programs.start("kube-scheduler", controlplane.scheduler(place))
    if spec.runs_kwok:
        (place.state / "kwok.yaml").write_text(kwok.config())
        programs.start("kwok", kwok.arguments(place))


def create_kwok_nodes(api: ApiClient, programs: Programs, count: int, first: int) -> None:
    """Create nodes and wait until all of them are Ready."""
    wanted = kwok.nodes(count, first)
    for one in wanted:
        api.create("/api/v1/nodes", one)
    names = {one["metadata"]["name"] for one in wanted}

    def all_ready() -> bool:
        listed = api.get("/api/v1/nodes?labelSelector=type%3Dkwok") or {"items": []}
        return names <= {one["metadata"]["name"] for one in listed["items"] if _is_ready(one)}

    programs.wait("the KWOK nodes", all_ready)


def _pause(spec: ClusterSpec, binaries: Binaries) -> list[Path]:
    """The archive of the image that every pod's sandbox runs."""
    if not spec.real_node:
        return []

    def build(folder: Path) -> None:
        files = {"/pause": Path(binaries["pause"])}
        ociarchive.write(folder / "pause.tar", node.PAUSE_IMAGE, files, {"Entrypoint": ["/pause"]})

    name = binaries.folder.name.replace("kubernetes", "image-pause")
    return [cache.entry(name, build) / "pause.tar"]


def _start_containerd(
    place: Layout,
    holder: int,
    binaries: Binaries,
    programs: Programs,
    archives: Sequence[Path],
) -> None:
    cni_plugins = packages.cni_folder()
    if cni_plugins is None:
        raise TestbedError(f"missing on this machine: {packages.CNI_PACKAGE}")
    namespaces.make_cgroups(place)
    node.write_files(place, cni_plugins)
    programs.start("containerd", node.containerd(place))
    programs.wait("containerd", lambda: runtime.answers(holder, binaries))
    for archive in archives:
        runtime.import_archive(holder, binaries, archive)


def _start_node(spec: ClusterSpec, place: Layout, programs: Programs, api: ApiClient) -> None:
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", node.PROXY_BINDING)
    programs.start("kubelet", node.kubelet(place))
    programs.start("kube-proxy", node.proxy(place))
    path = f"/api/v1/nodes/{layout.NODE}"
    programs.wait("the real node", lambda: api.get(path) is not None)
    if spec.gpus:
        api.patch(path, {"metadata": {"labels": node.gpu_labels(spec)}})
        api.patch(f"{path}/status", node.gpu_status_patch(spec))
    programs.wait("the real node", lambda: _is_ready(api.get(path)))


def _record(spec: ClusterSpec, place: Layout, programs: Programs) -> None:
    partial = place.spec.with_suffix(".partial")
    partial.write_text(json.dumps({"spec": spec.to_json(), "processes": programs.identities()}))
    partial.replace(place.spec)


def _is_ready(one: Any) -> bool:
    conditions = (one or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
