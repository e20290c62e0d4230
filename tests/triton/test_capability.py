import pytest

from conch.api.v1alpha1 import TritonRuntimeSpec
from conch.triton.capability import Support, support, support_of


@pytest.mark.parametrize(
    ("release", "capability", "cuda", "driver"),
    [
        ("23.05", (6, 0), 12, 450),
        ("24.10", (6, 0), 12, 470),
        ("25.07", (6, 0), 12, 470),
        ("25.08", (7, 5), 13, 470),
    ],
)
def test_support_by_release(
    release: str, capability: tuple[int, int], cuda: int, driver: int
) -> None:
    assert support(release) == Support(capability, cuda, driver)


def test_the_runtime_may_override_the_capability() -> None:
    assert support("25.08", "7.0") == Support((7, 0), 13, 470)


def test_the_runtime_may_override_the_driver() -> None:
    runtime = TritonRuntimeSpec(image="triton", release="25.08", min_driver=580)
    assert support_of(runtime) == Support((7, 5), 13, 580)


@pytest.mark.parametrize("text", ["7", "7.", "seven", "7.5.1"])
def test_nonsense_capability_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="compute capability"):
        support("24.10", text)
