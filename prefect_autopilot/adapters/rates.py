"""How fast a connection may call: a token bucket of our own, and the limits a service tells."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import anyio

LONGEST_WAIT_S = 10.0
"""Seconds a call waits at most for a limit to end that the service told of; a longer one it meets itself."""

LONGEST_REFUSAL_S = 60.0
"""Seconds that calls are held back at most after a refusal; a longer one is left to a remedy."""

_YEAR_S = 365 * 24 * 3600
_IN_MILLISECONDS = 1e11  # later than the year 5000 in seconds
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset")
_RESET_AFTER = "x-ratelimit-reset-after"


def believable(seconds: float) -> float | None:
    """Return a wait in seconds, not below zero; None for more than a year or no number."""
    return max(0.0, seconds) if math.isfinite(seconds) and seconds <= _YEAR_S else None


def reset_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds until the limit that ``headers`` tell of begins anew, None when they do not.

    Services write the wait itself, or the moment in seconds or milliseconds since 1970.
    """
    told = next((headers[name] for name in (_RESET_AFTER, *_RESET) if name in headers), "")
    try:
        moment = float(told)
    except ValueError:
        return None
    if moment <= _YEAR_S:
        return believable(moment)
    return believable((moment / 1000 if moment > _IN_MILLISECONDS else moment) - now.timestamp())


class RateGate:
    """Lets the calls of one connection through as fast as they may go; threads may share it."""

    def __init__(
        self,
        per_s: float | None = None,
        *,
        time_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Allow ``per_s`` calls a second, one second's worth of them at once; None: as many as come."""
        self.per_s = per_s
        self._time_s = time_s
        self._sleep = sleep
        self._full = max(1.0, per_s or 1.0)
        self._tokens = self._full
        self._seen_at = time_s()
        self._closed_until = -math.inf
        self._lock = threading.Lock()

    async def enter(self) -> None:
        """Wait until a call may be made."""
        wait = self.reserve()
        if wait > 0:
            await self._sleep(wait)

    def reserve(self) -> float:
        """Take the next place and return the seconds until it is due."""
        if self.per_s is None and self._closed_until == -math.inf:
            return 0.0
        with self._lock:
            now = self._time_s()
            wait = max(0.0, self._closed_until - now)
            if self.per_s is not None:
                grown = self._tokens + (now - self._seen_at) * self.per_s
                self._tokens, self._seen_at = min(self._full, grown) - 1, now
                wait = max(wait, -self._tokens / self.per_s)
            return wait

    def close(self, seconds: float) -> None:
        """Hold the next calls back after a refusal that told how long; no longer than LONGEST_REFUSAL_S."""
        with self._lock:
            until = self._time_s() + min(seconds, LONGEST_REFUSAL_S)
            self._closed_until = max(self._closed_until, until)

    def learn(self, headers: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        """Hold the next calls back until the reset when an answer says that none remains."""
        told = next((headers[name] for name in _REMAINING if name in headers), None)
        if told is None or told.strip() not in ("0", "0.0"):
            return
        wait = reset_after(headers, clock())
        if wait is not None and wait <= LONGEST_WAIT_S:
            with self._lock:
                self._closed_until = max(self._closed_until, self._time_s() + wait)


_gates: dict[tuple[str, float | None], RateGate] = {}
_lock = threading.Lock()


def gate_of(connection: str, per_s: float | None) -> RateGate:
    """Return the gate that all clients of a connection in this process share."""
    with _lock:
        return _gates.setdefault((connection, per_s), RateGate(per_s))
