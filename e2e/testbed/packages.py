"""Packages of the machine: what is missing is installed, what is there is left alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress, long_step

# What must be on the machine → the package that brings it. The CNI plugins are no commands.
COMMANDS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "nft": "nftables",
    "runc": "runc",
}
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
CNI_PACKAGE = "containernetworking-plugins"
FAKETIME_PACKAGE = "libfaketime"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def which(command: str) -> str | None:
    """The command's path, also from the sbin folders that a user's PATH often lacks."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def pip() -> list[str]:
    """How pip is called: this Python's own, else the machine's."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = which("pip3")
    if found is None:
        raise TestbedError("missing on this machine: pip; install python3-pip")
    return [found]


def cni_folder() -> Path | None:
    """The folder with the CNI plugins that a real node needs."""
    for folder in map(Path, CNI_FOLDERS):
        if all((folder / plugin).exists() for plugin in ("bridge", "host-local", "loopback")):
            return folder
    return None


def ensure(*, real_node: bool, progress: Progress) -> None:
    """Install what the cluster needs from the machine's package manager.

    Raises TestbedError when something is missing and there is no apt-get to bring it.
    """
    wanted = COMMANDS if real_node else {c: COMMANDS[c] for c in ("ip", "nsenter", "unshare")}
    missing = {package for command, package in wanted.items() if which(command) is None}
    if real_node and cni_folder() is None:
        missing.add(CNI_PACKAGE)
    if missing:
        install(sorted(missing), progress)


def faketime(progress: Progress) -> Path:
    """The library that, loaded before a program, lets it see another time; only a test needs it.

    Raises TestbedError when it is missing and cannot be installed.
    """

    def found() -> Path | None:
        return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

    if found() is None:
        install([FAKETIME_PACKAGE], progress)
    library = found()
    if library is None:
        raise TestbedError(f"package {FAKETIME_PACKAGE} brought no libfaketimeMT.so.1")
    return library


def install(names: list[str], progress: Progress) -> None:
    """Install packages; the lists are refreshed only when a plain install does not find them."""
    if which("apt-get") is None:
        raise TestbedError(
            f"missing on this machine: {', '.join(names)}; install them (there is no apt-get here)"
        )
    with long_step(progress, f"installing {', '.join(names)}"):
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
        if _apt(command).returncode != 0:
            _apt(["apt-get", "update", "-qq"])
            result = _apt(command)
            if result.returncode != 0:
                last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
                raise TestbedError(f"apt-get could not install {', '.join(names)}: {''.join(last)}")


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)
