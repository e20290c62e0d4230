"""How much GPU memory a replica takes of each of its units: measured, or the sum of what is known.

The sum is of the model files as staged, once per copy that a GPU holds, the inputs and outputs of
their largest batches, the CUDA context and Triton's CUDA pool. It is a floor: what lies between
input and output, and workspaces, is not in it. Two things take nothing
of a GPU here: the pinned pool is host memory, and no model is reloaded beside itself, since a new
model is a new pod. It decides nothing: who is refused for it says ``fit``. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from conch.observe.types import AcceleratorKind, Footprint
from conch.placement.explain import memory
from conch.triton.configuration import ModelConfig, OnGpu

# 107 MiB (RTX 4060 Ti) to 555 MiB (RTX PRO 6000) before any kernel is loaded, more for more
# multiprocessors (ggml-org/llama.cpp#23604), about 300 MiB with PyTorch's (pytorch#107667).
CUDA_CONTEXT_BYTES: Final = 512 << 20
# Default of tritonserver's --cuda-memory-pool-byte-size, per GPU; we render none.
CUDA_POOL_BYTES: Final = 64 << 20

# vLLM and TensorRT-LLM take nine tenths, TensorFlow all, unless told otherwise.
_FULL: Final = 0.8
_NOISE: Final = 0.05  # readings that differ by a smaller share are the same
FALL_S: Final = 6 * 3600.0
"""What was not reached again for so long is no longer told."""


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a server: the bytes of its files, and what of it is on a GPU."""

    file_bytes: int
    on_gpu: OnGpu


def estimated(parts: Sequence[Part], units: int) -> Footprint | None:
    """The sum, for a server on so many units; None if nothing of it is on a GPU."""
    held = [part for part in parts if part.on_gpu.copies]
    if not held:
        return None
    tensors = sum(part.on_gpu.tensor_bytes for part in held)
    total = sum(_on_one(part, units) for part in held) + tensors
    words = (
        f"estimated: {_files(held, units)}{_tensors(tensors)} + {memory(CUDA_CONTEXT_BYTES)} CUDA "
        f"context + {memory(CUDA_POOL_BYTES)} CUDA memory pool"
    )
    return Footprint(total + CUDA_CONTEXT_BYTES + CUDA_POOL_BYTES, words)


def measured(peak_bytes: int) -> Footprint:
    """What the servers were seen to take."""
    return Footprint(peak_bytes, "measured on its servers", measured=True)


def shown(found: Footprint | None) -> str:
    """As the status has it: what was measured; "" if nothing was."""
    return f"{found.memory_bytes >> 20}Mi" if found is not None and found.measured else ""


def used_bytes(
    gpu_bytes: Mapping[str, int],
    model_bytes: Mapping[str, int],
    configs: Mapping[str, ModelConfig] | None,
    kind: AcceleratorKind,
    units: int,
) -> int | None:
    """What one server takes of its fullest unit, by its own readings; None: they don't tell.

    A reading of a whole device is the server's own only if nobody shares it. A backend that takes
    all there is tells nothing about need; where the backends are not known (None), a device that is
    nearly full may be one of theirs.
    """
    if not kind.resource or any(config.on_gpu.fills for config in (configs or {}).values()):
        return None
    if kind.shared_by == 1 and not kind.mig_profile and len(gpu_bytes) == units:
        most = max(gpu_bytes.values())
        full = configs is None and most > _FULL * kind.memory_bytes
        return None if full else most
    if configs is None:
        return None
    on_gpu = [name for name, config in configs.items() if config.on_gpu.copies]
    if on_gpu and _all_in(on_gpu, model_bytes):
        taken = sum(model_bytes[name] for name in on_gpu)
        return taken + CUDA_CONTEXT_BYTES + CUDA_POOL_BYTES
    return None


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that was seen lately: rises at once, falls when it was not reached for hours."""

    memory_bytes: int
    reached_s: float
    since_bytes: int = 0  # the most since it was reached

    def seen(self, used: int, now_s: float) -> Peak:
        """With one more reading."""
        if used > self.memory_bytes * (1 + _NOISE):
            return Peak(used, now_s)
        if used >= self.memory_bytes * (1 - _NOISE):
            return replace(self, reached_s=now_s, since_bytes=0)
        since = max(self.since_bytes, used)
        if now_s - self.reached_s < FALL_S:
            return replace(self, since_bytes=since)
        return Peak(since, now_s)


def _on_one(part: Part, units: int) -> int:
    whole = part.file_bytes * part.on_gpu.copies
    return -(-whole // units) if part.on_gpu.spread else whole


def _files(parts: Sequence[Part], units: int) -> str:
    if len(parts) > 1:
        total = sum(_on_one(part, units) for part in parts)
        return f"{_size(total)} of files of {len(parts)} models, once per instance"
    (part,) = parts
    copies = part.on_gpu.copies
    text = f"{_size(part.file_bytes)} of model files x {copies} instance{'s'[: copies > 1]}"
    return f"{text} / {units} units" if part.on_gpu.spread and units > 1 else text


def _tensors(amount: int) -> str:
    return f" + {_size(amount)} of inputs and outputs of full batches" if amount else ""


def _size(amount: int) -> str:
    return memory(amount) if amount >= 1 << 20 else "under 1Mi"


def _all_in(wanted: Collection[str], there: Mapping[str, int]) -> bool:
    return all(name in there for name in wanted)
