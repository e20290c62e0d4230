"""A real tritonserver (24.10, CPU, Python backend) as an image, out of the wheel of PyTriton.

NVIDIA's own image has 18 GB and wants a registry; this one has a third of a gigabyte and the same
server binary. With it come NumPy and ONNX Runtime for the Python backend, the example models under
/opt/models (`image:///opt/models/<name>`) and the faulty ones under /opt/models-faulty.
It runs as uid 1000 on a read-only root without capabilities; /dev/shm and /tmp must be writable
(the Python backend aborts without a temporary folder).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.models import repository
from e2e.testbed import cache, ociarchive
from e2e.testbed.errors import TestbedError
from e2e.testbed.images import base, pypi
from e2e.testbed.progress import Progress, long_step

TAG = "docker.io/conch-test/tritonserver:24.10-cpu"
PINS = (
    pypi.Pin(
        "nvidia-pytriton",
        "0.7.0",
        "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
    ),
    # The stub of 24.10 is built against NumPy 1.
    pypi.Pin("numpy", "1.26.4", "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5"),
    # Without its dependencies: those serve the tools beside the runtime, which are left out.
    pypi.Pin(
        "onnxruntime",
        "1.20.1",
        "5eec64c0269dcdb8d9a9a53dc4d64f87b9e0c19801d9321246a53b7eb5a7d1bc",
    ),
)
SERVER = "opt/tritonserver"
# The stub's interpreter is isolated and ignores PYTHONPATH: only Debian's own folder is searched.
PACKAGES = "usr/local/lib/python3.11/dist-packages"
ORT_TOOLS = ("transformers", "tools", "quantization", "datasets", "training")
CONFIG = {
    "User": "1000:1000",
    # As in NVIDIA's images, whose entrypoint runs its arguments: pods name `tritonserver` first.
    "Entrypoint": ["/usr/bin/env"],
    "Cmd": ["tritonserver", "--model-repository=/models"],
    "Env": [
        f"PATH=/{SERVER}/bin:/usr/local/bin:/usr/bin:/bin",
        # The wheel's library paths are relative to the wheel's own tree.
        f"LD_LIBRARY_PATH=/{SERVER}/lib",
    ],
    "ExposedPorts": {"8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}},
}


def archive(progress: Progress) -> Path:
    """The image's OCI archive, named TAG."""

    def build(folder: Path) -> None:
        base_layer = base.layer(progress)
        with (
            long_step(progress, "building the tritonserver image"),
            tempfile.TemporaryDirectory(dir=folder) as scratch,
        ):
            work = Path(scratch)
            pypi.fetch("\n".join(map(str, PINS)), work)
            root = work / "root"
            _server(next(work.glob("nvidia_pytriton-*.whl")), work / "wheel", root / SERVER)
            _packages(work, root / PACKAGES)
            for name in repository.NAMES:
                kept = "models" if name in repository.EXAMPLES else "models-faulty"
                repository.write(name, root / "opt" / kept / name)
            _compile(base_layer, root, work / "chroot")
            own = work / "layer.tar"
            ociarchive.write_layer(own, {"/opt": root / "opt", f"/{PACKAGES}": root / PACKAGES})
            ociarchive.write_layers(folder / "triton.tar", TAG, [base_layer, own], CONFIG)

    return cache.entry(f"image-triton-{key()}", build) / "triton.tar"


def key() -> str:
    """Hash of everything that the image is made of."""
    digest = hashlib.sha256(repr((base.KEY, PINS, CONFIG)).encode())
    models = Path(repository.__file__).parent.rglob("*")
    for path in sorted({*models, Path(__file__)}):
        if path.suffix in (".py", ".pbtxt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def _server(wheel: Path, unpacked: Path, target: Path) -> None:
    shutil.unpack_archive(wheel, unpacked, "zip")
    wheel.unlink()
    server = unpacked / "pytriton" / "tritonserver"
    shutil.copytree(unpacked / "nvidia_pytriton.libs", target / "lib")
    # 30 MiB for a stub of another Python.
    for other_python in (target / "lib").glob("libpython3-*"):
        other_python.unlink()
    for part in ("bin", "backends", "caches"):
        shutil.copytree(server / part, target / part)
    stub = "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / "3.11" / stub, target / "backends/python" / stub)
    for program in (target / "bin/tritonserver", target / "backends/python" / stub):
        program.chmod(0o755)


def _packages(wheels: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        shutil.unpack_archive(wheel, target, "zip")
        wheel.unlink()
    for tests in [*target.glob("numpy/**/tests"), *(target / "onnxruntime" / t for t in ORT_TOOLS)]:
        shutil.rmtree(tests, ignore_errors=True)


def _compile(base_layer: Path, root: Path, chroot: Path) -> None:
    """Byte code for the image's Python, by that Python: a read-only root can't cache its own.

    Without it each model instance takes seconds to import NumPy and ONNX Runtime.
    """
    chroot.mkdir()
    _run("tar", "-xf", str(base_layer), "-C", str(chroot))
    inside = chroot / PACKAGES
    shutil.rmtree(inside, ignore_errors=True)
    (root / PACKAGES).rename(inside)
    compile_all = ["python3", "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash"]
    _run("chroot", str(chroot), *compile_all, f"/{PACKAGES}")
    inside.rename(root / PACKAGES)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        last = "".join(result.stderr.strip().splitlines()[-1:])
        raise TestbedError(f"{command[0]} failed while building the tritonserver image: {last}")
