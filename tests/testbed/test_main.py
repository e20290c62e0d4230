import pytest

from e2e.testbed import __main__ as main
from e2e.testbed import machine
from e2e.testbed.errors import TestbedError
from e2e.testbed.spec import ClusterSpec


def asked(*arguments: str) -> ClusterSpec:
    return main.spec_of(main.parser().parse_args(["up", *arguments]))


def test_the_command_lines_defaults_are_the_specs() -> None:
    assert asked() == ClusterSpec()


def test_options_reach_the_spec() -> None:
    assert asked(
        "--name=x", "--gpus=2", "--kwok-nodes=3", "--images=a,b", "--audit", "--hpa-sync-period=5"
    ) == ClusterSpec(
        name="x", gpus=2, kwok_nodes=3, images=("a", "b"), audit=True, hpa_sync_period_s=5
    )
    assert not asked("--control-plane-only").real_node


@pytest.mark.parametrize("command", ["", "up", "down", "status", "exec", "build", "cache"])
def test_help_everywhere(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main.parser().parse_args([*command.split(), "--help"])
    assert stop.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_refusal_is_one_sentence_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["testbed", "up", "--name=No"])
    assert main.main() == 1
    assert capsys.readouterr().err.startswith("error: cluster name 'No'")


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [("sys.platform", "darwin", "needs Linux"), ("os.geteuid", lambda: 1000, "as root")],
)
def test_a_machine_that_cannot_is_told_what_to_do_instead(
    attribute: str, value: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute, value)
    with pytest.raises(TestbedError, match=said) as refusal:
        machine.check()
    assert "CONTEXT=" in str(refusal.value)
