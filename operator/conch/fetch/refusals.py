"""The two refusals that several modules of the puller make: of a model, and of a way to it."""

from __future__ import annotations

from conch.api.conditions import Reason
from conch.errors import FetchError


def invalid(message: str) -> FetchError:
    """What was fetched is no model that Triton could serve."""
    return FetchError(Reason.MODEL_INVALID.value, message)


def failed(message: str) -> FetchError:
    """It could not be fetched; another attempt may do."""
    return FetchError(Reason.FETCH_FAILED.value, message)
