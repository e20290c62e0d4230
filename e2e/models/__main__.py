"""`python -m e2e.models DEST`: the examples and the faulty models as a repository on disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from e2e.models import repository


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.models", description=repository.__doc__)
    parser.add_argument("destination", type=Path, help="folder to write, made when absent")
    parser.add_argument(
        "--only", action="append", choices=repository.NAMES, help="repeat for several; all if left"
    )
    options = parser.parse_args()
    for name in options.only or repository.NAMES:
        print(repository.write(name, options.destination / name))


if __name__ == "__main__":
    main()
