"""The commands as a shell sees them: output, exit codes, one-sentence errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conch import __version__
from conch.errors import ApiUnreachable, Unauthorized
from conch.settings import Settings
from tests.cli import fleets
from tests.cli.conftest import FakeCluster, Run

COMMANDS = (
    "run",
    "activator",
    "status",
    "why",
    "capacity",
    "place",
    "simulate",
    "report",
    "trace",
    "crds",
    "generate",
    "digest",
    "version",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert out.startswith("Usage: conch " + command)
    options = out.partition("Options:")[2]
    assert not re.search(r"--\S+ <[a-z\[\] ]+>", options)  # words of Python's, not of people's


def test_help_lists_every_command_and_an_example(run: Run) -> None:
    _, out, _ = run("--help")
    assert all(f"\n  {command} " in out for command in COMMANDS)
    for command in set(COMMANDS) - {"activator", "generate", "version"}:
        assert "Example" in run(command, "-h")[1]


def test_version(run: Run) -> None:
    assert run("version") == run("--version") == (0, f"{__version__}\n", "")


def test_status_of_the_contexts_namespace(run: Run) -> None:
    code, out, err = run("status")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["resnet", "True"]


def test_status_of_all_namespaces(run: Run, cluster: FakeCluster, service: Any) -> None:
    cluster.collections["/apis/conch.dev/v1alpha1/inferenceservices"] = [service]
    _, out, _ = run("status", "-A")
    assert out.splitlines()[0].startswith("NAMESPACE")
    assert out.splitlines()[1].split()[:2] == ["demo", "resnet"]


def test_status_as_json(run: Run) -> None:
    code, out, _ = run("status", "resnet", "-o", "json")
    (summary,) = json.loads(out)
    assert code == 0
    assert (summary["name"], summary["ready"], summary["wanted"]) == ("resnet", "True", 3)


def test_status_of_nothing(run: Run, cluster: FakeCluster) -> None:
    cluster.collections["/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices"] = []
    assert run("status") == (0, "", "No InferenceServices in namespace demo.\n")
    assert run("status", "-o", "json") == (0, "[]\n", "")


def test_why_asks_the_planner_about_each_class(
    run: Run, cluster: FakeCluster, service: dict[str, Any]
) -> None:
    _, out, _ = run("why", "resnet")
    assert "that takes listing nodes and all pods" in out
    small = {"classes": ["t4", "l4"], "minMemory": "20Gi"}
    live = fleets.service("resnet", placement={"accelerators": small})
    nodes = [fleets.node("a", "NVIDIA-L4"), fleets.node("b", "Tesla-T4")]
    cluster.collections |= fleets.collections(nodes, [], [live])
    _, out, _ = run("why", "resnet")
    text = " ".join(out.split())
    assert "l4 0.80 0.40 chosen: 1 node, 3 of 4 GPUs free" in text
    assert "t4 0.53 - too small: needs 20Gi, has 15Gi" in text
    found = json.loads(run("why", "resnet", "-o", "json")[1])
    assert [c["name"] for c in found["classes"]] == ["l4", "t4"]
    cluster.forbidden = {"/api/v1/nodes"}
    assert json.loads(run("why", "resnet", "-o", "json")[1])["classes"] is None


def test_why(run: Run) -> None:
    code, out, _ = run("why", "resnet")
    assert code == 0
    assert out.startswith("demo/resnet is ready")
    assert json.loads(run("why", "resnet", "-o", "json")[1])["summary"]["name"] == "resnet"


def test_missing_service_is_one_sentence_and_exit_code_1(run: Run) -> None:
    code, out, err = run("why", "nope")
    assert (code, out) == (1, "")
    assert err == "conch: no InferenceService nope: namespace demo has resnet.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ApiUnreachable("GET /: refused"), "the cluster cannot be reached: GET /: refused"),
        (Unauthorized(401), "does not accept these credentials"),
    ],
)
def test_no_cluster(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    async def fail(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr(cluster, "list", fail)
    code, out, err = run("status")
    assert (code, out) == (1, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_forbidden_names_what(run: Run, cluster: FakeCluster) -> None:
    cluster.forbidden = {"/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices"}
    assert run("status")[::2] == (1, "conch: you may not do that: no.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["why"],
        ["status", "a", "-A"],
        ["nonsense"],
        ["status", "-o", "xml"],
        ["digest", "/nowhere"],
        ["run", "--log-level", "loud"],
    ],
)
def test_wrong_use_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_an_absurd_setting_is_wrong_use(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCH_WORKERS", "many")
    code, _, err = run("run")
    assert code == 2
    assert "CONCH_WORKERS='many'" in err


def test_run_overrides_settings_and_gives_the_operators_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def operate(settings: Settings, **where: Any) -> int:
        seen.update(settings=settings, **where)
        return 3

    monkeypatch.setattr("conch.wiring.runtime.run", operate)
    code, _, _ = run(
        "run", "-n", "a", "-n", "b", "--no-leader-election", "--log-format", "text",
        "--context", "c",
    )  # fmt: skip
    assert code == 3
    assert seen["settings"].namespaces == ("a", "b")
    assert seen["settings"].leader_election is False
    assert (seen["settings"].log_level, seen["settings"].log_format) == ("info", "text")
    assert (seen["kubeconfig"], seen["context"]) == (None, "c")


def test_run_without_a_kubeconfig(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert run("run")[::2] == (
        1,
        "conch: no kubeconfig: /nowhere does not exist; give --kubeconfig FILE.\n",
    )


def test_as_a_kubectl_plugin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-conch"])
    assert run("why", "nope")[2].startswith("kubectl conch: ")
    assert run("--help")[1].startswith("Usage: kubectl conch ")


def test_crds_can_be_piped_into_kubectl(run: Run) -> None:
    code, out, _ = run("crds")
    assert code == 0
    assert out.count("kind: CustomResourceDefinition") == 3


def test_crds_where_nothing_can_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run("crds", "-d", str(tmp_path / "file"))
    assert (code, out) == (2, "")
    assert "file/conch.dev_inferenceservices.yaml can't be written: " in err
    assert len(err.splitlines()) == 1


def test_the_puller_starts_without_the_command_line_library() -> None:
    program = (
        "import sys; sys.argv = ['conch', 'fetch', '--help']\n"
        "from conch.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'typer', 'rich', 'kopf', 'kubernetes'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


def test_digest_of_a_directory(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.pbtxt").write_text("")
    code, out, _ = run("digest", str(model))
    assert code == 0
    assert len(out) == len("sha256:") + 64 + 1
    (model / "config.pbtxt").write_text("name: 'x'")
    assert run("digest", str(model))[1] != out
