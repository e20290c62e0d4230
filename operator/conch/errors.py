"""Every exception Conch raises on purpose, as one tree.

Only the controller loop turns these into back-off or conditions; everything below it just raises.

    ConchError
    ├── SettingsError              a setting is missing or absurd: the process says so and exits
    ├── UsageError                 a command was called wrongly: one sentence, exit code 2
    ├── ApiError                   the Kubernetes API server answered with an error status
    │   ├── Unauthorized  401
    │   ├── Forbidden     403
    │   ├── NotFound      404
    │   ├── Conflict      409      (also AlreadyExists)
    │   ├── Gone          410      the resource version is too old: list again
    │   ├── Invalid       422      the object is refused: retrying the same one is useless
    │   └── Throttled     429
    ├── ApiUnreachable             no answer at all: connection, TLS, time-out
    ├── LeaseLost                  this process is not the leader (any more) and must not write
    ├── NotOurs                    an object of that name exists and belongs to somebody else
    ├── TritonError                a model server did not answer, or answered nonsense
    ├── GridError                  a source of carbon intensity did not answer, or nonsense
    └── FetchError                 a model could not be staged; carries a Reason and a next step
"""

from __future__ import annotations


class ConchError(Exception):
    """Base of everything Conch raises on purpose."""


class SettingsError(ConchError):
    """A setting is missing or absurd; the message names it."""


class UsageError(ConchError):
    """A command was called in a way that cannot work; the message says what to do instead."""


class ApiError(ConchError):
    """The API server refused a request.

    ``status`` is the HTTP code, ``reason`` the Status object's reason, ``retry_after_s`` the
    server's Retry-After in seconds when it sent one.
    """

    def __init__(
        self, status: int, reason: str = "", message: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        self.reason = reason
        self.message = message or reason
        self.retry_after_s = retry_after_s


class Unauthorized(ApiError):
    """401: the credentials are not accepted (any more)."""


class Forbidden(ApiError):
    """403: RBAC, quota or an admission plugin says no; the message says which."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: somebody else changed it, owns the field, or it exists already."""


class Gone(ApiError):
    """410: the watch position is too old."""


class Invalid(ApiError):
    """422: the object itself is wrong."""


class Throttled(ApiError):
    """429."""


class ApiUnreachable(ConchError):
    """The API server gave no answer."""


class LeaseLost(ConchError):
    """The Lease is lost: this process must not write any more."""


class NotOurs(ConchError):
    """An object of that name exists and belongs to somebody else; the message names it."""


class TritonError(ConchError):
    """A model server did not answer, or answered something that cannot be right."""


class GridError(ConchError):
    """A source of carbon intensity did not answer, or answered something that cannot be right.

    The message never contains credentials.
    """


class FetchError(ConchError):
    """A model could not be staged.

    ``reason`` is a condition reason (see ``api.conditions``); the message says what to do next.
    It never contains credentials.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Throttled,
}


def api_error(
    status: int, reason: str = "", message: str = "", retry_after_s: float | None = None
) -> ApiError:
    """The most specific :class:`ApiError` for an HTTP status."""
    return _BY_STATUS.get(status, ApiError)(status, reason, message, retry_after_s)
