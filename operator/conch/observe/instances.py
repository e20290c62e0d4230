"""Which GPU, and how many, an EC2 instance type has: a NodePool that names types leaves it unsaid.

Names as in Karpenter's label ``karpenter.k8s.aws/instance-gpu-name``. A type that is not here is
not known, which is never an error: a NodePool can name GPUs by itself.

Source: AWS, "Amazon EC2 instance types, accelerated computing" (specifications of GPU instances).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_LIKE_G5: Final = {
    **dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1),
    **dict.fromkeys(("12xlarge", "24xlarge"), 4),
    "48xlarge": 8,
}
# Family → GPU, and how many of it each size has.
_FAMILIES: Final[Mapping[str, tuple[str, Mapping[str, int]]]] = {
    "g4dn": (
        "t4",
        {
            **dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1),
            "12xlarge": 4,
            "metal": 8,
        },
    ),
    "g5": ("a10g", _LIKE_G5),
    "g6": ("l4", _LIKE_G5),
    "gr6": ("l4", {"4xlarge": 1, "8xlarge": 1}),
    "g6e": ("l40s", _LIKE_G5),
    "p3": ("v100", {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8}),
    "p3dn": ("v100", {"24xlarge": 8}),
    "p4d": ("a100", {"24xlarge": 8}),
    "p4de": ("a100", {"24xlarge": 8}),
    "p5": ("h100", {"4xlarge": 1, "48xlarge": 8}),
    "p5e": ("h200", {"48xlarge": 8}),
    "p5en": ("h200", {"48xlarge": 8}),
    "p6-b200": ("b200", {"48xlarge": 8}),
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """GPUs of one size of instance."""

    gpu: str
    count: int


def of_type(name: str) -> Fitted | None:
    """Of one instance type, such as g6.12xlarge; None: none, or not known."""
    family, _, size = name.rpartition(".")
    gpu, sizes = _FAMILIES.get(family, ("", {}))
    return Fitted(gpu, sizes[size]) if size in sizes else None


def of_family(name: str) -> tuple[Fitted, ...]:
    """Of all sizes of a family, such as g6."""
    gpu, sizes = _FAMILIES.get(name, ("", {}))
    return tuple(Fitted(gpu, count) for count in sorted(set(sizes.values())))
