"""Every error skilld shows to a caller or an operator, as one tree.

    SkilldError
    ├── InvalidRequestError     the caller must change the request
    ├── NotFoundError           no such skill or engine
    ├── OverloadedError         a limit is reached; come back after `retry_after_s`
    ├── DeadlineError           cannot be, or was not, finished in time
    ├── CancelledError          the caller left
    ├── UnavailableError        draining, or the engine was refused at load
    ├── EngineError             our fault: a step failed or an answer broke its own contract
    ├── UpdateError             a release, a job or its metadata was refused, or an update failed
    └── ArtefactError           a file on disk is wrong: recipe, manifest, skill, checkpoint, config

Every error carries a `reason`: an UPPER_SNAKE_CASE word that is the same on every transport
and never changes its meaning. Each transport has one table from error class to its own status.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class SkilldError(Exception):
    """Root of the tree.

    Attributes:
        reason: machine-readable word, stable across releases and transports.
        message: one sentence or two for a person: what was wrong, where, what to do.
        metadata: further facts as text, for machines.
    """

    default_reason = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata


class InvalidRequestError(SkilldError):
    """The request can never succeed as it is.

    Attributes:
        violations: pairs of (JSON path in the input, what is wrong there); may be empty.
    """

    default_reason = "INVALID_INPUT"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        violations: Sequence[tuple[str, str]] = (),
        **metadata: str,
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.violations = tuple(violations)


class NotFoundError(SkilldError):
    """No skill or engine of that name is known here."""

    default_reason = "UNKNOWN_SKILL"


class OverloadedError(SkilldError):
    """A bounded resource is full right now.

    Attributes:
        retry_after_s: when a retry has a fair chance, in seconds.
    """

    default_reason = "QUEUE_FULL"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        reason: str | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after_s = retry_after_s


class DeadlineError(SkilldError):
    """The deadline passed, or passed before the work could start."""

    default_reason = "DEADLINE_EXCEEDED"


class CancelledError(SkilldError):
    """The caller cancelled, or went away."""

    default_reason = "CANCELLED"


class UnavailableError(SkilldError):
    """The skill exists but cannot be called now.

    Attributes:
        retry_after_s: when a retry has a fair chance, in seconds; None when nobody knows.
    """

    default_reason = "DRAINING"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        reason: str | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after_s = retry_after_s


class EngineError(SkilldError):
    """A step failed, or an answer broke the contract it was decoded under."""

    default_reason = "ENGINE_FAILED"


class UpdateError(SkilldError):
    """A release, a job or signed metadata was refused, or an update did not come to its end.

    What the box served before, it still serves.
    """

    default_reason = "UPDATE_FAILED"


class ArtefactError(SkilldError):
    """A file that an operator or engineer made is wrong.

    Attributes:
        path: the file or folder.
        key: dotted key inside the file, "" when the whole file is meant.
        hint: what to do about it, "" when nothing better than the message is known.
    """

    default_reason = "BAD_ARTEFACT"

    def __init__(
        self,
        message: str,
        *,
        path: Path,
        key: str = "",
        hint: str = "",
        reason: str | None = None,
    ) -> None:
        where = f"{path}: {key}: " if key else f"{path}: "
        super().__init__(where + message + (f" ({hint})" if hint else ""), reason=reason)
        self.path = path
        self.key = key
        self.hint = hint
