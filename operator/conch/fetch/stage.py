"""Staging one model: get it, check it, merge the overrides, move it into the repository.

A model appears in the repository whole or not at all, by one rename. A marker beside it says what
was staged, so a second run (init containers run again when a pod's sandbox is remade) has nothing
to do. Triton takes every directory of the repository for a model: work directories start with
``.tmp-`` and are gone before it starts.
"""

from __future__ import annotations

import errno
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from conch.api.conditions import Reason
from conch.errors import FetchError
from conch.fetch import admission, digest, https, modelconfig, tree
from conch.fetch.archive import unpack
from conch.fetch.credentials import Credentials
from conch.fetch.limits import Limits, mebibytes
from conch.fetch.request import ModelRequest

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_WORK = ".tmp-"
_MARKER = ".staged-"
_BAKED = ".baked-"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the administrator allows."""

    allowed_sources: tuple[str, ...]
    allow_private_hosts: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, in a few words, and how large the files are that a server loads."""

    words: str
    loaded_bytes: int


def stage(model: ModelRequest, repository: Path, rules: Rules, limits: Limits) -> Outcome:
    """Stages ``model`` below ``repository``.

    Raises FetchError, whose message continues the sentence "model NAME from URI: …".
    """
    if not _NAME.fullmatch(model.name):
        raise FetchError(Reason.MODEL_INVALID.value, "its name is not a valid model name")
    refusal = admission.why_refused(model.uri, rules.allowed_sources)
    if refusal is not None:
        raise FetchError(Reason.SOURCE_NOT_ALLOWED.value, f"the URI {refusal}")
    final, marker = repository / model.name, repository / f"{_MARKER}{model.name}"
    fingerprint = hashlib.sha256(model.to_json().encode()).hexdigest()
    if final.is_dir() and _content(marker) == fingerprint:
        return Outcome("already staged", _loaded_bytes(final))
    work = repository / f"{_WORK}{model.name}"
    tree.remove(work)
    work.mkdir(parents=True)
    try:
        found = _fetched(model, work, rules, limits)
        modelconfig.check(found)
        modelconfig.merge(found, model.name, model.config, model.reject_after_us)
        if model.stream_buckets:
            modelconfig.add_buckets(found)
        files = sum(path.stat().st_size for _, path in tree.walk(found))
        limits.check()
        marker.unlink(missing_ok=True)
        if final.exists():
            final.rename(work / "replaced")
        found.rename(final)
        marker.write_text(fingerprint, encoding="ascii")
        return Outcome(f"staged, {mebibytes(files)}", _loaded_bytes(final))
    except OSError as error:
        raise _local(error) from None
    finally:
        tree.remove(work)


def _loaded_bytes(staged: Path) -> int:
    """The files of the versions that are loaded, and those beside the versions; at least 1."""
    loaded = modelconfig.loaded_versions(staged)
    total = 0
    for relative, path in tree.walk(staged):
        top, _, below = relative.partition("/")
        if not below or not top.isdecimal() or top in loaded:
            total += path.stat().st_size
    return max(1, total)


def clean(repository: Path) -> None:
    """Removes work directories and baked copies, whoever left them: Triton would load them."""
    for path in repository.iterdir():
        if path.name.startswith((_WORK, _BAKED)):
            tree.remove(path)


def _fetched(model: ModelRequest, work: Path, rules: Rules, limits: Limits) -> Path:
    """The model's directory, below ``work``, with the content its digest promises."""
    uri = admission.split(model.uri)
    credentials = Credentials(model.secret_dir)
    content = work / "content"
    if uri.scheme == "https":
        archive = work / "archive"
        seen = https.download(
            model.uri,
            archive,
            credentials,
            limits,
            allowed=rules.allowed_sources,
            allow_private=rules.allow_private_hosts,
        )
        _verify(model.digest, seen)
        unpack(archive, content, limits)
        archive.unlink()
        return tree.model_root(content)
    if uri.scheme == "s3":
        from conch.fetch import s3  # lazily: it brings the object-store client

        private = rules.allow_private_hosts
        s3.download(model.uri, content, credentials, limits, allow_private=private)
    elif uri.scheme == "pvc":
        _copy_from_claim(Path(model.source_dir), uri.path, content, limits)
    else:
        baked = Path(model.source_dir)
        if not baked.is_dir():
            raise _missing("the runtime's image has no such directory")
        tree.make_writable(baked)
        baked.rename(content)
    if model.digest:
        _verify(model.digest, digest.tree(content))
    return tree.model_root(content)


def _copy_from_claim(mount: Path, path: str, target: Path, limits: Limits) -> None:
    source = (mount / path.strip("/")).resolve()
    if not source.is_relative_to(mount.resolve()):
        raise FetchError(Reason.SOURCE_NOT_ALLOWED.value, "the path leads out of the volume")
    if not source.is_dir():
        raise _missing("the volume has no such directory")
    tree.copy(source, target, limits, within=mount)


def _verify(promised: str, seen: str) -> None:
    if promised and promised != seen:
        raise FetchError(
            Reason.DIGEST_MISMATCH.value, f"its digest is {seen}, source.digest says {promised}"
        )


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _missing(message: str) -> FetchError:
    return FetchError(Reason.MODEL_NOT_FOUND.value, f"{message}; check the URI")


def _local(error: OSError) -> FetchError:
    """Trouble on our side of the transfer: the volume."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(Reason.FETCH_FAILED.value, "no space is left on the node for the model")
    if error.errno == errno.ENAMETOOLONG:
        return FetchError(Reason.MODEL_INVALID.value, "it holds a file name that is too long")
    what = error.strerror or type(error).__name__
    return FetchError(Reason.FETCH_FAILED.value, f"its files cannot be read or written: {what}")
