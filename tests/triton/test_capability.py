import pytest

from conch.triton.capability import support


@pytest.mark.parametrize(
    ("release", "capability", "cuda"),
    [("23.05", (6, 0), 12), ("24.10", (6, 0), 12), ("25.07", (6, 0), 12), ("25.08", (7, 5), 13)],
)
def test_support_by_release(release: str, capability: tuple[int, int], cuda: int) -> None:
    found = support(release)
    assert (found.min_compute_capability, found.cuda) == (capability, cuda)


def test_the_runtime_may_override_the_capability() -> None:
    assert support("25.08", "7.0").min_compute_capability == (7, 0)


@pytest.mark.parametrize("text", ["7", "7.", "seven", "7.5.1"])
def test_nonsense_capability_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="compute capability"):
        support("24.10", text)
