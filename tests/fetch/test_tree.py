from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from conch.errors import FetchError
from conch.fetch import digest, tree
from conch.fetch.limits import Limits
from tests.fetch.archives import MODEL
from tests.fetch.conftest import roomy


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_the_digest_is_what_its_description_says(tmp_path: Path) -> None:
    write(tmp_path, {"b/c": b"2", "b.txt": b"1", "a": b""})
    lines = "".join(
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n"
        for name, content in [("a", b""), ("b.txt", b"1"), ("b/c", b"2")]
    )
    assert digest.tree(tmp_path) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_the_digest_sees_content_names_and_places_only(tmp_path: Path) -> None:
    first = write(tmp_path / "first", MODEL)
    same = write(tmp_path / "same", MODEL)
    (same / "1/model.py").chmod(0o755)
    (same / "empty").mkdir()
    others = [
        write(tmp_path / "content", {**MODEL, "1/model.py": b"other"}),
        write(tmp_path / "name", {"config.pbtxt": MODEL["config.pbtxt"], "1/m": b"x"}),
        write(tmp_path / "more", {**MODEL, "2/model.py": b""}),
    ]
    assert digest.tree(first) == digest.tree(same)
    assert digest.tree(first) not in {digest.tree(other) for other in others}


def test_copies_what_links_inside_point_to(tmp_path: Path, limits: Limits) -> None:
    # The way the Hugging Face cache looks: snapshots of links to blobs.
    volume = write(tmp_path / "volume", {"blobs/0": b"weights", "blobs/dir/x": b"x"})
    snapshot = volume / "snapshots/1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../blobs/0")
    (snapshot / "dir").symlink_to("../../blobs/dir")
    tree.copy(snapshot, tmp_path / "copy", limits, within=volume)
    assert (tmp_path / "copy/model.onnx").read_bytes() == b"weights"
    assert (tmp_path / "copy/dir/x").read_bytes() == b"x"
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("../../secrets", "leads out"),
        ("../../secrets/token", "leads out"),
        ("/etc/passwd", "leads out"),
        ("nowhere", "link to nothing"),
        ("loop", "link to nothing"),
        (".", "nested more than 64"),
    ],
)
def test_links_that_lead_out_or_nowhere(
    target: str, problem: str, tmp_path: Path, limits: Limits
) -> None:
    write(tmp_path, {"secrets/token": b"canary", "volume/model/config.pbtxt": b""})
    (tmp_path / "volume/model/loop").symlink_to(target)
    with pytest.raises(FetchError, match=problem):
        tree.copy(tmp_path / "volume/model", tmp_path / "copy", limits, within=tmp_path / "volume")
    with pytest.raises(FetchError, match=problem):
        digest.tree(tmp_path / "volume/model")


def test_pipes_are_refused_and_not_waited_for(tmp_path: Path, limits: Limits) -> None:
    write(tmp_path / "model", MODEL)
    os.mkfifo(tmp_path / "model/1/pipe")
    with pytest.raises(FetchError, match="1/pipe is neither a file nor a directory"):
        tree.copy(tmp_path / "model", tmp_path / "copy", limits)


def test_copying_keeps_within_the_limits(tmp_path: Path) -> None:
    write(tmp_path / "model", MODEL)
    with pytest.raises(FetchError, match="larger than 10 bytes"):
        tree.copy(tmp_path / "model", tmp_path / "1", roomy(max_bytes=10))
    with pytest.raises(FetchError, match="more than 1 files"):
        tree.copy(tmp_path / "model", tmp_path / "2", roomy(max_files=1))


def test_removing_touches_nothing_behind_links(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"file": b""})
    (outside / "file").chmod(0o400)
    doomed = write(tmp_path / "doomed", {"a/b": b""})
    (doomed / "link").symlink_to(outside)
    (doomed / "a").chmod(0o500)
    tree.remove(doomed)
    assert not doomed.exists()
    assert (outside / "file").stat().st_mode & 0o777 == 0o400
    tree.remove(doomed)  # nothing there is fine


@pytest.mark.parametrize(
    ("files", "root"),
    [
        (["config.pbtxt", "1/model.py"], "."),
        (["1/model.onnx"], "."),
        (["config.pbtxt"], "."),
        (["resnet/config.pbtxt", "README.md"], "resnet"),
        (["resnet/3/model.onnx"], "resnet"),
        (["a/config.pbtxt", "b/config.pbtxt"], None),
        (["model.onnx"], None),
        (["a/b/config.pbtxt"], None),
    ],
)
def test_finds_the_model(files: list[str], root: str | None, tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(files, b""))
    if root is None:
        with pytest.raises(FetchError, match=r"neither config\.pbtxt nor a numbered version"):
            tree.model_root(tmp_path)
    else:
        assert tree.model_root(tmp_path) == tmp_path / root
