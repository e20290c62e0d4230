"""What this machine must be, and who is who among its processes."""

from __future__ import annotations

import os
import platform
import select
import signal
import sys
from pathlib import Path

from e2e.testbed.errors import TestbedError


def check() -> None:
    """Raise TestbedError, with the way out, where the test bed can't run."""
    if sys.platform != "linux":
        raise TestbedError(
            f"the test bed needs Linux (this is {platform.system()}): use a cluster of your own, "
            "make demo CONTEXT=<kubectl context>"
        )
    if platform.machine() != "x86_64":
        raise TestbedError(
            f"the test bed needs an x86_64 machine (this is {platform.machine()}): the Triton it "
            "serves with is built for no other; use a cluster of your own, "
            "make demo CONTEXT=<kubectl context>"
        )
    if os.geteuid() != 0:
        raise TestbedError(
            "the test bed makes namespaces and mounts: run it as root (sudo), or use a cluster of "
            "your own, make demo CONTEXT=<kubectl context>"
        )


def identity(pid: int) -> str:
    """A process that can't be mistaken for a later one of the same number; "" when it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, start_ticks = after_name[0], after_name[19]
    return "" if state == "Z" else f"{pid}@{start_ticks}"


def is_alive(recorded: str) -> bool:
    """Whether the process of that identity still runs."""
    return bool(recorded) and identity(int(recorded.partition("@")[0])) == recorded


def command_line(pid: int) -> list[str]:
    """The arguments a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


def kill_and_wait(pid: int, timeout_s: float = 20.0) -> None:
    """SIGKILL a process, and return when it has ended."""
    ended = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(ended, signal.SIGKILL)
        if not select.select([ended], [], [], timeout_s)[0]:
            raise TestbedError(f"process {pid} did not end within {timeout_s:.0f} s of SIGKILL")
    finally:
        os.close(ended)
