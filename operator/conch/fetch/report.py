"""What a run that staged all models leaves as its container's termination message: their sizes.

The one contract between the puller (writes it) and the operator (reads it from the pod's status).
Sizes alone, each under a hash of what was asked for: no URI, no name, no secret. What is read is
another container's word: whatever is not what we write is ignored, never an error. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_LONGEST: Final = 4096  # the kubelet keeps no more bytes of a termination message
_MOST_MODELS: Final = 64
_MOST_BYTES: Final = 1 << 45  # 32 TiB
_KEY_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class Staged:
    """One model: ``model_key``, and the bytes of the files that a server loads of it."""

    key: str
    file_bytes: int


def model_key(uri: str, digest: str, config: Mapping[str, Any]) -> str:
    """Names a model with its overrides: equal for two pods exactly if they stage the same."""
    asked = json.dumps([uri, digest, config], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()[:_KEY_CHARS]


def text(staged: Iterable[Staged]) -> str:
    """The message; at most 64 models, so it never comes near the kubelet's limit."""
    return json.dumps({"staged": {one.key: one.file_bytes for one in staged}})


def read(message: str) -> dict[str, int]:
    """Bytes by ``model_key``; empty unless the message is one of ours from end to end."""
    if not message.startswith('{"staged"') or len(message) > _LONGEST:
        return {}
    try:
        found = json.loads(message)["staged"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}
    if not isinstance(found, dict) or len(found) > _MOST_MODELS:
        return {}
    for key, size in found.items():
        # A bool is an int, too.
        if len(key) != _KEY_CHARS or type(size) is not int or not 0 < size <= _MOST_BYTES:
            return {}
    return found
