"""One catalogue and short ways to ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import Analysis, RequestContext
from prefect_autopilot.services import Catalogue, load_catalogue

Ask = Callable[..., Analysis]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def ask(catalogue: Catalogue) -> Ask:
    """Analyse a text, with connected services, preferences and a zone if given."""

    def _ask(text: str, *connected: str, timezone: str = "UTC", **preferences: str) -> Analysis:
        context = RequestContext(
            connected_services=connected, timezone=timezone, preferences=dict(preferences)
        )
        return analyze(text, context, catalogue)

    return _ask


def used(analysis: Analysis) -> set[str]:
    """Return the services an analysis would use."""
    return {match.service for match in analysis.services if match.role == "used"}


@pytest.fixture(scope="session")
def services_of() -> Callable[[Analysis], set[str]]:
    return used
