"""`python -m e2e.testbed.images [triton] [operator]`: build what is missing, print the paths."""

from __future__ import annotations

import argparse
import sys

from e2e.testbed import images
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.testbed.images", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(images.BUILDERS))
    names = parser.parse_args().names or list(images.BUILDERS)
    try:
        for path in images.ensure(names, Progress()):
            print(path)
    except TestbedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
