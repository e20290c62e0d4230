"""The container images of the test bed as OCI archives, built once into the cache.

`ensure(names, progress)` is all that others need. One module per image: base.py (a minimal Debian
with Python 3.11, under both others), triton.py (a real tritonserver out of its PyPI wheel),
operator.py (the top-level Containerfile on that base); pypi.py fetches their wheels. No network is
used once an archive is in the cache, and no container daemon ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.testbed.errors import TestbedError
from e2e.testbed.images import operator, triton
from e2e.testbed.progress import Progress

BUILDERS: dict[str, Callable[[Progress], Path]] = {
    "triton": triton.archive,
    "operator": operator.archive,
}
TAGS = {"triton": triton.TAG, "operator": operator.TAG}
"""What the archive of each name is called once it is imported."""


def ensure(names: Iterable[str], progress: Progress) -> list[Path]:
    """The archives of the named images, in that order, built side by side when not cached.

    Raises TestbedError for a name that is unknown and for a build that fails.
    """
    wanted = list(names)
    unknown = sorted(set(wanted) - set(BUILDERS))
    if unknown:
        raise TestbedError(f"unknown image {unknown[0]}: there are {', '.join(BUILDERS)}")
    with ThreadPoolExecutor(max_workers=len(BUILDERS)) as pool:
        return list(pool.map(lambda name: BUILDERS[name](progress), wanted))
