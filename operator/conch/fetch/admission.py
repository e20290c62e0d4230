"""Which model URIs may be used at all. Pure: also asked by the operator before any pod exists.

A URI is what a user writes, and the puller runs inside the cluster's network: anything that could
mean two things to two parsers is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("s3", "https", "pvc", "image")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


def why_refused(uri: str, allowed_prefixes: Iterable[str]) -> str | None:
    """Why ``uri`` must not be fetched, as the end of a sentence; None when it may.

    A prefix matches whole path segments and whole host names: ``https://models.example`` does not
    allow ``https://models.example.evil/``.
    """
    malformed = _why_malformed(uri)
    if malformed is not None:
        return malformed
    prefixes = list(allowed_prefixes)
    if not any(_starts_with(uri, prefix) for prefix in prefixes):
        return f"is not below any prefix the administrator allows ({', '.join(prefixes) or 'none'})"
    return None


def split(uri: str) -> SplitResult:
    """``urlsplit`` for a URI that was not refused."""
    return urlsplit(uri)


def shown(uri: str) -> str:
    """The part of ``uri`` that may be printed: no userinfo, no query, no fragment."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the model's URI"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _starts_with(uri: str, prefix: str) -> bool:
    if not prefix or not uri.startswith(prefix):
        return False
    rest = uri[len(prefix) :]
    return prefix.endswith("/") or not rest or rest.startswith("/")


def _why_malformed(uri: str) -> str | None:
    if not re.fullmatch(r"[!-~]+", uri) or "\\" in uri:
        return "holds characters that do not belong in a URI"
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "is not a valid URI"
    if parts.scheme not in SCHEMES:
        return f"starts with none of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
    if "@" in parts.netloc:
        return "holds credentials; put them into a Secret and name it in source.secretRef"
    if ".." in re.split(r"[/\\]", unquote(parts.path)):
        return "holds a '..' path segment"
    if parts.scheme == "image":
        return None if not parts.netloc and parts.path.strip("/") else "must read image:///path"
    if not _HOST.fullmatch(parts.netloc.rsplit(":", 1)[0] if port else parts.netloc):
        return "has no valid host, bucket or claim name"
    if parts.scheme in ("s3", "pvc") and (port or parts.query or parts.fragment):
        return f"must read {parts.scheme}://name/path"
    return None
