"""The one exception that the test bed raises on purpose."""


class TestbedError(Exception):
    """Something the user can act on, said in one sentence; the CLI prints it and exits 1."""

    __test__ = False  # the name starts with Test: pytest must not collect it
