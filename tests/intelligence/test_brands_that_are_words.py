"""Brands that are English words: a service with evidence, an ordinary word without."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.document import read
from prefect_autopilot.intelligence.lexicon import lexicon
from prefect_autopilot.intelligence.mentions import find_mentions
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

AS_BRAND = [
    ("box", "upload the signed contract to Box"),
    ("box", "when a file is added in Box, tell slack"),
    ("box", "save new gmail attachments to Box"),
    ("box", "put the weekly report into box as a text file"),
    ("box", "export hubspot contacts to box monthly"),
    ("box", "every morning fetch jira issues and upload them to box"),
    ("monday", "add an item to our Monday board"),
    ("monday", "create an item in monday.com"),
    ("monday", "sync Monday with Jira"),
    ("linear", "open a Linear issue for every sentry error"),
    ("linear", "create an issue in Linear"),
    ("linear", "new linear issues go to slack"),
    ("front", "send Front conversations to Slack"),
    ("front", "tag the conversation in Front"),
    ("close_crm", "add the typeform lead to Close"),
    ("close_crm", "update the lead in Close CRM"),
    ("segment", "send the event to Segment"),
    ("square", "new Square payments become rows in airtable"),
    ("square", "record payments from Square in xero"),
    ("microsoft_teams", "post the alert in Teams"),
    ("microsoft_teams", "message the Teams channel"),
    ("copper", "add the contact to Copper"),
    ("harvest", "log the hours in Harvest"),
    ("harvest", "copy time entries from Harvest to google sheets"),
    ("ghost", "publish the draft on Ghost"),
    ("medium", "publish the article on Medium"),
    ("drift", "new leads from Drift go to hubspot"),
    ("wise", "list the transfers from Wise in airtable"),
    ("google_drive", "save the file in Drive"),
    ("miro", "add a sticky note in Miro"),
    ("lever", "new candidates in Lever to slack"),
    ("greenhouse", "when a candidate is hired in Greenhouse, tell slack"),
    ("affinity", "add the person to Affinity"),
    ("hunter", "find the mail address with Hunter"),
    ("amplitude", "send the event to Amplitude"),
    ("git", "commit the file to Git"),
    ("docker", "restart the container via Docker"),
    ("coda", "add a row in Coda"),
    ("telegram", "send it to TG, our telegram group"),
    ("twitter", "share it on X and linkedin"),
    ("convertkit", "add the subscriber to Kit"),
    ("paddle", "new subscriptions from Paddle to slack"),
    ("apollo", "enrich the lead with Apollo"),
    ("capsule_crm", "add the contact to Capsule"),
    ("streak", "move the deal in Streak"),
    ("clay", "enrich the list in Clay"),
    ("orbit", "log the member in Orbit"),
    ("outreach", "add the prospect to Outreach"),
    ("nimble", "add the contact to Nimble"),
    ("loom", "share new videos from Loom in slack"),
    ("looker", "export the report from Looker"),
    ("sage", "create the invoice in Sage"),
    ("stride", "post the note in Stride"),
]


@pytest.mark.parametrize(("service", "text"), AS_BRAND, ids=[text for _, text in AS_BRAND])
def test_with_evidence_the_word_is_the_service(service: str, text: str, catalogue: Catalogue) -> None:
    assert service in {m.service for m in find_mentions(read(text), lexicon(catalogue))}


AS_WORD = [
    ("box", "tick the box before the order ships"),
    ("box", "a box of samples was sent"),
    ("box", "think outside the box"),
    ("box", "put the samples into box 7 before they ship"),
    ("box", "he wants to box on friday"),
    ("box", "the letterbox and the toolbox are full"),
    ("monday", "every monday at nine"),
    ("monday", "by Monday evening at the latest"),
    ("monday", "on Mondays and Fridays"),
    ("monday", "from monday to friday"),
    ("monday", "next Monday"),
    ("linear", "a linear regression over the sales"),
    ("linear", "the growth is linear"),
    ("front", "a parcel in front of the door"),
    ("front", "the front page changes"),
    ("front", "pay up front"),
    ("close", "close the ticket when it is answered"),
    ("close", "we are close to the deadline"),
    ("close", "keep a close eye on it"),
    ("close", "close of business"),
    ("segment", "each segment of the audience"),
    ("segment", "segment the list by country"),
    ("square", "a square metre of office space"),
    ("square", "the square of the number"),
    ("teams", "both teams are told"),
    ("teams", "our teams work in three cities"),
    ("teams", "the sales teams need it"),
    ("copper", "the price of copper rises"),
    ("harvest", "the harvest starts in august"),
    ("ghost", "a ghost writer drafts it"),
    ("medium", "a medium priority"),
    ("medium", "small, medium and large"),
    ("drift", "the numbers drift over time"),
    ("wise", "it would be wise to wait"),
    ("drive", "a drive to the office"),
    ("drive", "drive more traffic"),
    ("lever", "pull the lever"),
    ("greenhouse", "the greenhouse is too hot"),
    ("hunter", "a bargain hunter buys it"),
    ("mention", "mention the customer by name"),
    ("mention", "every mention of our name"),
    ("line", "draw a line under it"),
    ("line", "each line of the file"),
    ("make", "make a list"),
    ("make", "make sure it arrives"),
    ("late", "the parcel is late"),
    ("late", "if it is too late"),
    ("kit", "a starter kit for customers"),
    ("buffer", "keep a buffer of two days"),
    ("signal", "a strong signal"),
    ("replicate", "replicate the table nightly"),
    ("segment", "the largest segment wins"),
    ("max", "at max ten a day"),
    ("meet", "when we meet the target"),
    ("forms", "all forms of payment"),
    ("slides", "the price slides down"),
    ("sheets", "ten sheets of paper"),
    ("maps", "old maps and globes"),
    ("notion", "a vague notion of the plan"),
    ("zoom", "zoom into the picture"),
    ("sage", "sage advice for beginners"),
    ("clay", "pots of clay"),
    ("orbit", "a satellite in orbit"),
    ("loom", "deadlines loom"),
    ("nimble", "a nimble young company"),
    ("stride", "take it in stride"),
    ("capsule", "a capsule of medicine"),
    ("streak", "a winning streak"),
    ("outreach", "our outreach to schools"),
    ("amplitude", "the amplitude of the wave"),
    ("affinity", "an affinity for numbers"),
    ("paddle", "we paddle along the river"),
    ("rev", "rev the motor"),
    ("opus", "his magnum opus"),
    ("sonnet", "a sonnet by shakespeare"),
    ("haiku", "write a haiku for me"),
    ("gong", "the gong sounds at noon"),
    ("brave", "a brave new world"),
    ("element", "the first element of the list"),
    ("wave", "a wave of orders"),
]


@pytest.mark.parametrize(("word", "text"), AS_WORD, ids=[text for _, text in AS_WORD])
def test_without_evidence_the_word_is_a_word(word: str, text: str, catalogue: Catalogue) -> None:
    found = [m for m in find_mentions(read(text), lexicon(catalogue)) if m.form != "typo"]
    assert [m.name for m in found] == [], word


BOTH = [
    ("the day and the board", "every monday add the open tasks to Monday", "monday"),
    ("the verb and the CRM", "close the deal in Close", "close_crm"),
    ("the carton and the store", "when a box is packed upload its label to Box", "box"),
    ("people and the chat", "tell both teams about it in Microsoft Teams", "microsoft_teams"),
    ("the shape and the till", "put square brackets around payments from Square", "square"),
    ("the place and the inbox", "in front of the queue, tag it in Front", "front"),
    ("the part and the pipe", "send every segment of users to Segment", "segment"),
]


@pytest.mark.parametrize(("text", "service"), [row[1:] for row in BOTH], ids=[row[0] for row in BOTH])
def test_word_and_brand_in_one_sentence_are_told_apart(text: str, service: str, catalogue: Catalogue) -> None:
    found = [m for m in find_mentions(read(text), lexicon(catalogue)) if m.service == service]
    assert len(found) == 1
    assert text[found[0].start].isupper()


CONNECTED = ["box", "front", "linear", "segment", "copper", "harvest", "wise", "medium", "ghost"]


@pytest.mark.parametrize("name", CONNECTED)
def test_a_connected_service_needs_no_capital(name: str, catalogue: Catalogue) -> None:
    text = f"new stripe charges, {name} afterwards"
    names = lexicon(catalogue)
    without = {m.service for m in find_mentions(read(text), names)}
    with_it = {m.service for m in find_mentions(read(text), names, connected=(name,))}
    assert name not in without
    assert name in with_it


@pytest.mark.parametrize("article", ["a", "the", "this", "every", "each", "no", "is", "very"])
def test_even_connected_a_word_behind_an_article_stays_a_word(article: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(f"put {article} box there"), lexicon(catalogue), connected=("box",))
    assert found == ()


TITLES = [
    "Close The Loop With Every Customer",
    "A Box Of Chocolates For Each New Client",
    "Make The Most Of Every Monday",
    "Drive More Sales With Less Work",
    "Mention Every Member By Name",
]


@pytest.mark.parametrize("text", TITLES)
def test_capitals_of_a_title_are_no_evidence(text: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(text), lexicon(catalogue)) == ()


TITLES_WITH_NAMES = [
    ("Save New Gmail Attachments To Box", {"gmail", "box"}),
    ("Sync Linear Issues With Jira", {"linear", "jira"}),
    ("Post New Ghost Articles On LinkedIn", {"ghost", "linkedin"}),
    ("Copy Leads From Drift Into Close", {"drift", "close_crm"}),
]


@pytest.mark.parametrize(("text", "expected"), TITLES_WITH_NAMES, ids=[row[0] for row in TITLES_WITH_NAMES])
def test_a_title_still_names_its_services(text: str, expected: set[str], catalogue: Catalogue) -> None:
    assert {m.service for m in find_mentions(read(text), lexicon(catalogue))} == expected


@pytest.mark.parametrize("ending", ["com", "io", "app", "net", "org", "co"])
def test_an_address_is_evidence_for_a_word(ending: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(f"we keep it at box.{ending} today"), lexicon(catalogue))
    assert [m.service for m in found] == ["box"]


@pytest.mark.parametrize(
    "text", ["put it in the box. Then go", "the box.csv file", "the box .com", "box.zip"]
)
def test_a_stop_or_a_file_ending_is_no_address(text: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(text), lexicon(catalogue)) == ()


def test_an_ordinary_word_starts_no_automation_and_makes_no_step(ask: Ask, services_of: Used) -> None:
    analysis = ask("every monday close the jira issues that are in front of the line")
    assert services_of(analysis) == {"jira"}
    assert {step.service for step in analysis.steps} == {"jira"}
    assert analysis.trigger is not None
    assert analysis.trigger.type == "schedule"
