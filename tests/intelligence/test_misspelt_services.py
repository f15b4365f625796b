"""Misspelt names are read where nothing else can be meant; plain words and strange names never become one."""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_lowercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.intelligence.document import read
from prefect_autopilot.intelligence.lexicon import edit_distance, lexicon, skeleton, squeeze
from prefect_autopilot.intelligence.mentions import find_mentions
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue, load_catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

SLIPS = [
    ("letter left out", "slack", "slak slck"),
    ("letter left out", "trello", "trelo treelo"),
    ("letter left out", "asana", "asna"),
    ("letter left out", "stripe", "stipe"),
    ("letter left out", "notion", "noton"),
    ("letter left out", "zendesk", "zndesk zendsk"),
    ("letter left out", "shopify", "shopfy shpify"),
    ("letter left out", "mailchimp", "mailchip malchimp"),
    ("letter left out", "hubspot", "hbspot hubspt"),
    ("letter left out", "airtable", "airtble airtabl"),
    ("letter left out", "salesforce", "salesforc saleforce"),
    ("letter left out", "dropbox", "dropbx"),
    ("letter left out", "pipedrive", "pipdrive"),
    ("letter left out", "calendly", "calendy"),
    ("letter left out", "quickbooks", "quikbooks"),
    ("letter twice", "trello", "trrello trelllo"),
    ("letter twice", "slack", "sllack slackk"),
    ("letter twice", "gmail", "gmaill ggmail"),
    ("letter twice", "discord", "disscord"),
    ("letter twice", "github", "githubb gitthub"),
    ("letter twice", "todoist", "toddoist"),
    ("letter twice", "zapier-like hubspot", "hubbspot hubspott"),
    ("letters swapped", "slack", "slcak"),
    ("letters swapped", "gmail", "gmial"),
    ("letters swapped", "github", "gihtub"),
    ("letters swapped", "discord", "dicsord"),
    ("letters swapped", "airtable", "aitrable"),
    ("letters swapped", "shopify", "shoipfy"),
    ("letters swapped", "typeform", "typefrom"),
    ("letters swapped", "dropbox", "drobpox"),
    ("letters swapped", "twilio", "twiloi"),
    ("letters swapped", "salesforce", "salesforec"),
    ("neighbour key", "gmail", "gmsil"),
    ("neighbour key", "trello", "trwllo"),
    ("neighbour key", "hubspot", "hubspor"),
    ("neighbour key", "pagerduty", "pagerdutu"),
    ("neighbour key", "evernote", "evrenote"),
    ("by ear", "mailchimp", "mailchymp"),
    ("by ear", "dropbox", "dropbocks"),
    ("by ear", "salesforce", "salesforse"),
    ("by ear", "telegram", "telegramm"),
    ("by ear", "whatsapp", "whatsap watsapp"),
    ("by ear", "wordpress", "wordpres"),
    ("by ear", "mattermost", "mattermoast"),
    ("by ear", "basecamp", "bascamp basecampp"),
    ("by ear", "instagram", "instagramm instegram"),
    ("by ear", "freshdesk", "freshdesc"),
    ("by ear", "woocommerce", "woocomerce"),
    ("two slips in a long name", "salesforce", "salesfroces"),
    ("two slips in a long name", "mailchimp", "malichmip"),
    ("two slips in a long name", "woocommerce", "wocomerce"),
]
MISSPELT = [(how, s.split()[-1], form) for how, s, forms in SLIPS for form in forms.split()]


@pytest.mark.parametrize(
    ("how", "service", "form"), MISSPELT, ids=[f"{how}: {form}" for how, _, form in MISSPELT]
)
def test_a_slip_is_read_as_the_name_and_marked_as_one(
    how: str, service: str, form: str, catalogue: Catalogue
) -> None:
    found = find_mentions(read(f"copy the numbers to {form} each night"), lexicon(catalogue))
    assert [(m.service, m.form) for m in found] == [(service, "typo")], how


