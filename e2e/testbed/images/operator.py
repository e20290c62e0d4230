"""The operator's image by the top-level Containerfile, the one that releases use, on our base.

Decides where its inputs come from: packages are hash-locked wheels fetched beforehand (the build
itself has no network to reach), the base is ours. buildah keeps every step as a layer in a store of
its own under the cache, so a change of the operator's source redoes only the last ones: seconds.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from e2e.testbed import cache, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.images import base, pypi
from e2e.testbed.progress import Progress, long_step

TAG = "docker.io/conch-test/operator:dev"
REPOSITORY = Path(__file__).parents[3]
CONTEXT = ("Containerfile", ".containerignore", "pyproject.toml", "README.md", "LICENSE")
OPERATOR_LOCK = "requirements/operator.lock"
DEV_LOCK = "requirements/dev.lock"
KEEP_ARCHIVES = 3
KEEP_S = 3600.0
"""There is one archive per state of the source: but the newest and those that another run may be
about to import, they go."""
STORE_LIMIT_BYTES = 4 << 30


def archive(progress: Progress) -> Path:
    """The image's archive, named TAG, of the source as it is now."""

    def build(folder: Path) -> None:
        base_layer = base.layer(progress)
        wheels = _wheels(progress)
        if packages.which("buildah") is None:
            packages.install(["buildah"], progress)
        with (
            # Two sources built at once would share the store.
            cache.locked(cache.root() / "locks" / "buildah.lock"),
            long_step(progress, "building the operator image"),
        ):
            _build(base_layer, wheels, folder / "operator.tar")

    prefix = "image-operator-"
    made = cache.entry(f"{prefix}{key()}", build)
    made.touch()
    for old in sorted(cache.root().glob(f"{prefix}*"), key=_used_s)[:-KEEP_ARCHIVES]:
        if _used_s(old) < time.time() - KEEP_S:
            shutil.rmtree(old, ignore_errors=True)
    return made / "operator.tar"


def key() -> str:
    """Hash of everything that the image is made of."""
    digest = hashlib.sha256(base.KEY.encode())
    source = [
        path
        for path in (REPOSITORY / "operator").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and ".egg-info" not in str(path)
    ]
    for path in [*(REPOSITORY / name for name in (*CONTEXT, OPERATOR_LOCK)), *sorted(source)]:
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def requirements() -> str:
    """What the build installs: the operator's lock, and what builds its own package.

    The build tool is locked for developers; its entry is taken from there.
    """
    return (REPOSITORY / OPERATOR_LOCK).read_text() + locked(
        (REPOSITORY / DEV_LOCK).read_text(), "setuptools"
    )


def locked(lock: str, name: str) -> str:
    """The entry of one package in a hash-locked requirements text, continuation lines and all."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*", lock, re.MULTILINE)
    if found is None:
        raise TestbedError(f"{name} is not in the lock file: run make lock")
    return found[0] + "\n"


def _wheels(progress: Progress) -> Path:
    wanted = requirements()

    def build(folder: Path) -> None:
        with long_step(progress, "fetching the operator's packages"):
            pypi.fetch(wanted, folder)

    digest = hashlib.sha256(wanted.encode()).hexdigest()[:10]
    return cache.entry(f"wheels-operator-{digest}", build)


def _build(base_layer: Path, wheels: Path, target: Path) -> None:
    store = cache.root() / "buildah"
    if _size(store) > STORE_LIMIT_BYTES:
        shutil.rmtree(store)
    # The base's tag in the store holds its hash: a new base is never mistaken for the old one.
    base_tag = f"localhost/conch-base:{base.KEY}"
    with tempfile.TemporaryDirectory() as run:
        buildah = [
            # Whatever the build mounts is gone with it, also when it is killed.
            *("unshare", "--mount", "--propagation=private", "buildah"),
            *(f"--root={store}", f"--runroot={run}"),
        ]
        if _run(*buildah, "inspect", "--type=image", base_tag, check=False).returncode != 0:
            empty = _run(*buildah, "from", "scratch").stdout.strip()
            _run(*buildah, "add", "--quiet", empty, str(base_layer), "/")
            _run(*buildah, "commit", "--quiet", "--rm", empty, base_tag)
        _run(
            *(*buildah, "build", "--quiet", "--layers", "--isolation=chroot", "--pull-never"),
            *(f"--build-arg=BASE={base_tag}", f"--volume={wheels}:/wheels:ro"),
            "--build-arg=PIP_OPTIONS=--no-index --find-links=/wheels",
            *("--format=oci", f"--tag={TAG}", "--file=Containerfile", "."),
        )
        # This format alone is left uncompressed, which is most of the time of a rebuild.
        _run(*buildah, "push", "--quiet", TAG, f"docker-archive:{target}:{TAG}")


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if check and result.returncode != 0:
        last = "\n".join((result.stdout + result.stderr).strip().splitlines()[-8:])
        raise TestbedError(f"buildah could not build the operator image:\n{last}")
    return result


def _used_s(path: Path) -> float:
    """When the archive was last asked for, seconds since the epoch."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another tool tidied up first
        return 0.0


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
