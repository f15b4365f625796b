"""Every error this package raises on purpose.

    AutopilotError
    ├── UsageError            the caller's words are off (exit code 2, HTTP 422)
    │   ├── UnknownNameError  no such service, operation, run, session (names the nearest; HTTP 404)
    │   └── InvalidFlowError  a file that is not Python, or holds no flow
    ├── OutputError           a full or broken disk under what was worked out
    ├── ConfigurationError    settings, versions or policy that cannot work
    ├── ConflictError         somebody else got there first, or the file changed meanwhile (HTTP 409)
    ├── PrefectError          the Prefect API refused or could not be reached
    ├── StoreError            our own database cannot be read or written
    ├── ServiceError          a service answered with an error; keeps what diagnosis needs
    ├── LanguageModelError    a language model gave no usable answer; the offline reading stands
    ├── DeliveryError         a notification did not arrive
    ├── SignatureError        a webhook is not signed as its service signs (HTTP 401)
    └── ProofError            a rewrite could not be proven; it stays a proposal

Each says in one sentence what happened and what to do. ``permanent`` tells whether the same call
can succeed later without a change: only the adapter that knows the other side decides it.
"""

from __future__ import annotations


class AutopilotError(Exception):
    """Base of the tree; ``exit_code`` is what the command line ends with."""

    exit_code = 1

    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent

    def __reduce__(self) -> tuple[object, ...]:
        # Prefect pickles exceptions of runs; arguments other than the message need this.
        return (_restore, (type(self), str(self), self.__dict__))


class UsageError(AutopilotError):
    """The caller asked for something that cannot be done as said."""

    exit_code = 2


_MAKES = {"service connection block": "prefect-autopilot services connect SERVICE"}
_LISTS = {
    "active token": "prefect-autopilot tokens list",
    "alert": "prefect-autopilot alerts list",
    "deployment": "prefect deployment ls",
    "flow run": "prefect flow-run ls",
    "rule": "prefect-autopilot rules list",
    "service": "prefect-autopilot services list",
    "session": "prefect-autopilot sessions",
    "silence": "prefect-autopilot alerts silences",
    "workflow": "prefect deployment ls",
}
"""The command that lists what there is of a kind, for a name that is near to none."""


class UnknownNameError(UsageError):
    """Nothing has this name; ``nearest`` holds the closest names there are."""

    exit_code = 1

    def __init__(self, kind: str, name: str, nearest: tuple[str, ...] = ()) -> None:
        if nearest:
            hint = f"; did you mean {' or '.join(nearest)}?"
        else:
            hint = f"; {_LISTS[kind]} lists those there are." if kind in _LISTS else "."
        made = f" Store one with {_MAKES[kind]}." if kind in _MAKES else ""
        super().__init__(f"There is no {kind} named {name!r}{hint}{made}")
        self.kind = kind
        self.name = name
        self.nearest = nearest


class InvalidFlowError(UsageError):
    """A source file cannot be read as Python, or holds no Prefect flow."""

    exit_code = 1


class OutputError(AutopilotError):
    """What was worked out cannot be written: the disk is full or broken."""


class ConfigurationError(AutopilotError):
    """Settings, installed versions or a policy file cannot work."""


class ConflictError(AutopilotError):
    """Another actor was first, or the thing changed since it was read."""


class PrefectError(AutopilotError):
    """The Prefect API could not be reached or refused the call; ``status`` is its HTTP status."""

    def __init__(self, message: str, *, permanent: bool, status: int | None = None) -> None:
        super().__init__(message, permanent=permanent)
        self.status = status


class StoreError(AutopilotError):
    """Our own database cannot be opened, read or written."""


class ServiceError(AutopilotError):
    """A service call failed.

    The text carries, in a fixed form, what httpx's own message hides and diagnosis needs: service,
    operation, its effect (safe, idempotent or unsafe), HTTP status, Retry-After in seconds, content
    type, request id and a redacted head of the body.
    """

    def __init__(
        self,
        reason: str,
        *,
        service: str,
        operation: str,
        effect: str,
        permanent: bool,
        status: int | None = None,
        retry_after_s: float | None = None,
        content_type: str | None = None,
        request_id: str | None = None,
        connection: str | None = None,
        body_head: str = "",
        code: str | None = None,
        keyed: bool = False,
    ) -> None:
        facts = {
            "service": service,
            "operation": operation,
            "connection": connection,
            "effect": effect,
            "status": status,
            "retry_after_s": retry_after_s,
            "content_type": content_type,
            "request_id": request_id,
        }
        told = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
        body = f" body={body_head!r}" if body_head else ""
        super().__init__(f"{reason} [{told}]{body}", permanent=permanent)
        self.reason = reason
        self.service = service
        self.operation = operation
        self.effect = effect
        self.status = status
        self.retry_after_s = retry_after_s
        self.connection = connection
        self.request_id = request_id
        self.code = code
        """The service's own word for what is wrong, where it has one."""
        self.keyed = keyed
        """Whether the call carried a key by which the service knows a repetition, and does it only once."""


class LanguageModelError(AutopilotError):
    """A language model was not asked, did not answer, or answered nothing that can be used."""


class DeliveryError(AutopilotError):
    """A notification channel did not take the message."""


class SignatureError(AutopilotError):
    """A webhook is unsigned, wrongly signed or too old; ``reason`` says which in one word."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProofError(AutopilotError):
    """A rewrite could not be proven equal to its original."""


def _restore(cls: type[AutopilotError], message: str, state: dict[str, object]) -> AutopilotError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error
