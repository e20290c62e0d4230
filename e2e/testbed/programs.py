"""The programs of one cluster: started, watched while somebody waits, restarted after a kill."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from e2e.testbed import layout, machine, namespaces
from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout
from e2e.testbed.toolchain import Binaries

READY_TIMEOUT_S = 120.0
_POLL_S = 0.05


class Programs:
    """What this process started of the cluster. Its files are in the cluster's state folder."""

    def __init__(self, place: Layout, binaries: Binaries, holder: int) -> None:
        self._place, self._binaries, self._holder = place, binaries, holder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a built program under its own name; its output goes to log/<name>.log."""
        argv = [self._binaries[name], *arguments]
        self._argv_file(name).write_text(json.dumps(argv))
        with (self._place.logs / f"{name}.log").open("ab") as log:
            self._running[name] = namespaces.start(self._place, self._holder, argv, log)

    def restart(self, name: str) -> None:
        """Kill a program (SIGKILL) and start it as it was started before."""
        try:
            argv = json.loads(self._argv_file(name).read_text())
        except OSError:
            raise TestbedError(f"cluster {self._place.name} runs no {name}") from None
        for pid in namespaces.processes_inside(self._place):
            if machine.command_line(pid)[:1] == argv[:1]:
                machine.kill_and_wait(pid)
        self.start(name, argv[1:])

    def start_forwarder(self) -> int:
        """Lead a free port of the host's loopback to the API server; returns the port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = int(listener.getsockname()[1])
        with listener, (self._place.logs / "forwarder.log").open("ab") as log:
            self._running["forwarder"] = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("forwarder.py")),
                    str(listener.fileno()),
                    str(self._place.namespace_file),
                    "127.0.0.1",
                    str(layout.API_PORT),
                ],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        namespaces.adopt(self._place, self._running["forwarder"])
        self._place.port.write_text(str(port))
        return port

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        """Poll until done. Raises TestbedError when a program died meanwhile, or on timeout."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not done():
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    raise TestbedError(f"{name} exited: {self._last_line(name)}")
            if time.monotonic() > deadline_s:
                raise TestbedError(f"{what} was not ready within {READY_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)

    def identities(self) -> dict[str, str]:
        """Name → who it is among the machine's processes."""
        return {name: machine.identity(one.pid) for name, one in self._running.items()}

    def _argv_file(self, name: str) -> Path:
        return self._place.state / f"{name}.argv.json"

    def _last_line(self, name: str) -> str:
        lines = (self._place.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return next((line[-300:] for line in reversed(lines) if line.strip()), "no output")
