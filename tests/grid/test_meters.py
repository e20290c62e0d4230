"""DCGM's and Kepler's series, with the labels they have in clusters."""

from conch.grid import meters
from conch.grid.meters import Vector


async def read(
    dcgm: Vector = (), gpu: Vector = (), cpu: Vector = (), memory: Vector = ()
) -> meters.Meters:
    asked: list[str] = []

    async def ask(promql: str) -> Vector:
        asked.append(promql)
        families = {"POWER_USAGE": dcgm, "FB_USED": memory, "gpu_watts": gpu, "cpu_watts": cpu}
        for family, answer in families.items():
            if family in promql:
                return answer
        raise AssertionError(promql)

    found = await meters.read(ask)
    assert len(asked) == 4
    return found


async def test_dcgm_with_and_without_the_labels_of_its_own_pod() -> None:
    renamed = {
        "exported_namespace": "team",
        "exported_pod": "resnet-1",
        "namespace": "gpu-operator",
        "pod": "dcgm-exporter-x",
        "UUID": "GPU-1",
    }
    honoured = {"namespace": "team", "pod": "resnet-2", "UUID": "GPU-2"}
    found = await read(dcgm=[(renamed, 61.5), (honoured, 30.0)])
    assert found.gpus == {
        ("team", "resnet-1"): {"GPU-1": 61.5},
        ("team", "resnet-2"): {"GPU-2": 30},
    }


async def test_a_gpu_that_nobody_holds_and_nonsense_are_left_out() -> None:
    free = {"UUID": "GPU-3"}
    mine = {"namespace": "team", "pod": "resnet-2", "UUID": "GPU-2"}
    found = await read(
        dcgm=[(free, 15.0), (mine, float("nan"))],
        gpu=[({"pod_namespace": "team", "pod_name": "a"}, 1e9)],
        cpu=[({"pod_namespace": "team", "pod_name": "a"}, -1.0)],
    )
    assert found == meters.Meters({}, {}, {})


async def test_kepler() -> None:
    pod = {"pod_namespace": "team", "pod_name": "resnet-1"}
    found = await read(gpu=[(pod, 42.3)], cpu=[(pod, 7.5)])
    assert found.pod_gpu_w == {("team", "resnet-1"): 42.3}
    assert found.pod_cpu_w == {("team", "resnet-1"): 7.5}


async def test_memory_that_is_in_use() -> None:
    def gpu(uuid: str, pod: str = "resnet-1") -> dict[str, str]:
        return {"namespace": "team", "pod": pod, "UUID": uuid}

    used = [(gpu("GPU-1"), 2048.0), (gpu("GPU-2"), 1.5), (gpu("GPU-3", "b"), 1e9), ({}, 5.0)]
    found = await read(memory=[*used, (gpu("GPU-4"), 0.0), (gpu("GPU-5"), float("nan"))])
    assert found.gpu_bytes == {("team", "resnet-1"): {"GPU-1": 2 << 30, "GPU-2": 3 << 19}}
    assert found.gpus == {}
