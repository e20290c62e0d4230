"""Lays the models out as Triton reads them: <name>/config.pbtxt and <name>/1/<files>.

Decides names, folder layout and the parameters of the faulty variants; the models themselves read
the parameters. No config has a `name`, so that a model can be staged under any.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from e2e.models.tiny_onnx import onnxfile

SOURCES = Path(__file__).parent
EXAMPLES = ("resnet", "tiny-onnx")

PARAMETERS: dict[str, dict[str, int]] = {
    "hang": {"HANG": 1},
    "slow-load": {"LOAD_MS": 20_000},
    "fail-load": {"FAIL_LOAD": 1},
    "stub-oom": {"EAT_MIB": 4096},
}
"""Faulty variants of `resnet` that differ from it only by parameters."""


def _corrupt(model: Path) -> None:
    (model / "config.pbtxt").write_text("this is { not a model configuration\n")


def _no_version(model: Path) -> None:
    shutil.rmtree(model / "1")


def _no_file(model: Path) -> None:
    (model / "1" / "model.py").unlink()
    # Object stores and git keep no empty folders.
    (model / "1" / "README").write_text("model.py is missing on purpose\n")


def _oom(model: Path) -> None:
    # The stub is a process of its own: eating there leaves the server alive. Triton itself fills
    # the input of a warm-up request, so the container's first process is what the kernel ends.
    (model / "config.pbtxt").write_text(OOM_CONFIG)


OOM_CONFIG = """\
backend: "python"
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
model_warmup [ {
  name: "more than any memory limit of the tests"
  batch_size: 1
  inputs { key: "X" value: { data_type: TYPE_FP32 dims: [ 1073741824 ] zero_data: true } }
} ]
"""

DAMAGES: dict[str, Callable[[Path], None]] = {
    "oom": _oom,
    "corrupt": _corrupt,
    "no-version": _no_version,
    "no-file": _no_file,
}
"""Faulty variants of `resnet` with other files: unreadable ones, but for `oom`."""

FAULTY = (*PARAMETERS, *DAMAGES)
NAMES = (*EXAMPLES, *FAULTY)


def write(name: str, destination: Path) -> Path:
    """Write the model `name` (one of NAMES) as the folder `destination`, which must be absent."""
    source = SOURCES / ("tiny_onnx" if name == "tiny-onnx" else "resnet")
    version = destination / "1"
    version.mkdir(parents=True)
    shutil.copyfile(source / "model.py", version / "model.py")
    config = (source / "config.pbtxt").read_text()
    (destination / "config.pbtxt").write_text(with_parameters(config, PARAMETERS.get(name, {})))
    if name == "tiny-onnx":
        (version / "model.onnx").write_bytes(onnxfile.perceptron())
    if name in DAMAGES:
        DAMAGES[name](destination)
    return destination


def with_parameters(config: str, parameters: Mapping[str, float]) -> str:
    """A config.pbtxt with the parameters set; text format lets a map go on in a second block.

    A key given twice is an error to the reader, so a default written in the file is dropped first.
    """
    kept = [
        line
        for line in config.splitlines()
        if not any(f'key: "{key}"' in line for key in parameters)
    ]
    added = [
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
        for key, value in parameters.items()
    ]
    return "\n".join([*kept, *added]) + "\n"
