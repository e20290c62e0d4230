"""The namespaces of one cluster: making them, starting programs in them, removing all of it.

One network namespace with a name, and one private mount + pid namespace held by `pause`, its
process 1: killing that one ends every process, container and mount of the cluster. Removal goes
by what it finds (who is inside the network namespace?), so it also works after the tool was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from e2e.testbed import cache, layout, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout

CGROUPS = Path("/sys/fs/cgroup")
_END_TIMEOUT_S = 20.0
_REAP_S = 2.0
_started: dict[str, list[subprocess.Popen[bytes]]] = {}
"""What this process started, by namespace: it has to reap them, whoever holds the Cluster."""


def make_network(place: Layout) -> None:
    """The network namespace: local addresses, a route for ClusterIPs, none out of it."""
    with cache.locked(layout.HOST_LOCK):
        _ip("netns", "add", place.namespace)
    inside = ["-n", place.namespace]
    _ip(*inside, "link", "set", "lo", "up")
    # Both ends inside: an address for the node that does not need the dummy driver.
    _ip(*inside, "link", "add", "node0", "type", "veth", "peer", "name", "node0p")
    for address in (layout.NODE_ADDRESS, layout.KWOK_ADDRESS, layout.UPLINK_ADDRESS):
        _ip(*inside, "addr", "add", f"{address}/24", "dev", "node0")
    for link in ("node0", "node0p"):
        _ip(*inside, "link", "set", link, "up")
    # Without any route a ClusterIP is unreachable before kube-proxy's rules see the packet.
    _ip(*inside, "route", "add", layout.SERVICE_RANGE, "dev", "node0", "src", layout.NODE_ADDRESS)
    _ip(*inside, "route", "add", "local", layout.FAKE_POD_RANGE, "dev", "lo")
    enter = enter_network(place)
    forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    subprocess.run([*enter, "sh", "-c", forward], check=True)


def enter_network(place: Layout) -> list[str]:
    """Command prefix for programs that only need the cluster's network."""
    return [_found("nsenter"), f"--net={place.namespace_file}", "--"]


