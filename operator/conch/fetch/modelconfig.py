"""Merging the user's overrides into a model's own config.pbtxt.

What nobody overrides stays byte for byte as it is. The text is read and written by protobuf with
Triton's own message types, never by pattern matching. Only that one generated module of
tritonclient is loaded: the package itself would bring gRPC and NumPy (1 s, 40 MiB).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from conch.fetch.refusals import invalid

_FILE = "config.pbtxt"
_LARGEST = 16 << 20
# Of a stream's time to its first response, in ms: the scaler reads a high percentile within a
# bucket. Triton's own four (100, 500, 2000 and 5000 ms) are too coarse for a target between them.
# Not made for the target: changing that would restart the servers.
_FIRST_RESPONSE = "nv_inference_first_response_histogram_ms"
_BUCKETS_MS = tuple(float(f"{10 * 1.3**step:.2g}") for step in range(34))  # 10 ms .. 58 s
_UNIT_US = {"us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def merge(
    directory: Path, name: str, overrides: Mapping[str, Any], reject_after_us: int = 0
) -> bool:
    """Merges ``overrides`` (``spec.models[].config``) into the model's config.pbtxt.

    With ``reject_after_us``, requests that have waited longer are rejected, not answered late.
    Also makes a name in it agree with ``name``: Triton refuses a model whose directory is called
    differently. Returns whether the file was changed. Raises FetchError (ModelInvalid) when the
    file cannot be read as Triton would, or cannot take an override.
    """
    path = directory / _FILE
    text = _read(path)
    named = _parse(text, strict=False).name if text is not None else ""
    if not overrides and not reject_after_us and named in ("", name):
        return False
    # Strictly: what we do not know would be lost when the file is written again.
    config = _parse(text or "", strict=True)
    config.name = name
    _override(config, overrides)
    if reject_after_us:
        _reject(config, reject_after_us)
    from google.protobuf import text_format

    path.write_text(text_format.MessageToString(config), encoding="utf-8")
    return True


def add_buckets(directory: Path) -> bool:
    """Sets the buckets of a model that streams, unless its owner did; whether it changed the file.

    Appended as text: what is there stays byte for byte, known to us or not. For Triton 24.11 and
    later, which know the field (``model_metrics`` of common/protobuf/model_config.proto).
    """
    text = _read(directory / _FILE) or ""
    config = _parse(text, strict=False)
    if not config.model_transaction_policy.decoupled or config.HasField("model_metrics"):
        return False
    from google.protobuf import text_format

    added = _message_types().ModelConfig()
    control = added.model_metrics.metric_control.add()
    control.metric_identifier.family = _FIRST_RESPONSE
    control.histogram_options.buckets[:] = _BUCKETS_MS
    block = text_format.MessageToString(added, as_one_line=True)
    (directory / _FILE).write_text(f"{text}\n{block}\n", encoding="utf-8")
    return True


def check(directory: Path) -> None:
    """Refuses what Triton cannot load and says badly, or not at all.

    24.10 waits for ever, deaf to SIGTERM, when a Python model's file is missing. An ensemble has an
    empty version directory, which neither git nor an object store can hold: it is made.
    """
    text = _read(directory / _FILE)
    config = _parse(text or "", strict=False)
    versions = [path for path in directory.iterdir() if path.is_dir() and path.name.isdecimal()]
    if not versions:
        if config.WhichOneof("scheduling_choice") != "ensemble_scheduling":
            raise invalid("it has no numbered version directory (1/)")
        (directory / "1").mkdir()
    elif config.backend == "python":
        newest = max(versions, key=lambda path: int(path.name))
        name = config.default_model_filename or "model.py"
        if not (newest / name).is_file():
            raise invalid(f"its backend is python, and {newest.name}/{name} is missing")


def loaded_versions(directory: Path) -> frozenset[str]:
    """The version directories that Triton loads by the model's version policy, which it may set."""
    policy = _parse(_read(directory / _FILE) or "", strict=False).version_policy
    found = [path.name for path in directory.iterdir() if path.is_dir() and path.name.isdecimal()]
    match policy.WhichOneof("policy_choice"):
        case "all":
            return frozenset(found)
        case "specific":
            return frozenset(str(version) for version in policy.specific.versions)
        case _:  # without a policy the newest one
            most = policy.latest.num_versions or 1
            return frozenset(sorted(found, key=int)[-most:])


def _override(config: Any, overrides: Mapping[str, Any]) -> None:
    if (size := overrides.get("maxBatchSize")) is not None:
        config.max_batch_size = size
    if (batching := overrides.get("dynamicBatching")) is not None:
        _batch(config, batching)
    if (count := overrides.get("instances")) is not None:
        for group in config.instance_group or [config.instance_group.add()]:
            group.count = count


def _batch(config: Any, batching: Mapping[str, Any]) -> None:
    chosen = config.WhichOneof("scheduling_choice")
    if chosen not in (None, "dynamic_batching"):
        raise invalid(
            f"its config.pbtxt uses {chosen}, which excludes dynamic batching; "
            "remove config.dynamicBatching"
        )
    config.dynamic_batching.SetInParent()  # present, even with nothing set: that switches it on
    if delay := batching.get("maxQueueDelay"):
        config.dynamic_batching.max_queue_delay_microseconds = microseconds(delay)
    if sizes := batching.get("preferredBatchSizes"):
        config.dynamic_batching.preferred_batch_size[:] = sizes


def _reject(config: Any, after_us: int) -> None:
    """Every queue of the model gets a time-out; what else its owner set for a queue stays.

    Clients may shorten the time-out of a request of theirs, as Triton allows, never lengthen it.
    """
    chosen = config.WhichOneof("scheduling_choice")
    if chosen == "ensemble_scheduling":
        return  # it has no queue: its steps are models of the service, and reject
    if chosen not in (None, "dynamic_batching"):
        raise invalid(
            f"its config.pbtxt uses {chosen}, which cannot reject late requests; "
            "remove objectives.latency.rejectLate"
        )
    batching = config.dynamic_batching
    batching.SetInParent()
    for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values()):
        policy.timeout_action = policy.REJECT
        policy.default_timeout_microseconds = after_us
        policy.allow_timeout_override = True


def microseconds(duration: str) -> int:
    """A duration of the API ("2ms", "1.5s"), rounded to microseconds."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)", duration)
    if match is None:
        raise invalid(f"config.dynamicBatching.maxQueueDelay is no duration: {duration!r}")
    return round(Fraction(match.group(1)) * _UNIT_US[match.group(2)])


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > _LARGEST:
            raise invalid(f"its {_FILE} is larger than {_LARGEST} bytes")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise invalid(f"its {_FILE} is not text") from None


def _parse(text: str, *, strict: bool) -> Any:
    from google.protobuf import text_format

    config = _message_types().ModelConfig()
    try:
        return text_format.Parse(text, config, allow_unknown_field=not strict)
    except text_format.ParseError as error:
        advice = "; overrides need a field list that Conch knows" if strict else ""
        raise invalid(f"its {_FILE} cannot be read: {str(error)[:300]}{advice}") from None


@cache
def _message_types() -> Any:
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        raise ImportError("tritonclient is not installed")
    path = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("conch_model_config_pb2", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