@pytest.mark.parametrize(
    "form", [form for _, _, form in MISSPELT][::4], ids=[form for _, _, form in MISSPELT][::4]
)
def test_a_misspelt_service_is_used_with_less_confidence_than_a_named_one(form: str, ask: Ask) -> None:
    misspelt = ask(f"post new typeform answers to {form} at once")
    service = next(s for _, s, f in MISSPELT if f == form)
    named = ask(f"post new typeform answers to {service} at once")
    if service == "typeform":
        return
    assert {m.service for m in misspelt.services} == {m.service for m in named.services}
    doubted = next(m for m in misspelt.services if m.service == service)
    sure = next(m for m in named.services if m.service == service)
    assert doubted.confidence < sure.confidence
    assert misspelt.confidence < named.confidence
    assert form in doubted.reason


TYPED_FAST = [
    ("pls copy new shopfy ordrs into googel sheets", "shopify google_sheets"),
    ("wen a gihtub isue is opend mak a trelo card", "github trello"),
    ("send stirpe paymnts to teh slak chanel", "stripe slack"),
    ("evry typefrom answr -> hubspott contct", "typeform hubspot"),
    ("new calendy bookngs into airtabel pls", "calendly airtable"),
    ("forwrd zendsk tikets to discrod", "zendesk discord"),
    ("backp dropbocks fils to gogle drive", "dropbox google_drive"),
    ("mesage me on telegramm wen my wordpres site gets a coment", "telegram wordpress"),
    ("ad new mailchip subscribrs 2 pipdrive", "mailchimp pipedrive"),
]


@pytest.mark.parametrize(("text", "expected"), TYPED_FAST, ids=[row[0][:40] for row in TYPED_FAST])
def test_a_request_typed_in_a_hurry_is_read(text: str, expected: str, ask: Ask, services_of: Used) -> None:
    assert services_of(ask(text)) == set(expected.split())


PAIRS = [
    ("first word", "googel sheets", "google_sheets"),
    ("first word", "gogle drive", "google_drive"),
    ("first word", "goggle calender", "google_calendar"),
    ("first word", "googl docs", "google_docs"),
    ("first word", "micosoft teams", "microsoft_teams"),
    ("second word", "google sheeets", "google_sheets"),
    ("second word", "help scoutt", "help_scout"),
    ("both words", "gogle shets", "google_sheets"),
]


@pytest.mark.parametrize(("how", "form", "service"), PAIRS, ids=[row[1] for row in PAIRS])
def test_a_misspelt_name_of_two_words_is_read(
    how: str, form: str, service: str, catalogue: Catalogue
) -> None:
    text = f"copy the numbers to {form}, daily"
    found = [m for m in find_mentions(read(text), lexicon(catalogue)) if m.form == "typo"]
    assert [(m.service, text[m.start : m.end]) for m in found] == [(service, form)], how


@pytest.mark.parametrize(
    "text",
    [
        "the good sheets of paper",
        "a gogle of geese in the driveway",
        "helpful scouts met",
        "one drove of cattle",
        "big queries take long",
        "the Zorblix sheets are wide",
    ],
)
def test_two_plain_words_are_no_misspelt_name(text: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(text), lexicon(catalogue)) == ()


