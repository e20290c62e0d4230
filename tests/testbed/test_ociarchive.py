import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from e2e.testbed import ociarchive


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("content")
    (folder / "link").symlink_to("deep/file")
    return folder


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile()]
        return {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    data = files[f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"]
    assert len(data) == descriptor["size"]
    assert hashlib.sha256(data).hexdigest() == descriptor["digest"].removeprefix("sha256:")
    return data


def test_every_descriptor_names_a_blob_of_its_size_and_digest(tree: Path, tmp_path: Path) -> None:
    archive = ociarchive.write(
        tmp_path / "image.tar", "localhost/x:1", {"/opt/t": tree}, {"Entrypoint": ["/opt/t/link"]}
    )
    files = read(archive)
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/x:1"
    manifest = json.loads(blob(files, entry))
    config = json.loads(blob(files, manifest["config"]))
    assert config["config"] == {"Entrypoint": ["/opt/t/link"]}
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    blob(files, layer)


def test_a_layer_keeps_links_and_gives_everything_to_root(tree: Path, tmp_path: Path) -> None:
    ociarchive.write_layer(tmp_path / "layer.tar", {"/opt/t": tree})
    with tarfile.open(tmp_path / "layer.tar") as tar:
        members = {member.name: member for member in tar}
    assert set(members) == {"opt/t", "opt/t/deep", "opt/t/deep/file", "opt/t/link"}
    assert members["opt/t/link"].linkname == "deep/file"
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}


def test_the_same_files_give_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    one = ociarchive.write(tmp_path / "one.tar", "localhost/x:1", {"/t": tree})
    (tree / "deep" / "file").touch()
    two = ociarchive.write(tmp_path / "two.tar", "localhost/x:1", {"/t": tree})
    assert one.read_bytes() == two.read_bytes()


def test_layers_stack_in_the_given_order(tree: Path, tmp_path: Path) -> None:
    layers = [tmp_path / "low.tar", tmp_path / "high.tar"]
    for number, layer in enumerate(layers):
        ociarchive.write_layer(layer, {f"/{number}": tree / "deep" / "file"})
    archive = ociarchive.write_layers(tmp_path / "image.tar", "localhost/x:1", layers)
    files = read(archive)
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    digests = [f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}" for layer in layers]
    assert [layer["digest"] for layer in manifest["layers"]] == digests


def test_a_failed_write_leaves_no_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ociarchive.write(tmp_path / "image.tar", "localhost/x:1", {"/x": tmp_path / "absent"})
    assert list(tmp_path.iterdir()) == []
