"""The `conch` command, also `kubectl conch`. Start reading at app.py.

Thin: it reads arguments, calls what does the work and prints. `fleet`, `twin` and `report` take the
arguments of the larger commands; `explain`, `decision`, `capacity`, `place` and `spending` make
values of what was read, `screen` and the modules named `…_screen` or `…_page` say how they look.
`conch fetch` is what every serving pod runs first, so it is told apart before anything heavy is
imported.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the console scripts; ends the process."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["fetch"]:
        from conch.fetch import main as fetch

        sys.exit(fetch(arguments[1:]))
    from conch.cli.app import run

    sys.exit(run(arguments))
