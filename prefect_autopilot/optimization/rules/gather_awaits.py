"""Overlap independent awaits: each is started before the first is waited for.

Before::

    profile = await read_profile(user)
    history = await read_history(user)

After::

    profile_started = asyncio.create_task(read_profile(user))
    history_started = asyncio.create_task(read_history(user))
    profile = await profile_started
    history = await history_started

Unlike ``asyncio.gather`` this raises what the original raises: the first failure in the order of the source.
"""

from __future__ import annotations

from prefect_autopilot.models import Strategy
from prefect_autopilot.optimization.grouping import find_groups
from prefect_autopilot.optimization.plan import Rule

RULE = Rule(
    name="gather_awaits",
    strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}),
    find=lambda file: find_groups(file, "gather_awaits", frozenset({"await"})),
    order=32,
)
