"""Figures of GPU memory that outlive pods and services: what files weigh, what servers take.

Each stands under an entry that names what it depends on; what that is, the caller says. Bounded;
what an earlier operator wrote is believed as far as it can be read. In memory only: ``memory``
writes it down.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from conch.placement.footprint import Peak

PREFIX: Final = "memory-"
"""Of the names of entries."""
_MOST_ENTRIES: Final = 1000
_FILES, _USED = "files", "used"


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    of: Annotated[str, msgspec.Meta(max_length=512)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    kind: Annotated[str, msgspec.Meta(pattern=f"^({_FILES}|{_USED})$")]
    bytes: Annotated[int, msgspec.Meta(gt=0, le=1 << 45)]


_DECODER: Final = msgspec.json.Decoder(_Text)


@dataclass(frozen=True, slots=True)
class Known:
    """One figure. ``of`` is for people; ``at`` is seconds since the epoch."""

    of: str
    at: int
    kind: str  # files, of one model; or used, by a server of these models
    amount_bytes: int

    def text(self) -> str:
        """One line; ``read`` gives the same back."""
        return msgspec.json.encode(_Text(self.of, self.at, self.kind, self.amount_bytes)).decode()


def read(text: str) -> Known:
    """What ``Known.text`` wrote. Raises ValueError for anything else."""
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    return Known(found.of, found.at, found.kind, found.bytes)


class FootprintBook:
    """By entry. ``of`` names in words what a figure belongs to."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._peaks: dict[str, Peak] = {}
        self._is_news = False

    # --- giving -----------------------------------------------------------------------------------

    def files(self, entry: str) -> int | None:
        """Bytes of a model's files; None: not known."""
        known = self._known.get(entry)
        return known.amount_bytes if known is not None else None

    def used(self, entry: str) -> int | None:
        """The most that servers took lately, in bytes; None: not known."""
        peak = self._peaks.get(entry)
        return peak.memory_bytes if peak is not None else None

    # --- taking -----------------------------------------------------------------------------------

    def learn_files(self, entry: str, of: str, size: int) -> None:
        """So large are a model's files."""
        if self.files(entry) != size:
            self._note(entry, Known(of, int(time.time()), _FILES, size))

    def learn_used(self, entry: str, of: str, used: int) -> None:
        """So much a server takes now."""
        now = time.time()
        before = self._peaks.get(entry)
        peak = before.seen(used, now) if before is not None else Peak(used, now)
        if before is None or before.memory_bytes != peak.memory_bytes:
            self._note(entry, Known(of, int(now), _USED, peak.memory_bytes))
        self._peaks[entry] = peak

    # --- remembering ------------------------------------------------------------------------------

    def is_news(self) -> bool:
        """Whether anything is to be written down since this was asked last."""
        news, self._is_news = self._is_news, False
        return news

    def entries(self) -> Mapping[str, Known]:
        """What is worth remembering."""
        return self._known

    def load(self, entry: str, text: str) -> None:
        """Take in what an earlier operator wrote. Raises ValueError for anything else."""
        self._take(entry, read(text))

    def only(self, entries: Collection[str]) -> None:
        """Forget all but these."""
        for entry in self._known.keys() - set(entries):
            del self._known[entry]
            self._peaks.pop(entry, None)

    def _note(self, entry: str, known: Known) -> None:
        if len(self._known) >= 2 * _MOST_ENTRIES:
            newest = sorted(self._known, key=lambda e: -self._known[e].at)
            self.only(newest[:_MOST_ENTRIES])
        self._take(entry, known)
        self._is_news = True

    def _take(self, entry: str, known: Known) -> None:
        self._known[entry] = known
        if known.kind == _USED:
            self._peaks[entry] = Peak(known.amount_bytes, time.time())
