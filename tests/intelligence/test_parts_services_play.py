"""What part a named service plays: used, excluded, only mentioned, or one of two alternatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import Analysis

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]


def check_parts(analysis: Analysis, wanted: str, unwanted: str) -> None:
    """Hold the used services against the wanted ones; the others may appear in no step and start nothing."""
    roles = {match.service: match.role for match in analysis.services}
    assert {service for service, role in roles.items() if role == "used"} == set(wanted.split())
    called = {step.service for step in analysis.steps}
    if analysis.trigger:
        called.add(analysis.trigger.service or "")
    assert not called & set(unwanted.split())


EXCLUDED = [
    ("not, at the end", "post new github issues to discord, not slack", "github discord", "slack"),
    ("and not", "post new github issues to discord and not to slack", "github discord", "slack"),
    (
        "but not",
        "copy typeform answers to airtable but not to google sheets",
        "typeform airtable",
        "google_sheets",
    ),
    (
        "do not use",
        "do not use zoom. create a google meet entry in notion for each calendly booking",
        "notion calendly",
        "zoom",
    ),
    ("don't", "don't post to twitter; publish new ghost posts on linkedin", "ghost linkedin", "twitter"),
    (
        "dont without apostrophe",
        "dont touch jira, make trello cards from new zendesk tickets",
        "trello zendesk",
        "jira",
    ),
    (
        "never",
        "never write to salesforce. new typeform leads go to hubspot",
        "typeform hubspot",
        "salesforce",
    ),
    (
        "must not",
        "the flow must not use dropbox; store new gmail attachments in google drive",
        "gmail google_drive",
        "dropbox",
    ),
    (
        "should not",
        "it should not go through mailchimp, add shopify customers to klaviyo",
        "shopify klaviyo",
        "mailchimp",
    ),
    (
        "won't",
        "we won't use asana for this, put new intercom conversations in clickup",
        "intercom clickup",
        "asana",
    ),
    (
        "no need to",
        "no need to ping slack, just add new stripe charges to airtable",
        "stripe airtable",
        "slack",
    ),
    ("instead of", "use telegram instead of whatsapp for new shopify orders", "telegram shopify", "whatsapp"),
    ("instead of, first", "instead of trello use asana for new zendesk tickets", "asana zendesk", "trello"),
    ("rather than", "save pipedrive files to box rather than dropbox in Box", "pipedrive box", "dropbox"),
    ("without", "send stripe invoices to xero without quickbooks", "stripe xero", "quickbooks"),
    (
        "without touching",
        "update hubspot from typeform without touching salesforce",
        "hubspot typeform",
        "salesforce",
    ),
    ("without notifying", "close jira issues from github without notifying slack", "jira github", "slack"),
    (
        "avoid",
        "avoid google sheets, add new calendly bookings to airtable",
        "calendly airtable",
        "google_sheets",
    ),
    ("skip", "skip mailchimp and add new gumroad buyers to convertkit", "gumroad convertkit", "mailchimp"),
    (
        "leave out",
        "leave out discord: tell slack and telegram about new github releases",
        "slack telegram github",
        "discord",
    ),
    (
        "except",
        "post new wordpress articles to linkedin and facebook except twitter",
        "wordpress linkedin facebook",
        "twitter",
    ),
    ("anything but", "use anything but trello, so asana, for new gmail mails", "asana gmail", "trello"),
    (
        "other than",
        "in no tool other than trello, well: make asana tasks from new gmail mails",
        "asana gmail",
        "trello",
    ),
    ("apart from", "apart from slack, tell discord about new sentry errors", "discord sentry", "slack"),
    (
        "stay away from",
        "stay away from salesforce and add new typeform leads to pipedrive",
        "typeform pipedrive",
        "salesforce",
    ),
    (
        "no longer",
        "we no longer use evernote, save new pocket notes from gmail in notion",
        "gmail notion",
        "evernote",
    ),
    ("stop using", "stop using hipchat, post new jira issues to slack", "jira slack", "hipchat"),
    ("no more", "no more basecamp, new zendesk tickets become asana tasks", "zendesk asana", "basecamp"),
    (
        "two with or",
        "don't use trello or asana, use clickup for new gmail mails",
        "clickup gmail",
        "trello asana",
    ),
    (
        "two with nor",
        "neither trello nor asana, use clickup for new gmail mails",
        "clickup gmail",
        "trello asana",
    ),
    (
        "three in a list",
        "not slack, discord or telegram: tell microsoft teams about new jira bugs",
        "microsoft_teams jira",
        "slack discord telegram",
    ),
    ("shouted", "NOT SLACK! post new github issues to discord", "github discord", "slack"),
    (
        "of a pair of the same",
        "post to discord not slack when a stripe payment fails",
        "discord stripe",
        "slack",
    ),
    (
        "not via",
        "text the customer with twilio, not via whatsapp, when a shopify order ships",
        "twilio shopify",
        "whatsapp",
    ),
    (
        "later sentence",
        "Post new github issues to discord. Do not post them to slack.",
        "github discord",
        "slack",
    ),
    (
        "sentence before",
        "The office is loud, so do not use slack. Post new github issues to discord.",
        "github discord",
        "slack",
    ),
    (
        "please",
        "please do not send it via sendgrid but with mailgun when a stripe payment fails",
        "mailgun stripe",
        "sendgrid",
    ),
]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"), [row[1:] for row in EXCLUDED], ids=[row[0] for row in EXCLUDED]
)
def test_an_excluded_service_is_in_no_step(text: str, wanted: str, unwanted: str, ask: Ask) -> None:
    check_parts(ask(text), wanted, unwanted)


@pytest.mark.parametrize(
    ("text", "unwanted"), [(row[1], row[3]) for row in EXCLUDED], ids=[row[0] for row in EXCLUDED]
)
def test_an_exclusion_is_told_with_its_reason(text: str, unwanted: str, ask: Ask) -> None:
    analysis = ask(text)
    for service in unwanted.split():
        match = next(m for m in analysis.services if m.service == service)
        assert match.role == "excluded"
        assert "not" in match.reason
        assert match.spans
    assert sum("is not used" in reason for reason in analysis.reasons) == len(unwanted.split())


@pytest.mark.parametrize(
    ("text", "unwanted"), [(row[1], row[3]) for row in EXCLUDED[::3]], ids=[row[0] for row in EXCLUDED[::3]]
)
def test_an_exclusion_holds_even_for_a_connected_service(
    text: str, unwanted: str, ask: Ask, services_of: Used
) -> None:
    assert not services_of(ask(text, *unwanted.split())) & set(unwanted.split())


HARMLESS = [
    ("unpaid", "when a stripe invoice is not paid after a week, tell slack", "stripe slack"),
    ("not yet", "if the trello card is not yet done by friday, ping discord", "trello discord"),
    ("has not", "when a lead has not answered in intercom, create an asana task", "intercom asana"),
    ("does not", "if the hubspot contact does not exist, create it from typeform", "hubspot typeform"),
    ("don't forget", "don't forget to add new calendly bookings to pipedrive", "calendly pipedrive"),
    ("not only", "not only post new github issues to slack but also to discord", "github slack discord"),
    (
        "no more than",
        "post at most, and not more than once an hour, new sentry errors to slack",
        "sentry slack",
    ),
    ("never miss", "never miss a zendesk ticket: post each new one to slack", "zendesk slack"),
    ("unless", "post new github issues to slack unless they are drafts", "github slack"),
    ("without a label", "move trello cards without a label to asana", "trello asana"),
    ("not important", "archive gmail mails that are not important in notion", "gmail notion"),
    ("cannot be", "when a shopify order cannot be fulfilled, open a zendesk ticket", "shopify zendesk"),
    ("isn't", "when a jira issue isn't assigned, message slack", "jira slack"),
    ("except weekends", "post new jira issues to slack except on weekends", "jira slack"),
    ("don't want to miss", "I don't want to miss new typeform answers, post them to slack", "typeform slack"),
    ("don't send twice", "send new stripe charges to slack, don't send anything twice", "stripe slack"),
]


@pytest.mark.parametrize(("text", "wanted"), [row[1:] for row in HARMLESS], ids=[row[0] for row in HARMLESS])
def test_a_negated_state_or_limit_takes_no_service_away(
    text: str, wanted: str, ask: Ask, services_of: Used
) -> None:
    assert services_of(ask(text)) == set(wanted.split())


PAST = [
    (
        "moved from",
        "we moved from trello to asana in spring. new zendesk tickets become asana tasks",
        "asana zendesk",
        "trello",
    ),
    (
        "switched from",
        "since we switched from hipchat, new jira issues should be posted to slack",
        "jira slack",
        "hipchat",
    ),
    (
        "migrated away",
        "we migrated away from heroku. when a github release appears tell slack",
        "github slack",
        "heroku",
    ),
    (
        "coming from",
        "coming from evernote, I want new gmail mails saved in notion",
        "gmail notion",
        "evernote",
    ),
    (
        "used to use",
        "we used to use basecamp, now create clickup tasks from new intercom conversations",
        "clickup intercom",
        "basecamp",
    ),
    (
        "I used to",
        "i used to work with wunderlist and trello, now add new gmail mails to todoist",
        "gmail todoist",
        "trello",
    ),
    ("left", "we left mailchimp. add new shopify customers to klaviyo", "shopify klaviyo", "mailchimp"),
    ("dropped", "we dropped freshdesk. post new zendesk tickets to slack", "zendesk slack", "freshdesk"),
    ("cancelled", "they cancelled quickbooks, so send stripe invoices to xero", "stripe xero", "quickbooks"),
    (
        "got rid of",
        "we got rid of salesforce. typeform leads go to hubspot",
        "typeform hubspot",
        "salesforce",
    ),
    (
        "replaced by",
        "replace trello with linear: new sentry errors become Linear issues",
        "linear sentry",
        "trello",
    ),
    (
        "replacing",
        "we are replacing dropbox with box, so save new gmail attachments in Box",
        "box gmail",
        "dropbox",
    ),
    ("both", "we dropped trello and asana. new gmail mails go to todoist", "gmail todoist", "trello asana"),
    ("off of", "we moved off of trello. new gmail mails go to todoist", "gmail todoist", "trello"),
    ("unlike", "unlike asana it should add new gmail mails to todoist", "gmail todoist", "asana"),
    ("formerly", "the team, formerly on basecamp, wants new gmail mails in asana", "gmail asana", "basecamp"),
]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"), [row[1:] for row in PAST], ids=[row[0] for row in PAST]
)
def test_the_tool_of_the_past_is_only_mentioned(text: str, wanted: str, unwanted: str, ask: Ask) -> None:
    analysis = ask(text)
    check_parts(analysis, wanted, unwanted)
    assert {m.role for m in analysis.services if m.service in unwanted.split()} == {"mentioned"}


TALK = [
    ("who is asking", "I'm a shopify merchant, post new stripe charges to slack", "stripe slack", "shopify"),
    (
        "what one works as",
        "as a salesforce admin I want new jira issues in slack",
        "jira slack",
        "salesforce",
    ),
    (
        "consultants",
        "we are hubspot partners. send new calendly bookings to airtable",
        "calendly airtable",
        "hubspot",
    ),
    ("where one works", "i work at stripe. post new github issues to slack", "github slack", "stripe"),
    (
        "a course",
        "when someone signs up for the notion course on gumroad, tell slack",
        "gumroad slack",
        "notion",
    ),
    (
        "a conference",
        "we fly to the salesforce conference. post new jira issues to slack",
        "jira slack",
        "salesforce",
    ),
    ("the share price", "each day post the shopify stock price to slack", "slack", "shopify"),
    ("an outage", "when there is a slack outage tell microsoft teams", "microsoft_teams", "slack"),
    (
        "a comparison",
        "like zapier but cheaper than hubspot: new typeform leads to pipedrive",
        "typeform pipedrive",
        "hubspot",
    ),
    (
        "similar to",
        "something similar to trello: make asana tasks from new gmail mails",
        "asana gmail",
        "trello",
    ),
    (
        "faster than",
        "it has to be faster than airtable, so add new typeform answers to postgres",
        "typeform postgres",
        "airtable",
    ),
    (
        "as good as",
        "as good as intercom or not, new zendesk tickets go to slack",
        "zendesk slack",
        "intercom",
    ),
    (
        "subject of an article",
        "have openai write an article about trello and publish it on wordpress",
        "openai wordpress",
        "trello",
    ),
    (
        "subject of a newsletter",
        "write a newsletter about how shopify grew with chatgpt and send it via mailchimp",
        "openai mailchimp",
        "shopify",
    ),
    (
        "subject of a post",
        "publish a post on why slack beats discord to linkedin",
        "linkedin",
        "slack discord",
    ),
    ("does it", "the way asana does it, add new gmail mails to todoist", "gmail todoist", "asana"),
    ("credits", "we got some openai credits. post new github issues to slack", "github slack", "openai"),
    ("aside", "our trello is a mess, anyway: post new github issues to slack", "github slack", "trello"),
    (
        "long story",
        "we tried asana and jira, long story short, new gmail mails go to todoist",
        "gmail todoist",
        "asana jira",
    ),
    (
        "in use anyway",
        "we use microsoft teams for chat. post new github issues to slack",
        "github slack",
        "microsoft_teams",
    ),
]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"), [row[1:] for row in TALK], ids=[row[0] for row in TALK]
)
def test_a_service_that_is_only_the_talk_is_not_used(text: str, wanted: str, unwanted: str, ask: Ask) -> None:
    check_parts(ask(text), wanted, unwanted)


STILL_USED = [
    ("post about news", "publish a post about our new trello cards on linkedin", "trello linkedin"),
    ("posts in", "copy posts on reddit to slack", "reddit slack"),
    ("would like", "I would like trello cards for new gmail mails", "trello gmail"),
    ("I'd like", "I'd like slack to hear about new stripe charges", "slack stripe"),
    ("sync from", "move new leads from typeform to hubspot", "typeform hubspot"),
    ("change in", "changes of deals in pipedrive go to slack", "pipedrive slack"),
    ("migrate", "migrate all cards from trello to asana", "trello asana"),
    ("we use, and need it", "we use asana. create asana tasks from new gmail mails", "asana gmail"),
    ("comment on", "when someone comments on a jira issue tell slack", "jira slack"),
    ("come from", "orders that come from shopify go to slack", "shopify slack"),
    ("coming from", "leads coming from typeform go to hubspot", "typeform hubspot"),
    ("changes from", "send all changes from pipedrive to slack", "pipedrive slack"),
    ("going from", "new cards going from trello to asana", "trello asana"),
    ("our own account", "when our stripe account gets a payment tell slack", "stripe slack"),
    ("news of", "send the latest hacker news stories to telegram", "hacker_news telegram"),
    ("outage of our own", "when uptimerobot sees an outage tell slack", "uptimerobot slack"),
    ("leave a note", "when we have left feedback in typeform tell slack", "typeform slack"),
    ("once", "once a week copy stripe charges to airtable", "stripe airtable"),
]


@pytest.mark.parametrize(
    ("text", "wanted"), [row[1:] for row in STILL_USED], ids=[row[0] for row in STILL_USED]
)
def test_words_near_to_talk_take_no_service_away(text: str, wanted: str, ask: Ask, services_of: Used) -> None:
    assert services_of(ask(text)) == set(wanted.split())


ALTERNATIVES = [
    ("chats", "post new jira issues to slack or discord", "slack discord"),
    (
        "chats with a preposition",
        "post new jira issues to slack or to microsoft teams",
        "slack microsoft_teams",
    ),
    ("stores", "save new gmail attachments in dropbox or in box.com", "dropbox box"),
    ("task lists", "create a task in asana or trello for each zendesk ticket", "asana trello"),
    ("CRMs", "add new typeform leads to hubspot or salesforce", "hubspot salesforce"),
    ("AIs", "sort new zendesk tickets with openai or anthropic and tell slack", "openai anthropic"),
    ("with a comma", "post new jira issues to slack, or discord", "slack discord"),
    ("maybe", "post new jira issues to slack or maybe discord", "slack discord"),
]


@pytest.mark.parametrize(
    ("text", "pair"), [row[1:] for row in ALTERNATIVES], ids=[row[0] for row in ALTERNATIVES]
)
class TestAlternatives:
    """ "Slack or Discord" is a choice, and the person makes it unless the connections have."""

    def test_are_asked_with_exactly_the_two(self, text: str, pair: str, ask: Ask, services_of: Used) -> None:
        analysis = ask(text)
        assert analysis.status == "clarify"
        question = next(q for q in analysis.questions if q.id.startswith("choice_"))
        assert question.options == tuple(pair.split())
        assert not services_of(analysis) & set(pair.split())

    @pytest.mark.parametrize("which", [0, 1])
    def test_are_settled_by_the_connected_one(
        self, text: str, pair: str, which: int, ask: Ask, services_of: Used
    ) -> None:
        chosen, other = pair.split()[which], pair.split()[1 - which]
        analysis = ask(text, chosen)
        assert chosen in services_of(analysis)
        assert other not in services_of(analysis)
        assert not [q for q in analysis.questions if q.id.startswith("choice_")]

    def test_are_asked_still_when_both_are_connected(self, text: str, pair: str, ask: Ask) -> None:
        analysis = ask(text, *pair.split())
        assert [q.options for q in analysis.questions if q.id.startswith("choice_")] == [tuple(pair.split())]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("when a jira issue or a zendesk ticket is new tell slack", {"jira", "zendesk", "slack"}),
        ("when a stripe charge or a typeform answer comes in tell slack", {"stripe", "typeform", "slack"}),
        ("post new sentry errors to slack and discord", {"sentry", "slack", "discord"}),
        ("post new jira issues to slack or slack", {"jira", "slack"}),
    ],
)
def test_what_is_no_choice_is_not_asked(text: str, wanted: set[str], ask: Ask, services_of: Used) -> None:
    analysis = ask(text)
    assert services_of(analysis) == wanted
    assert not [q for q in analysis.questions if q.id.startswith("choice_")]


def test_a_use_outweighs_a_mention_of_the_same_service(ask: Ask) -> None:
    text = "we moved from trello, but until june new gmail mails still become trello cards"
    match = next(m for m in ask(text).services if m.service == "trello")
    assert match.role == "used"
    assert [span.text for span in match.spans] == ["trello", "trello"]


def test_an_exclusion_outweighs_a_mention_of_the_same_service(ask: Ask) -> None:
    text = "we moved from trello to asana. do not use trello. new gmail mails become asana tasks"
    assert {m.service: m.role for m in ask(text).services}["trello"] == "excluded"


FAR = "and also with the greatest care and attention that one could ever imagine in a long sentence "


@pytest.mark.parametrize("words", [10, 20, 40])
def test_a_negation_does_not_reach_across_many_words(words: int, ask: Ask, services_of: Used) -> None:
    filler = " ".join((FAR * 4).split()[:words])
    assert "slack" in services_of(ask(f"never be late {filler} to post new github issues in slack"))


@pytest.mark.parametrize("sign", [". ", "; ", "! ", "\n", ": "])
def test_a_negation_ends_with_its_sentence(sign: str, ask: Ask, services_of: Used) -> None:
    analysis = ask(f"do not use trello{sign}create asana tasks from new zendesk tickets")
    assert services_of(analysis) == {"asana", "zendesk"}


@pytest.mark.parametrize("word", ["but", "just", "only", "then", "because it is quiet,"])
def test_a_negation_ends_at_a_turning_word(word: str, ask: Ask, services_of: Used) -> None:
    analysis = ask(f"do not post it in trello {word} create asana tasks from new zendesk tickets")
    assert services_of(analysis) == {"asana", "zendesk"}
