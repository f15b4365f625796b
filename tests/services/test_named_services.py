"""How many of the services people name the catalogue knows, of names that were listed without looking at it.

The catalogue was completed from the first two lists afterwards, so their shares are to be kept, not to be
expected of other names. What may be expected of rarer ones shows the third list, which nothing came from.
"""

from __future__ import annotations

from pathlib import Path

from prefect_autopilot.services import load_catalogue

HERE = Path(__file__).parent
CATALOGUE = load_catalogue()
SHARE, SHARE_LATER = 0.97, 0.89
LEFT_OUT = {
    *("Bench", "Circle", "Folk", "Guru", "Heap", "Height", "Hive", "Later"),
    *("Nest", "Particle", "Ramp", "Ring", "Things", "Toast", "Wave", "X"),
    *("Amazon", "Google Meet"),
}
"""Names that in a request mostly mean no service to call: ordinary words, a shop that is talked about, the
meeting that Google Calendar makes."""


def names(file: str) -> list[str]:
    lines = (HERE / file).read_text("utf-8").splitlines()
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def unknown(listed: list[str]) -> set[str]:
    return {name for name in listed if not CATALOGUE.find(name)}


def test_the_services_people_name_are_recognised() -> None:
    listed = names("named_services.txt")
    missing = unknown(listed)

    assert len(listed) >= 600
    assert 1 - len(missing) / len(listed) >= SHARE, sorted(missing)
    assert missing == LEFT_OUT


def test_most_names_that_were_listed_later_are_recognised() -> None:
    listed = names("listed_services.txt")
    missing = unknown(listed)

    assert 1 - len(missing) / len(listed) >= SHARE_LATER, sorted(missing)


def test_the_page_tells_what_became_of_each_list() -> None:
    page = " ".join((HERE.parents[1] / "docs" / "services.md").read_text("utf-8").split())
    for file in ("named_services.txt", "listed_services.txt", "rarer_services.txt"):
        listed = names(file)
        assert f"{len(listed) - len(unknown(listed))} of {len(listed)}" in page, file
