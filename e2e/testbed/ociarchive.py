"""OCI image archives written directly: no container engine, no root, the same bytes every time.

Layers are left uncompressed: the archive is read once, on the machine that wrote it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def write(
    path: Path, name_tag: str, files: Mapping[str, Path], config: Mapping[str, Any] | None = None
) -> Path:
    """One image of one layer at `path`.

    `files` maps a path inside the image to a local file, link or folder (taken whole); owners
    become root, times zero. `config` is the image configuration's `config` object (Entrypoint,
    Cmd, Env, User, WorkingDir, ExposedPorts, …). The file appears whole or not at all.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        layer = Path(scratch) / "layer.tar"
        write_layer(layer, files)
        return write_layers(path, name_tag, [layer], config)


def write_layer(path: Path, files: Mapping[str, Path]) -> None:
    """A layer's tar of the given files, in a fixed order."""

    def ours(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for inside, local in sorted(files.items()):
            tar.add(local, arcname=inside.lstrip("/"), recursive=True, filter=ours)


def write_layers(
    path: Path, name_tag: str, layers: Sequence[Path], config: Mapping[str, Any] | None = None
) -> Path:
    """An image of ready-made uncompressed layer tars, the lowest first."""
    partial = path.with_name(f".{path.name}.partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        _add_bytes(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        described = [_add_file(archive, layer) for layer in layers]
        image = {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "config": dict(config or {}),
            # Uncompressed: the layer's digest is also its diff id.
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _add_blob(archive, _CONFIG, image),
            "layers": described,
        }
        entry = _add_blob(archive, _MANIFEST, manifest)
        entry["annotations"] = {
            "io.containerd.image.name": name_tag,
            "org.opencontainers.image.ref.name": name_tag.rpartition(":")[2],
        }
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
        _add_bytes(archive, "index.json", json.dumps(index).encode())
    partial.replace(path)
    return path


def _add_blob(archive: tarfile.TarFile, media_type: str, document: Any) -> dict[str, Any]:
    data = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add_bytes(archive, f"blobs/sha256/{digest}", data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _add_file(archive: tarfile.TarFile, layer: Path) -> dict[str, Any]:
    with layer.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        handle.seek(0)
        member = tarfile.TarInfo(f"blobs/sha256/{digest}")
        member.size = layer.stat().st_size
        if member.name not in archive.getnames():
            archive.addfile(member, handle)
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": member.size}


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
