from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.errors import TritonError
from conch.triton.statistics import parse, read

DATA = Path(__file__).parent / "data"
BUSY = (DATA / "24.10-busy.stats.json").read_bytes()


def test_executions_per_batch_size() -> None:
    found = parse(BUSY, ["resnet"])["resnet"]
    assert {size: stat.count for size, stat in found.items()} == {1: 2, 3: 1, 4: 10}
    # ten batches of four, 40 ms + 4 x 10 ms each, and what Triton adds
    assert found[4].compute_s / found[4].count == pytest.approx(0.081, abs=0.002)
    assert found[4].compute_s == pytest.approx((606888 + 807676913 + 6085806) / 1e9)


def test_versions_are_summed() -> None:
    both = b'{"model_stats":[%s,%s]}' % ((BUSY[len(b'{"model_stats":[') : -2],) * 2)
    assert parse(both, ["resnet"])["resnet"][4].count == 20


def test_a_model_without_executions_and_one_that_was_not_asked_for() -> None:
    idle = (DATA / "24.10-idle.stats.json").read_bytes()
    assert parse(idle, ["resnet"]) == {"resnet": {}}
    assert parse(BUSY, ["bert"]) == {"bert": {}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"batch_size":4', b'"batch_size":0'),
        (b'"count":10,"ns":606888', b'"count":-10,"ns":606888'),
        (b'"ns":606888', b'"ns":-606888'),
        (b'"ns":606888', b'"ns":NaN'),
        (b'"count":10', b'"count":"ten"'),
        (b'{"model_stats"', b'{"models"'),
        (b"}]}", b"}]"),
        (b'"ns":606888', b'"ns":606888,"x":' + 100_000 * b"["),
    ],
)
def test_nonsense_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(TritonError, match="statistics"):
        parse(BUSY.replace(old, new), ["resnet"])


@pytest.mark.parametrize(
    ("usage", "gpu_bytes"),
    [
        (b"[]", 0),
        (b'[{"type":"GPU","id":0,"byte_size":1048576}]', 1 << 20),
        (b'[{"type":"GPU","id":0,"byte_size":"1048576"}]', 1 << 20),
        (
            b'[{"type":"CPU","id":0,"byte_size":9},{"type":"gpu","id":0,"byte_size":4},'
            b'{"type":"GPU","id":1,"byte_size":3},{"type":"GPU","id":1,"byte_size":2}]',
            5,
        ),
        (b'[{"type":"GPU","id":0,"byte_size":-1}]', 0),
        (b'[{"type":"GPU","id":0,"byte_size":1e300}]', 0),
        (b'{"GPU":1}', 0),
        (b'"' + b"x" * 1000 + b'"', 0),
    ],
)
def test_what_a_model_took_of_a_gpu_and_nonsense_costs_nothing_else(
    usage: bytes, gpu_bytes: int
) -> None:
    told = BUSY.replace(b'"memory_usage":[]', b'"memory_usage":' + usage)
    found = read(told, ["resnet"])["resnet"]
    assert found.gpu_bytes == gpu_bytes
    assert found.batches == parse(BUSY, ["resnet"])["resnet"]


@given(st.integers(0, len(BUSY)), st.binary(max_size=8))
def test_a_damaged_answer_never_escapes_as_another_error(at: int, noise: bytes) -> None:
    try:
        parse(BUSY[:at] + noise + BUSY[at + 1 :], ["resnet"])
    except TritonError:
        pass