ORDINARY = [
    ("near slack", "lack stack black slick slacker flack"),
    ("near stripe", "strip strive stripes striped strike tripe"),
    ("near notion", "motion lotion notions nation option"),
    ("near trello", "cello hello troll fellow"),
    ("near asana", "banana sauna nasal"),
    ("near gmail", "email snail mailing small"),
    ("near discord", "discard discords record discordant"),
    ("near twitter", "twitters bitter glitter titter"),
    ("near dropbox", "dropped droppings mailbox toolbox"),
    ("near shopify", "shopping shops shoplift"),
    ("near calendly", "calendar calendars calmly candidly"),
    ("near segment", "segments segmented sediment"),
    ("near airtable", "partable timetable charitable"),
    ("near zoom", "room boom zooms zoomed"),
    ("near github", "giant thing eighth"),
    ("near sentry", "entry gentry sensory century"),
    ("near telegram", "telegrams telephone diagram program"),
    ("near intercom", "interim income intersect"),
    ("near typeform", "platform uniform perform typeface"),
    ("near quickbooks", "handbooks quickly textbooks"),
    ("near postmark", "postman postcard landmark"),
    ("near xero", "zero hero xerox aero"),
    ("near stripe in a plural", "strips tribes stripes"),
    ("near wordpress", "password compress wordless"),
    ("near evernote", "everyone footnote evermore"),
    ("near salesforce", "salesmen workforce salesperson"),
    ("near basecamp", "baseline campsite basement"),
    ("near mailchimp", "mailings mailman"),
    ("trade words", "webhook endpoint backend frontend onboarding signup dashboards"),
    ("trade words in the plural", "webhooks podcasts newsletters workflows zaps applets"),
    ("misspelt words", "recieve seperate definately occured tommorow untill wich beleive"),
    ("words typed in haste", "teh adn taht thier freind becuase wnat"),
    ("British spelling", "colour organise cancelled favourite catalogue behaviour programme"),
    ("common names of people", "Robert Jessica Michael Jennifer Patricia Christopher"),
    ("names of cities", "London Berlin Chicago Toronto Melbourne Singapore"),
    ("names of months", "January February September October November December"),
    ("shouted words", "URGENT INVOICE OVERDUE CONTRACT REMINDER"),
    ("acronyms", "SLAC TRELO ASNA GMAI HUBSPO"),
    ("CamelCase words", "sLack tRelo MailChip"),
]
PLAIN = [(why, word) for why, row in ORDINARY for word in row.split()]


@pytest.mark.parametrize(("why", "word"), PLAIN, ids=[f"{why}: {word}" for why, word in PLAIN])
def test_a_word_of_its_own_is_no_misspelt_service(why: str, word: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(f"the team will discuss {word} over lunch"), lexicon(catalogue))
    assert [m.service for m in found if m.form == "typo"] == [], why


@pytest.mark.parametrize("word", ["tommorow", "tomorow", "renders", "mercury", "remotely", "clerks"])
def test_the_address_of_a_service_known_by_name_only_is_not_guessed(word: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(f"tell the team {word} what was sold"), lexicon(catalogue)) == ()


@pytest.mark.parametrize(
    "joined", ["trelo-clone", "my_trelo", "trelo.csv", "@trelo", "trelo/docs", "a/trelo"]
)
def test_a_slip_inside_a_longer_word_is_not_read(joined: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(f"look at {joined} tonight"), lexicon(catalogue))
    assert not [m for m in found if m.form == "typo"]


def test_a_slip_in_brackets_is_read(catalogue: Catalogue) -> None:
    found = find_mentions(read("put it on the board (trelo) tonight"), lexicon(catalogue))
    assert [m.service for m in found] == ["trello"]


def test_a_short_name_is_never_guessed_from_a_slip(catalogue: Catalogue) -> None:
    names = lexicon(catalogue)
    for word in ("jra", "box1", "wse", "xro", "zom", "s4", "dbd", "sp"):
        assert names.nearest(word) is None


def test_nothing_is_near_a_word_with_signs_or_digits(catalogue: Catalogue) -> None:
    names = lexicon(catalogue)
    assert names.nearest("slak") is not None
    assert names.nearest("sl4k") is None
    assert names.nearest("slak!") is None
    assert names.nearest("") is None


def test_two_names_equally_near_give_none() -> None:
    rows = {
        "a.toml": 'id = "marvelin"\nname = "Marvelin"\n',
        "b.toml": 'id = "marvelit"\nname = "Marvelit"\n',
    }
    names = lexicon(Catalogue(rows))
    assert names.nearest("marveli") is None
    assert names.nearest("marvelix") is None
    entry = names.nearest("marvelitt")
    assert entry is not None
    assert entry.services == ("marvelit",)


