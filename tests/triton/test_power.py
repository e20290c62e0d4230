"""Triton's power meters."""

import pytest

from conch.triton.power import GpuPower, read

TEXT = b"""# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 27.01
nv_gpu_power_usage{gpu_uuid="GPU-2"} 31.5
nv_gpu_power_limit{gpu_uuid="GPU-1"} 72
# TYPE nv_energy_consumption counter
nv_energy_consumption{gpu_uuid="GPU-1"} 9380.053
nv_inference_count{model="m",version="1"} 5
"""


def test_watts_and_joules_of_each_gpu() -> None:
    assert read(TEXT) == {"GPU-1": GpuPower(27.01, 9380.053), "GPU-2": GpuPower(31.5, 0.0)}


def test_without_a_gpu_there_is_nothing() -> None:
    assert read(b'nv_inference_count{model="m",version="1"} 5\n') == {}


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "21000", "watts"])
def test_a_reading_that_cannot_be_is_left_out(value: str) -> None:
    text = f'nv_gpu_power_usage{{gpu_uuid="G"}} {value}\n'.encode()
    assert read(text + b'nv_energy_consumption{gpu_uuid="G"} 5\n') == {"G": GpuPower(None, 5.0)}


def test_a_server_that_makes_up_gpus_is_bounded() -> None:
    text = "".join(f'nv_gpu_power_usage{{gpu_uuid="G{i}"}} 5\n' for i in range(500))
    assert len(read(text.encode() + b"\xff\xfe")) == 64
