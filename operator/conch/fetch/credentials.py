"""Credentials, as files of a mounted Secret. Their values go into requests and nowhere else."""

from __future__ import annotations

import base64
from pathlib import Path

from conch.api.conditions import Reason
from conch.errors import FetchError

_LONGEST = 64 * 1024


class Credentials:
    """The fields of one Secret. Has no repr that shows anything."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory) if directory else None

    @property
    def given(self) -> bool:
        """Whether the model refers to a Secret at all."""
        return self._directory is not None

    def field(self, name: str) -> str:
        """A field's value without surrounding white space; "" when the Secret lacks it.

        Raises FetchError when it holds what no header or URL could carry.
        """
        if self._directory is None:
            return ""
        try:
            raw = (self._directory / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise _unusable(f"{name} cannot be read: {type(error).__name__}") from None
        try:
            value = raw[: _LONGEST + 1].decode("ascii").strip()
        except UnicodeDecodeError:
            raise _unusable(f"{name} holds characters outside ASCII") from None
        if len(value) > _LONGEST or any(not 32 < ord(character) < 127 for character in value):
            raise _unusable(f"{name} is too long or holds white space or control characters")
        return value

    def authorization(self) -> dict[str, str]:
        """The header for https; empty without a Secret."""
        if not self.given:
            return {}
        if token := self.field("bearerToken"):
            return {"Authorization": f"Bearer {token}"}
        username, password = self.field("username"), self.field("password")
        if username and password:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        raise _unusable("it needs bearerToken, or username and password")


def _unusable(problem: str) -> FetchError:
    return FetchError(
        Reason.FETCH_FAILED.value, f"the Secret in source.secretRef is not usable: {problem}"
    )
