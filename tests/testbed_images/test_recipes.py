"""What decides whether an image is built again, and what goes into it."""

import re
from pathlib import Path

import pytest

from e2e.testbed import images
from e2e.testbed.errors import TestbedError
from e2e.testbed.images import operator, pypi, triton
from e2e.testbed.progress import Progress

LOCK = """\
before==1 \\
    --hash=sha256:aa
wanted==2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
wanted-too==3 \\
    --hash=sha256:dd
"""


def test_an_unknown_image_is_refused_before_anything_is_built() -> None:
    with pytest.raises(TestbedError, match="unknown image nonsense: there are triton, operator"):
        images.ensure(["triton", "nonsense"], Progress(quiet=True))


def test_one_package_of_a_lock_file() -> None:
    assert operator.locked(LOCK, "wanted").split() == [
        *("wanted==2.0", "\\", "--hash=sha256:bb", "\\", "--hash=sha256:cc")
    ]
    assert operator.locked(LOCK, "wanted-too").endswith("--hash=sha256:dd\n")
    with pytest.raises(TestbedError, match="missing is not in the lock file"):
        operator.locked(LOCK, "missing")


def test_every_package_of_the_operator_image_is_pinned_by_hash() -> None:
    entries = re.split(r"\n(?=\S)", operator.requirements().strip())
    assert len(entries) > 20
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_wheels_are_for_the_image_not_for_this_machine() -> None:
    assert "--platform=manylinux_2_35_x86_64" in pypi._platforms()
    assert "--platform=manylinux_2_37_x86_64" not in pypi._platforms()


def test_a_changed_source_is_another_operator_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*operator.CONTEXT, operator.OPERATOR_LOCK, "operator/conch/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(operator, "REPOSITORY", tmp_path)
    before = operator.key()
    (tmp_path / "operator/conch/__pycache__").mkdir()
    (tmp_path / "operator/conch/__pycache__/a.pyc").write_text("compiled")
    assert operator.key() == before
    (tmp_path / "operator/conch/a.py").write_text("changed")
    assert operator.key() != before


def test_a_changed_pin_is_another_triton_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = triton.key()
    monkeypatch.setattr(triton, "PINS", triton.PINS[:-1])
    assert triton.key() != before
