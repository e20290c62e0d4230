import pytest

from e2e.testbed.errors import TestbedError
from e2e.testbed.spec import ClusterSpec


@pytest.mark.parametrize("name", ["demo", "a", "crash-points-2", "a" * 20])
def test_names_that_fit_a_namespace_and_a_cgroup(name: str) -> None:
    assert ClusterSpec(name=name).name == name


@pytest.mark.parametrize("name", ["", "Demo", "1st", "-a", "a-", "a_b", "a/b", "..", "a" * 21])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(TestbedError, match="cluster name"):
        ClusterSpec(name=name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"gpus": -1}, "negative"),
        ({"kwok_nodes": -1}, "negative"),
        ({"node_grace_s": -1}, "negative"),
        ({"node_grace_s": 9, "kwok": True}, "KWOK"),
        ({"hpa_sync_period_s": 0}, "positive"),
        ({"real_node": False, "images": ("triton",)}, "real node"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(TestbedError, match=said):
        ClusterSpec(**wrong)  # type: ignore[arg-type]


def test_kwok_runs_when_asked_for_or_needed() -> None:
    assert not ClusterSpec().runs_kwok
    assert ClusterSpec(kwok=True).runs_kwok
    assert ClusterSpec(kwok_nodes=1).runs_kwok


def test_equal_specs_have_equal_json_and_different_ones_do_not() -> None:
    assert ClusterSpec(images=("a",)).to_json() == ClusterSpec(images=("a",)).to_json()
    assert ClusterSpec(gpus=2).to_json() != ClusterSpec(gpus=3).to_json()
