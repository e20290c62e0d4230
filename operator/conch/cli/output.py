"""A file that is either written whole or not at all.

Whether it can be written is found out at the start, before minutes of work.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from conch.errors import UsageError


class Report:
    """As a context: the file to write, or None when ``path`` is None.

    What is written appears under ``path`` when the context ends well, and never otherwise.
    Raises UsageError when nothing can be written there.
    """

    def __init__(self, path: Path | None) -> None:
        # Through a link to what it means: a replaced link would be a surprise.
        self._path = path.resolve() if path is not None else None
        self._shown = path
        self._temporary: Path | None = None

    def __enter__(self) -> Self | None:
        if self._path is None:
            return None
        if self._path.exists() and not self._path.is_file():
            raise UsageError(f"{self._shown} is not a plain file: name another")
        try:
            if self._path.exists():
                with self._path.open("ab"):  # its directory may allow what the file does not
                    pass
            number, name = tempfile.mkstemp(prefix=".conch-", dir=self._path.parent)
            os.close(number)
        except OSError as error:
            raise self._refused(error) from error
        self._temporary = Path(name)
        return self

    def write(self, text: str) -> None:
        """The whole content."""
        if self._temporary is None:
            raise ValueError("a Report is written within its context")
        try:
            self._temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._temporary is None or self._path is None:
            return
        try:
            if kind is None:
                self._temporary.chmod(0o666 & ~_umask())
                self._temporary.replace(self._path)
        except OSError as failed:
            raise self._refused(failed) from failed
        finally:
            self._temporary.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"{self._shown} can't be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
