"""Expected savings as the fields of a value that tells them."""

from __future__ import annotations

from typing import Any

from prefect_autopilot.optimization.plan import Saving


def saved(saving: Saving | None) -> dict[str, Any]:
    """Return seconds, interval and n of a saving by field, nothing where it is unknown."""
    if saving is None:
        return {}
    return {
        "expected_saving_s": round(saving.expected_s, 3),
        "saving_range_s": (round(saving.low_s, 3), round(saving.high_s, 3)),
        "saving_n": saving.n,
    }


UNTOLD = "(@measured of prefect_autopilot.hooks below its @task tells it, or --history)"
"""How to come by what a Prefect server does not know."""
