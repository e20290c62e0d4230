"""The model puller: what the init container `fetch` runs (``conch fetch``).

Decides whether a model may be fetched, gets it, checks it, merges the overrides and puts it into
Triton's repository in one step. It must never print or store a credential, and never leave half a
model behind. The way in: ``request`` (what is asked), ``run`` (all models), ``stage`` (one model),
then one module per kind of source.

Kept light: importing this package imports nothing heavy, and the puller never loads the operator's
libraries; every pod waits for its start. Threads and the standard library's HTTP client, because
an address must be pinned per connection and 0.2 s of import is all it may cost.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the puller with command-line ``arguments``; returns the exit code."""
    from conch.fetch.run import main as run  # lazily: render imports this package for its types

    return run(arguments)
