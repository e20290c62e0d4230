"""The operator under test: a child process in a cluster's network namespace.

It starts, watches and kills it. It must not know what is measured. Usable by any test:

    operator = Operator(cluster, environment={"CONCH_DRAIN_S": "20"})
    operator.start()        # returns when /readyz says so
    operator.kill()         # SIGKILL, as a node that lost power
    operator.start()        # again, same identity
    operator.stop()         # SIGTERM, waits
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from e2e.bench.inside import inside
from e2e.testbed import Cluster, TestbedError
from e2e.testbed.layout import REPOSITORY

USER_AGENT = "conch/"
"""How the operator's writes are told in the audit log: their userAgent starts with it."""
NAMESPACE = "conch-system"
_READY_S = 60.0
_STOP_S = 20.0


class Operator:
    """One operator process at a time; several objects side by side need different `port`s."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        kubeconfig: Path | None = None,
        namespace: str = NAMESPACE,
        serves: Sequence[str] = (),
        port: int = 18080,
        log: Path | None = None,
        log_level: str = "info",
        environment: Mapping[str, str] | None = None,
        server: str = "",
    ) -> None:
        """`namespace` holds its Lease and must exist; `serves`: namespaces, none means all.

        `server` replaces the API server's address in the kubeconfig (a proxy's).
        """
        self.port = port
        self.log = log or cluster.place.logs / f"operator-{port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._cluster = cluster
        self._kubeconfig = kubeconfig or cluster.inner_kubeconfig
        if server:
            self._kubeconfig = _redirected(cluster, self._kubeconfig, server, port)
        self._command = [
            str(Path(sys.executable).with_name("conch")),
            *("run", "--kubeconfig", str(self._kubeconfig)),
            *("--log-level", log_level, "--log-format", "text"),
            *(part for served in serves for part in ("--namespace", served)),
        ]
        self._environment = {
            "CONCH_OPERATOR_NAMESPACE": namespace,
            "CONCH_IDENTITY": f"bench-{port}",
            "CONCH_BIND_ADDRESS": "127.0.0.1",
            "CONCH_PROBE_PORT": str(port),
            "CONCH_METRICS_PORT": str(port + 1),
            **(environment or {}),
        }

    def start(self, timeout_s: float = _READY_S) -> None:
        """Start it and wait until /readyz answers 200. Raises TestbedError when it does not."""
        self.spawn()
        self.wait_ready(timeout_s)

    def spawn(self) -> None:
        """Start it and return at once."""
        if self.running:
            raise TestbedError("the operator runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = self._cluster.popen(
                self._command,
                env={**self._cluster.environment(), **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
            )
        self.starts += 1

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, timeout_s: float = _READY_S) -> None:
        """Wait for /readyz; from any network namespace, and from any thread."""
        end_s = time.monotonic() + timeout_s
        while not self.is_ready():
            if not self.running:
                raise TestbedError(f"the operator ended:\n{self.last_words()}")
            if time.monotonic() > end_s:
                raise TestbedError(f"not ready after {timeout_s:.0f} s:\n{self.last_words()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("/readyz", self.port)[0] == 200
        return False

    def metrics(self) -> str:
        """The text of /metrics."""
        return self.ask("/metrics", self.port + 1)[1]

    def ask(self, path: str, port: int) -> tuple[int, str]:
        """One GET to the process. Raises OSError or HTTPException when it does not answer."""
        with inside(self._cluster):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

    def rss_mib(self) -> float:
        """Resident memory of the process now, MiB."""
        return self._memory_mib("VmRSS")

    def peak_rss_mib(self) -> float:
        """Most resident memory the process ever had, MiB."""
        return self._memory_mib("VmHWM")

    def cpu_s(self) -> float:
        """CPU seconds the process has used, user and system."""
        fields = Path(f"/proc/{self._pid()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def kill(self) -> None:
        """SIGKILL and reap; nothing to do when it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, wait, and return its exit code; one that does not end is killed."""
        return self._end(signal.SIGTERM)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def tracebacks(self) -> list[str]:
        """Lines of the log that tell of a defect of ours: a traceback, or an error."""
        if not self.log.exists():
            return []
        wanted = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b")
        return [s for s in self.log.read_text(errors="replace").splitlines() if wanted.search(s)]

    def __enter__(self) -> Operator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> int:
        process = self.process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self.process = None

    def _pid(self) -> int:
        if self.process is None:
            raise TestbedError("the operator does not run")
        return self.process.pid

    def _memory_mib(self, field: str) -> float:
        status = Path(f"/proc/{self._pid()}/status").read_text()
        return next(
            int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field)
        )


def as_deployed(cluster: Cluster, namespace: str = NAMESPACE) -> Path:
    """A kubeconfig with the token and the rights that the chart gives the operator.

    As an admin with a certificate it would run past the authorizer, and have its certificate
    verified anew with every request.
    """
    chart = REPOSITORY / "charts/conch"
    argv = ["helm", "template", "conch", str(chart), "--namespace", namespace]
    argv += ["--show-only", "templates/serviceaccount.yaml", "--show-only", "templates/rbac.yaml"]
    rendered = cluster.run(argv, capture_output=True, text=True)
    if rendered.returncode != 0:
        raise TestbedError(f"helm template: {rendered.stderr.strip()[-300:]}")
    cluster.kubectl("apply", "-f", "-", stdin=rendered.stdout)
    token = cluster.kubectl("create", "token", "conch", "-n", namespace, "--duration=2h").strip()
    config = json.loads(cluster.inner_kubeconfig.read_text())  # the test bed writes JSON
    config["users"][0]["user"] = {"token": token}
    target = cluster.place.state / "operator-deployed.kubeconfig"
    target.write_text(json.dumps(config))
    return target


def _redirected(cluster: Cluster, kubeconfig: Path, server: str, port: int) -> Path:
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": server}
    config["users"][0]["user"] = {}
    target = cluster.place.state / f"operator-{port}.kubeconfig"
    target.write_text(json.dumps(config))
    return target
