"""GPU models as GPU Feature Discovery labels them (k8s-device-plugin, August 2026). Pure."""

from __future__ import annotations

from dataclasses import dataclass

RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class GpuModel:
    product: str
    memory_mib: int
    family: str
    compute: tuple[int, int]
    machine: str
    units: int
    """How many of them a node of this kind has."""
    mig_capable: bool = False


L4 = GpuModel("NVIDIA-L4", 23034, "ada-lovelace", (8, 9), "g2-standard-48", 4)
L40S = GpuModel("NVIDIA-L40S", 46068, "ada-lovelace", (8, 9), "g6e.48xlarge", 8)
A100 = GpuModel("NVIDIA-A100-SXM4-80GB", 81920, "ampere", (8, 0), "p4de.24xlarge", 8, True)
H100 = GpuModel("NVIDIA-H100-80GB-HBM3", 81559, "hopper", (9, 0), "p5.48xlarge", 8, True)
T4 = GpuModel("Tesla-T4", 15360, "turing", (7, 5), "n1-standard-16", 4)
FLEET = (H100, A100, L40S, L4, T4)
"""KWOK nodes take these in turn."""


def labels(model: GpuModel, count: int) -> dict[str, str]:
    """Labels of a node with `count` unshared GPUs of one model."""
    major, minor = model.compute
    bare = {
        "gpu.present": "true",
        "gpu.count": str(count),
        "gpu.product": model.product,
        "gpu.memory": str(model.memory_mib),
        "gpu.family": model.family,
        "gpu.compute.major": str(major),
        "gpu.compute.minor": str(minor),
        "gpu.machine": model.machine,
        "gpu.mode": "compute",
        "gpu.replicas": "1",
        "gpu.sharing-strategy": "none",
        "mig.capable": str(model.mig_capable).lower(),
        "mig.strategy": "single",
        "mps.capable": "false",
        "vgpu.present": "false",
        "cuda.driver-version.major": "560",
        "cuda.driver-version.minor": "35",
        "cuda.driver-version.revision": "03",
        "cuda.driver-version.full": "560.35.03",
        "cuda.runtime-version.major": "12",
        "cuda.runtime-version.minor": "6",
        "cuda.runtime-version.full": "12.6",
        # Deprecated names that older discovery releases write, and that people still select on.
        "cuda.driver.major": "560",
        "cuda.driver.minor": "35",
        "cuda.driver.rev": "03",
        "cuda.runtime.major": "12",
        "cuda.runtime.minor": "6",
    }
    prefixed = {f"nvidia.com/{key}": value for key, value in bare.items()}
    return {**prefixed, "feature.node.kubernetes.io/pci-10de.present": "true"}