def test_two_names_of_one_service_equally_near_are_no_doubt() -> None:
    rows = {"a.toml": 'id = "marvella"\nname = "Marvella"\naliases = ["marvello"]\n'}
    entry = lexicon(Catalogue(rows)).nearest("marvelle")
    assert entry is not None
    assert entry.services == ("marvella",)


def test_a_name_that_is_a_word_cannot_be_misspelt() -> None:
    rows = {"a.toml": 'id = "harvest"\nname = "Harvest"\nambiguous = true\nenglish_words = ["harvest"]\n'}
    names = lexicon(Catalogue(rows))
    assert names.entries["harvest"].doubtful
    assert names.nearest("harvset") is None


DISTANCES = [
    ("", "", 0),
    ("a", "", 1),
    ("", "ab", 2),
    ("trello", "trello", 0),
    ("trello", "trelo", 1),
    ("trello", "trellos", 1),
    ("trello", "tralle", 2),
    ("ab", "ba", 1),
    ("abcd", "badc", 2),
    ("kitten", "sitting", 3),
    ("abc", "xyz", 3),
]


@pytest.mark.parametrize(("left", "right", "count"), DISTANCES, ids=[f"{a}-{b}" for a, b, _ in DISTANCES])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_edits_are_counted_up_to_one_over_the_limit(left: str, right: str, count: int, limit: int) -> None:
    assert edit_distance(left, right, limit) == min(count, limit + 1)


words = st.text(alphabet="abcde", max_size=7)
quick = settings(max_examples=200, deadline=None)


@quick
@given(words, words)
def test_the_distance_is_the_same_both_ways(left: str, right: str) -> None:
    assert edit_distance(left, right, 7) == edit_distance(right, left, 7)


@quick
@given(words, words)
def test_the_distance_is_nothing_only_for_equals_and_never_more_than_the_longer(
    left: str, right: str
) -> None:
    count = edit_distance(left, right, 7)
    assert (count == 0) == (left == right)
    assert abs(len(left) - len(right)) <= count <= max(len(left), len(right))


@quick
@given(words, words, st.integers(1, 3))
def test_a_limit_never_changes_a_distance_within_it(left: str, right: str, limit: int) -> None:
    full = edit_distance(left, right, 7)
    assert edit_distance(left, right, limit) == min(full, limit + 1)


@quick
@given(st.text(max_size=40))
def test_squeezing_twice_is_squeezing_once(text: str) -> None:
    once = squeeze(text)
    assert squeeze(once) == squeeze(squeeze(once))
    assert not any(char.isspace() or char in "-_.&+/'" for char in once)


@quick
@given(st.text(alphabet=ascii_lowercase, min_size=1, max_size=12))
def test_the_sound_keeps_the_first_consonant_and_drops_later_vowels(word: str) -> None:
    sound = skeleton(word)
    assert len(sound) <= 2 * len(word)
    assert not set(sound[1:]) & set("aeiouyczx")


SAFE = ("trello", "hubspot", "mailchimp", "salesforce", "pipedrive", "zendesk", "typeform", "calendly")


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(SAFE), st.data())
def test_any_one_letter_doubled_is_still_the_service(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 1))
    doubled = name[:place] + name[place] + name[place:]
    found = find_mentions(read(f"copy it to {doubled} today"), lexicon(load_catalogue()))
    assert [m.service for m in found] == [name]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(SAFE), st.data())
def test_a_slip_never_becomes_another_service(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 1))
    letter = data.draw(st.sampled_from(ascii_lowercase))
    slip = name[:place] + letter + name[place + 1 :]
    found = find_mentions(read(f"copy it to {slip} today"), lexicon(load_catalogue()))
    assert {m.service for m in found} <= {name}
