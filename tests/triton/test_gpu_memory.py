"""Triton's reading of GPU memory."""

import pytest

from conch.triton.gpu_memory import read

TEXT = b"""# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 13214154752
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 1.5e+09
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 24152899584
"""


def test_bytes_in_use_of_each_gpu() -> None:
    assert read(TEXT) == {"GPU-1": 13214154752, "GPU-2": 1500000000}


def test_without_a_gpu_there_is_nothing() -> None:
    assert read(b'nv_inference_count{model="m",version="1"} 5\n') == {}


@pytest.mark.parametrize("value", ["NaN", "-1", "0", "+Inf", "1e300", "bytes"])
def test_a_reading_that_cannot_be_is_left_out(value: str) -> None:
    text = f'nv_gpu_memory_used_bytes{{gpu_uuid="G"}} {value}\n'.encode()
    assert read(TEXT + text).keys() == {"GPU-1", "GPU-2"}


def test_a_server_that_makes_up_gpus_is_bounded() -> None:
    text = "".join(f'nv_gpu_memory_used_bytes{{gpu_uuid="G{i}"}} 5\n' for i in range(500))
    assert len(read(text.encode() + b"\xff\xfe")) == 64
