"""What is known of GPUs without asking anybody: memory, compute capability, watts, list prices.

A default for clusters in which nobody said better: labels of a node and an AcceleratorClass come
first. Every figure was read somewhere (``SOURCES``); what was not read is None, never a guess. List
prices are those of the smallest machine type that has the GPU, divided by its GPUs: they include
its CPUs and memory. Pure data and lookups; it knows no node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aws": "list prices us-east-1, 2026-07-20 (aws/karpenter-provider-aws, generated)",
        "gcp": "list prices us-central1, 2026-08-03 (cloudpilot-ai/karpenter-provider-gcp)",
        "azure": "list prices eastus, 2026-06-18 (Azure/karpenter-provider-azure, generated)",
        "ec2": "EC2 instance types, 2026-08-21 (aws/karpenter-provider-aws, generated)",
        "gfd": "nvidia.com/gpu.memory as GPU Feature Discovery reports it",
        "nominal": "the vendor's nominal size",
        "cuda": "developer.nvidia.com/cuda-gpus",
        "mlco2": "mlco2/impact data/gpus.csv, 2026-03-09",
        "ga": "GreenAlgorithms data/latest/TDP_gpu.csv, 2025-02-05",
        "spec": "specification pages of others than NVIDIA",
        "jetson": "Jetson module specifications: the largest power mode",
        # Derived there: Teads' ratio of idle to full power of EC2 bare metal, applied to TDPs.
        "ccf": "Cloud Carbon Footprint, Methodology, appendix III, 2024-03-25",
    }
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it was read: a key of ``SOURCES``."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class ListPrice:
    """US dollars per hour of one GPU, and whose list it is. None: that list has none."""

    on_demand: float | None
    spot: float | None
    cloud: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """One product. None: not read anywhere."""

    name: str
    memory_mib: Figure
    compute_capability: tuple[int, int] | None
    max_watts: Figure | None = None
    idle_watts: Figure | None = None
    prices: tuple[ListPrice, ...] = ()
    mig: Mapping[str, int] | None = None  # profile → how many of it one GPU holds
    arch: str = ""  # of the only host it is built with; "": any
    # A Jetson's, with the driver that comes with its board: servers' images do not run on it.
    integrated: bool = False

    def price(self, cloud: str = "") -> ListPrice | None:
        """The list price at ``cloud``; where that has none, the first list that has one.

        A spot price is another list's where the chosen one has none, unless that exceeds the
        price on demand: then it would say nothing about this cloud.
        """
        ranked = sorted(self.prices, key=lambda price: price.cloud != cloud)
        chosen = next((price for price in ranked if price.on_demand is not None), None)
        if chosen is None or chosen.on_demand is None or chosen.spot is not None:
            return chosen
        spots = (price.spot for price in ranked if price.spot is not None)
        spot = next((spot for spot in spots if spot <= chosen.on_demand), None)
        return ListPrice(chosen.on_demand, spot, chosen.cloud)


def _aws(on_demand: float, machine_gpus: int = 1) -> ListPrice:
    return ListPrice(round(on_demand / machine_gpus, 4), None, "aws")


def _gcp(on_demand: float, spot: float) -> ListPrice:
    return ListPrice(on_demand, spot, "gcp")


def _azure(on_demand: float, machine_gpus: int = 1) -> ListPrice:
    return ListPrice(round(on_demand / machine_gpus, 4), None, "azure")


def _jetson(name: str, compute_capability: tuple[int, int], max_watts: Figure) -> Gpu:
    memory = Figure(0, "jetson")
    return Gpu(name, memory, compute_capability, max_watts, arch="arm64", integrated=True)


# Profiles: NVIDIA/mig-parted, 2026-08-21. Media and graphics variants (+me, +gfx) are left out.
_MIG_A30 = {"1g.6gb": 4, "2g.12gb": 2, "4g.24gb": 1}
_MIG_40 = {"1g.5gb": 7, "1g.10gb": 4, "2g.10gb": 3, "3g.20gb": 2, "4g.20gb": 1, "7g.40gb": 1}
_MIG_80 = {"1g.10gb": 7, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "4g.40gb": 1, "7g.80gb": 1}
_MIG_H200 = {"1g.18gb": 7, "1g.35gb": 4, "2g.35gb": 3, "3g.71gb": 2, "7g.141gb": 1}
_MIG_B200 = {"1g.23gb": 7, "1g.45gb": 4, "2g.45gb": 3, "3g.90gb": 2, "7g.180gb": 1}
_MIG_B300 = {"1g.34gb": 7, "7g.269gb": 1}  # those between were not read
_MIG_RTX_6000 = {"1g.24gb": 4, "2g.48gb": 2, "4g.96gb": 1}

_T4_PRICES = (_aws(0.526), _azure(0.526))
_A100_40_PRICES = (_aws(21.957642, 8), _gcp(3.6734, 1.928), _azure(27.197, 8))
_A100_80_PRICES = (_aws(27.44705, 8), _gcp(5.0688, 2.7595))
_H100_PRICES = (_aws(6.88), _gcp(11.0612, 6.3262), _azure(98.32, 8))
_RTX_6000_PRICES = (_aws(3.3631), _gcp(4.4999, 1.7998))

_GPUS: Final = (
    Gpu("p4", Figure(7680, "nominal"), (6, 1), Figure(75, "ga"), Figure(9, "ccf")),
    Gpu("p100", Figure(16384, "nominal"), (6, 0), Figure(250, "ga"), Figure(36, "ccf")),
    Gpu(
        "v100",
        Figure(16384, "nominal"),
        (7, 0),
        Figure(300, "ga"),
        Figure(35, "ccf"),
        (_aws(3.06), _azure(3.06)),
    ),
    Gpu("v100-32gb", Figure(32768, "ec2"), (7, 0), Figure(300, "mlco2"), Figure(35, "ccf")),
    Gpu("t4", Figure(15360, "gfd"), (7, 5), Figure(70, "mlco2"), Figure(8, "ccf"), _T4_PRICES),
    Gpu("t4g", Figure(15360, "gfd"), (7, 5), prices=(_aws(0.42),), arch="arm64"),
    Gpu("a10", Figure(22888, "ec2"), (8, 6), Figure(150, "spec"), prices=(_azure(3.2),)),
    Gpu(
        "a10g",
        Figure(22888, "ec2"),
        (8, 6),
        Figure(150, "mlco2"),
        Figure(18, "ccf"),
        (_aws(1.006),),
    ),
    Gpu("a30", Figure(24576, "nominal"), (8, 0), mig=_MIG_A30),
    Gpu("a40", Figure(46068, "gfd"), (8, 6), Figure(300, "spec")),
    Gpu(
        "a100",
        Figure(40960, "ec2"),
        (8, 0),
        Figure(400, "mlco2"),
        Figure(46, "ccf"),
        _A100_40_PRICES,
        _MIG_40,
    ),
    Gpu(
        "a100-pcie",
        Figure(40960, "nominal"),
        (8, 0),
        Figure(250, "ga"),
        mig=_MIG_40,
    ),
    Gpu(
        "a100-80gb",
        Figure(81920, "ec2"),
        (8, 0),
        Figure(400, "mlco2"),
        Figure(46, "ccf"),
        _A100_80_PRICES,
        _MIG_80,
    ),
    Gpu(
        "a100-80gb-pcie",
        Figure(81920, "nominal"),
        (8, 0),
        Figure(300, "ga"),
        None,
        (_azure(3.673),),
        _MIG_80,
    ),
    Gpu(
        "l4",
        Figure(22888, "ec2"),
        (8, 9),
        Figure(72, "mlco2"),
        None,
        (_aws(0.8048), _gcp(0.7068, 0.3973)),
    ),
    # A machine type with an eighth, a quarter, a half of one: the list has a price of its own.
    Gpu("l4-3gb", Figure(2861, "ec2"), (8, 9), Figure(9, "mlco2"), prices=(_aws(0.202),)),
    Gpu("l4-6gb", Figure(5722, "ec2"), (8, 9), Figure(18, "mlco2"), prices=(_aws(0.475),)),
    Gpu("l4-11gb", Figure(11444, "ec2"), (8, 9), Figure(36, "mlco2"), prices=(_aws(0.95),)),
    Gpu("l40", Figure(46068, "gfd"), (8, 9), Figure(300, "spec")),
    Gpu("l40s", Figure(45776, "ec2"), (8, 9), Figure(350, "mlco2"), None, (_aws(1.861),)),
    Gpu("h100", Figure(81559, "gfd"), (9, 0), Figure(700, "mlco2"), None, _H100_PRICES, _MIG_80),
    Gpu("h100-pcie", Figure(81559, "gfd"), (9, 0), Figure(350, "spec"), mig=_MIG_80),
    Gpu("h100-nvl", Figure(96256, "nominal"), (9, 0), Figure(400, "mlco2"), None, (_azure(6.98),)),
    Gpu("gh200", Figure(98304, "nominal"), (9, 0), arch="arm64"),
    Gpu(
        "h200",
        Figure(143771, "gfd"),
        (9, 0),
        Figure(700, "spec"),
        None,
        (_aws(63.296, 8),),
        _MIG_H200,
    ),
    Gpu("h200-nvl", Figure(143771, "gfd"), (9, 0), Figure(600, "spec"), mig=_MIG_H200),
    Gpu(
        "b200",
        Figure(183359, "ec2"),
        (10, 0),
        Figure(1000, "spec"),
        None,
        (_aws(113.9328, 8),),
        _MIG_B200,
    ),
    Gpu("b300", Figure(275040, "ec2"), (10, 3), prices=(_aws(142.416, 8),), mig=_MIG_B300),
    Gpu(
        "gb200",
        Figure(189471, "gfd"),
        (10, 0),
        prices=(_azure(108.16, 4),),
        mig=_MIG_B200,
        arch="arm64",
    ),
    Gpu("rtx-pro-4500", Figure(32768, "ec2"), (12, 0), Figure(165, "spec"), None, (_aws(2.52),)),
    Gpu(
        "rtx-pro-6000",
        Figure(97887, "gfd"),
        (12, 0),
        Figure(600, "spec"),
        None,
        _RTX_6000_PRICES,
        _MIG_RTX_6000,
    ),
    # Jetson: GPU and host share the memory, so that no fixed size of it is the GPU's.
    _jetson("xavier", (7, 2), Figure(30, "mlco2")),
    _jetson("orin", (8, 7), Figure(60, "jetson")),
    _jetson("orin-nx", (8, 7), Figure(25, "jetson")),
    _jetson("orin-nano", (8, 7), Figure(25, "jetson")),
    _jetson("thor", (11, 0), Figure(130, "jetson")),
)

CATALOGUE: Final[Mapping[str, Gpu]] = MappingProxyType({gpu.name: gpu for gpu in _GPUS})

# Names that say the same in other words: GKE's, EC2's, and module names that carry the size last.
_ALIASES: Final = {
    "rtx-pro-server-6000": "rtx-pro-6000",
    "jetson-agx-orin": "orin",
    "agx-orin": "orin",
    "jetson-orin-nx": "orin-nx",
    "jetson-orin-nano": "orin-nano",
    "jetson-agx-thor": "thor",
    "jetson-agx-xavier": "xavier",
    "agx-xavier": "xavier",
}
_SIZE: Final = re.compile(r"[0-9]+gb")
_PROFILE: Final = re.compile(r"([0-9]{1,2})g\.([0-9]{1,3})gb")
_SLICES: Final = 8  # of memory, of every GPU with seven compute slices


@lru_cache(maxsize=1024)
def lookup(product: str) -> Gpu | None:
    """The product that a slug names: the entry all of whose words it holds, the longest such.

    ``a100-sxm4-80gb`` → a100-80gb, ``h100-80gb-hbm3`` → h100, ``rtx-pro-6000-blackwell`` →
    rtx-pro-6000, ``a100-sxm4-40gb-mig-1g.5gb`` → a100. None: never heard of it.
    """
    text = re.split(r"-(?:mig|shared)(?:-|$)", product)[0]
    for alias, name in _ALIASES.items():
        if text == alias or text.startswith(f"{alias}-"):
            text = text.replace(alias, name, 1)
            break
    words = text.split("-")
    held = set(words)
    best: Gpu | None = None
    most = 0
    for gpu in _GPUS:
        needed = gpu.name.split("-")
        if needed[0] == words[0] and held.issuperset(needed) and len(needed) > most:
            best, most = gpu, len(needed)
    return best


def mig_share(profile: str, memory_mib: float) -> float | None:
    """The part of a GPU that one instance of a MIG profile takes, by memory: ``1g.5gb`` of 40960
    MiB → 1/8, ``1g.6gb`` of 24576 MiB → 1/4. None: not a profile, or larger than the GPU.
    """
    match = _PROFILE.match(profile)
    if match is None or memory_mib <= 0:
        return None
    eighths = round(_SLICES * int(match[2]) * 1024 / memory_mib)
    return max(1, eighths) / _SLICES if eighths <= _SLICES else None


def mig_memory_mib(profile: str) -> int:
    """The nominal memory of a MIG profile; 0 when it names none."""
    match = _PROFILE.match(profile)
    return int(match[2]) * 1024 if match else 0