def start_holder(place: Layout, pause: Path) -> int:
    """Make the mount and pid namespaces; returns the host's pid of their process 1."""
    (place.logs).mkdir(parents=True, exist_ok=True)
    with (place.logs / "holder.log").open("ab") as log:
        unshare = subprocess.Popen(
            [
                *enter_network(place),
                _found("unshare"),
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--propagation=private",
                "--",
                str(pause),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    adopt(place, unshare)
    deadline_s = time.monotonic() + 10
    while True:
        holder = find_holder(place)
        if holder is not None and holder != unshare.pid and _program(holder) == str(pause):
            return holder
        if unshare.poll() is not None or time.monotonic() > deadline_s:
            raise TestbedError(
                "this machine does not let us make mount and pid namespaces: "
                + (place.logs / "holder.log").read_text().strip()
            )
        time.sleep(0.005)  # waits for unshare's exec; there is nothing to be told by


def make_private_places(place: Layout, holder: int) -> None:
    """Paths that containerd and the kubelet have built in, private to the cluster."""
    for folder in (layout.CONTAINERD_STATE, layout.KUBELET_STATE):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (place.pod_logs, place.kubelet, place.etcd):
        folder.mkdir(parents=True, exist_ok=True)
    script = (
        "mount --make-rshared / && "
        f"mount -t tmpfs -o mode=711 conch {layout.CONTAINERD_STATE} && "
        f"mount -t tmpfs -o mode=700 conch {place.etcd} && "
        f"mount --bind {place.pod_logs} /var/log && "
        f"mount --bind {place.kubelet} {layout.KUBELET_STATE}"
    )
    subprocess.run([*enter_all(holder), "sh", "-c", script], check=True)


def enter_all(holder: int) -> list[str]:
    """Command prefix for the cluster's own programs; their working folder becomes /."""
    return [_found("nsenter"), f"--target={holder}", "--net", "--mount", "--pid", "--"]


def adopt(place: Layout, process: subprocess.Popen[bytes]) -> None:
    """Have `remove` reap a program of the cluster that this process started."""
    _started.setdefault(place.namespace, []).append(process)


def start(
    place: Layout, holder: int, argv: Sequence[str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program of the cluster; the returned process is its nsenter, which outlives us."""
    path = f"{Path(argv[0]).parent}:{packages.SYSTEM_PATH}"
    process = subprocess.Popen(
        [*enter_all(holder), *argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={"PATH": path, "HOME": "/root"},
        start_new_session=True,
    )
    adopt(place, process)
    return process


def make_cgroups(place: Layout) -> None:
    """The cluster's cgroup in every hierarchy; the kubelet refuses a root that is not there."""
    for hierarchy in _hierarchies():
        folder = hierarchy / place.cgroup
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # v1: empty until somebody sets them
            if (folder / setting).exists() and (hierarchy / "cgroup.clone_children").exists():
                (folder / setting).write_text((hierarchy / setting).read_text())
        controllers = hierarchy / "cgroup.controllers"
        if controllers.exists():  # v2
            for controller in controllers.read_text().split():
                with contextlib.suppress(OSError):
                    (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")


def find_holder(place: Layout) -> int | None:
    """The process 1 of the cluster's pid namespace, as the host numbers it."""
    for pid in processes_inside(place):
        with contextlib.suppress(OSError):
            status = (Path("/proc") / str(pid) / "status").read_text()
            inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if len(inner) > 2 and inner[-1] == "1":
                return pid
    return None


def processes_inside(place: Layout) -> list[int]:
    """Pids of every process in the cluster's own network namespace (pods have theirs)."""
    if not place.namespace_file.exists():
        return []
    try:
        wanted = place.namespace_file.stat()
    except OSError:
        return []
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                seen = (folder / "ns" / "net").stat()
                if (seen.st_ino, seen.st_dev) == (wanted.st_ino, wanted.st_dev):
                    found.append(int(folder.name))
    return found


def end(place: Layout) -> None:
    """Kill the cluster's programs and containers; `remove` does the rest."""
    holder = find_holder(place)
    if holder is not None:
        _kill([holder])


def remove(place: Layout) -> list[str]:
    """End and remove whatever there is of the cluster; returns what would not go."""
    end(place)
    start_s = time.monotonic()
    while (pids := processes_inside(place)) and time.monotonic() < start_s + _END_TIMEOUT_S:
        # nsenter and unshare end by themselves once they have reaped their child; killed before
        # that, they would leave it to the machine's init as a zombie.
        patient = time.monotonic() < start_s + _REAP_S
        _kill(pid for pid in pids if not (patient and _name(pid) in ("nsenter", "unshare")))
        time.sleep(0.01)  # the kernel gives no event for the end of another parent's children
    left = [f"process {pid}" for pid in pids]
    for process in _started.pop(place.namespace, []):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_S)
    left += _remove_cgroups(place, start_s + _END_TIMEOUT_S)
    if place.state.exists():
        shutil.rmtree(place.state, ignore_errors=True)
        if place.state.exists():
            left.append(str(place.state))
    with cache.locked(layout.HOST_LOCK):
        left += _remove_network(place)
        if not others(place):
            # Mount points of a cluster: removed under another one, its state would be unmounted.
            for folder in (layout.CONTAINERD_STATE, layout.KUBELET_STATE):
                with contextlib.suppress(OSError):
                    folder.rmdir()
    return left


def _remove_network(place: Layout) -> list[str]:
    if place.namespace_file.exists():
        removal = [_found("ip"), "netns", "del", place.namespace]
        subprocess.run(removal, capture_output=True)
        with contextlib.suppress(OSError):  # a file that was never mounted on: killed in between
            place.namespace_file.unlink()
        if place.namespace_file.exists():
            return [f"network namespace {place.namespace}"]
    folder = layout.NETWORK_NAMESPACES
    if folder.is_dir() and folder.is_mount() and not any(folder.iterdir()):
        # `ip netns add` mounts the folder on itself and never undoes it.
        subprocess.run(["umount", str(folder)], capture_output=True)
    return []


def others(place: Layout) -> list[str]:
    """Names of the other clusters on this machine, up or left over."""
    if not layout.NETWORK_NAMESPACES.is_dir():
        return []
    return sorted(
        path.name.removeprefix(layout.PREFIX)
        for path in layout.NETWORK_NAMESPACES.iterdir()
        if path.name.startswith(layout.PREFIX) and path.name != place.namespace
    )


def _hierarchies() -> list[Path]:
    """Roots of the cgroup hierarchies: one under v2, one per controller under v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    if not CGROUPS.is_dir():
        return []
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _remove_cgroups(place: Layout, deadline_s: float) -> list[str]:
    roots = [h / place.cgroup for h in _hierarchies() if (h / place.cgroup).is_dir()]
    while True:
        for root in roots:
            for folder, _, _ in os.walk(root, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        roots = [root for root in roots if root.is_dir()]
        if not roots or time.monotonic() > deadline_s:
            return [f"cgroup {root}" for root in roots]
        _kill(pid for root in roots for pid in _members(root))
        time.sleep(0.01)  # a cgroup is busy until its last process is reaped


def _members(root: Path) -> Iterable[int]:
    for folder, _, _ in os.walk(root):
        with contextlib.suppress(OSError):
            yield from map(int, (Path(folder) / "cgroup.procs").read_text().split())


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _name(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _program(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def _ip(*arguments: str) -> None:
    result = subprocess.run([_found("ip"), *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise TestbedError(f"ip {' '.join(arguments)}: {result.stderr.strip()}")


def _found(command: str) -> str:
    path = packages.which(command)
    if path is None:
        raise TestbedError(f"missing on this machine: {command}")
    return path
