import re
from pathlib import Path

import pytest

from e2e.models import repository

WHOLE = {"config.pbtxt", "1/model.py"}


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, WHOLE) for name in ("resnet", "hang", "slow-load", "fail-load", "corrupt", "oom")),
        ("tiny-onnx", {*WHOLE, "1/model.onnx"}),
        ("no-version", {"config.pbtxt"}),
        ("no-file", {"config.pbtxt", "1/README"}),
    ],
)
def test_layout(tmp_path: Path, name: str, expected: set[str]) -> None:
    assert files(repository.write(name, tmp_path / "any")) == expected


@pytest.mark.parametrize("name", repository.NAMES)
def test_any_model_can_be_staged_under_any_name(tmp_path: Path, name: str) -> None:
    config = (repository.write(name, tmp_path / "any") / "config.pbtxt").read_text()
    assert not re.search(r"^name", config, re.MULTILINE)


def test_a_model_never_replaces_what_is_there(tmp_path: Path) -> None:
    repository.write("resnet", tmp_path / "any")
    with pytest.raises(FileExistsError):
        repository.write("hang", tmp_path / "any")


def test_a_parameter_is_given_once() -> None:
    config = (repository.SOURCES / "resnet" / "config.pbtxt").read_text()
    changed = repository.with_parameters(config, {"BASE_MS": 5, "HANG": 1})
    assert re.findall(r'key: "BASE_MS".*string_value: "(.*?)"', changed) == ["5"]
    assert re.findall(r'key: "HANG".*string_value: "(.*?)"', changed) == ["1"]
    assert changed.count("PER_ITEM_MS") == 1


def test_every_parameter_of_a_faulty_model_is_one_that_the_model_reads() -> None:
    source = (repository.SOURCES / "resnet" / "model.py").read_text()
    for parameters in repository.PARAMETERS.values():
        for name in parameters:
            assert f'parameter("{name}"' in source
