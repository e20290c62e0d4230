import re

import pytest

from e2e.testbed import gpus

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


@pytest.mark.parametrize("model", gpus.FLEET, ids=lambda model: model.product)
def test_labels_are_ones_the_api_server_takes(model: gpus.GpuModel) -> None:
    for key, value in gpus.labels(model, model.units).items():
        assert VALUE.fullmatch(value), key
        assert len(key.partition("/")[2]) <= 63


def test_an_l4_is_described_as_discovery_does() -> None:
    found = gpus.labels(gpus.L4, 4)
    assert found["nvidia.com/gpu.product"] == "NVIDIA-L4"
    assert found["nvidia.com/gpu.memory"] == "23034"
    assert found["nvidia.com/gpu.count"] == "4"
    assert found["nvidia.com/gpu.family"] == "ada-lovelace"
    assert (found["nvidia.com/gpu.compute.major"], found["nvidia.com/gpu.compute.minor"]) == (
        "8",
        "9",
    )
    assert found["nvidia.com/mig.capable"] == "false"
