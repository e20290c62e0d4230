"""``python -m conch.fetch``."""

from __future__ import annotations

import sys

from conch.fetch import main

sys.exit(main(sys.argv[1:]))
