"""What starts an automation that is told in a few words, as a title or a note."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_autopilot.models import Analysis

Ask = Callable[..., Analysis]

STARTS = [
    ("This flow checks for new emails in a mailbox and saves the attachment to Dropbox.", "email", None),
    ("Whenever a mail arrives in our shared mailbox, create a Zendesk ticket", "email", None),
    ("Process incoming emails with OpenAI and save them to Airtable", "email", None),
    ("Monitors email alerts and restarts the droplet in DigitalOcean", "email", None),
    ("Email to Trello card", "email", None),
    ("Send an SMS via Twilio for new Gmail emails", "email", "gmail"),
    ("Create an Asana task for new posts on a Facebook page", "app_event", "facebook"),
    ("Send a Slack message for new GitHub issues", "app_event", "github"),
    ("Make a list of all new followers on Twitter", "app_event", "twitter"),
    ("Dropbox files to Google Drive automatically", "app_event", "dropbox"),
    ("New Trello cards to Slack automatically", "app_event", "trello"),
    ("Sync Google Calendar with Trello", "app_event", "google_calendar"),
    ("Turn starred Slack messages into Trello cards", "app_event", "slack"),
    ("tool for moving Pipedrive deals into QuickBooks", "app_event", "pipedrive"),
    ("Send new Shopify orders to a webhook", "app_event", "shopify"),
    ("Capture form submissions and store them in Airtable", "form", None),
    ("Save contact form entries to HubSpot", "form", None),
    ("A chatbot that answers questions about our Notion pages with OpenAI", "chat", None),
    ("Chat with your PDF files in Google Drive using OpenAI", "chat", None),
    ("Triggered by a chat message, it searches Google Drive with OpenAI", "chat", None),
    ("Create an exchange rate API with CoinGecko", "webhook", None),
    ("Expose an HTTP endpoint that looks up a customer in Stripe", "webhook", None),
    ("Triggers a webhook which creates a HubSpot contact", "webhook", None),
    ("Create pictures with the OpenAI API and save them to Dropbox", "manual", None),
    ("Schedule your tweets from Google Sheets", "schedule", None),
    ("Daily digest of Hacker News to Slack", "schedule", None),
    ("Make and schedule social media posts with OpenAI", "schedule", None),
    ("Schedule AI-written digests of Reddit", "schedule", None),
    ("The simplest way to schedule your tweets.", "schedule", None),
    ("Looks at daily sales in a Google Sheet and tells Slack if they exceed 100", "schedule", None),
    ("Make Evernote notes from new tickets in a Zendesk view", "app_event", "zendesk"),
    ("Get a text alert for a new Twitter mention", "app_event", "twitter"),
    ("New people out of an Intercom chat transcript go into Mailchimp", "app_event", "intercom"),
    ("Mirrors our Airtable in Google Sheets seamlessly", "app_event", "airtable"),
    ("It helps to keep my calendar in sync with Trello", "app_event", "trello"),
    ("This collects applications as form submissions and puts them in Airtable", "form", None),
    ("This flow looks for new emails in a mailbox and if one holds a bill sends it to Xero", "email", None),
    ("AI agent that checks reports with Gmail and OpenAI", "email", None),
    ("Email directly into a Notion page", "email", None),
    ("Track ideas in Trello using email", "email", None),
    ("Post to Slack and create a Jira ticket", "manual", None),
    ("Company finder via form using Apollo and OpenAI", "form", None),
    ("Send new HubSpot contacts or form entries to Mailchimp", "app_event", "hubspot"),
    ("New contacts in HubSpot after a form submission become registrants in Zoom", "app_event", "hubspot"),
    ("By adding a new deal to Pipedrive it adds a project in Asana", "app_event", "pipedrive"),
    ("Every time a page is added, webhooks are sent to this flow that posts to Slack", "webhook", None),
    ("Manage Trello with an AI assistant via chat and webhook", "chat", None),
    ("Keeps track of offers sent to an email address and stores them in Notion", "email", None),
    ("Mastodon mention notifier by e-mail", "app_event", "mastodon"),
    ("JSON API for exchange rates kept in Redis", "webhook", None),
    ("Write & schedule LinkedIn posts with OpenAI", "schedule", None),
    ("Conversational chatbot with OpenAI for pictures, on Telegram", "app_event", "telegram"),
    ("This zap lets you tweet each new Ghost post automatically", "app_event", "ghost"),
    ("Fetch notes from Evernote, which I use regularly, into Asana", "app_event", "evernote"),
    ("Notes taken with Evernote are sent to a list in Trello", "app_event", "evernote"),
    ("Watch prices with Apify and alert the team in Microsoft Teams", "manual", None),
]


@pytest.mark.parametrize(("text", "kind", "service"), STARTS, ids=[row[0] for row in STARTS])
def test_a_few_words_say_what_starts_it(text: str, kind: str, service: str | None, ask: Ask) -> None:
    trigger = ask(text).trigger
    assert trigger is not None
    assert trigger.type == kind
    assert service is None or trigger.service == service


USUAL = [
    ("New Trello cards to Slack automatically", "slack", "post_message"),
    ("Daily digest of Hacker News to Slack", "slack", "post_message"),
    ("Tell everybody about new Trello cards via Telegram", "telegram", "send_message"),
]


@pytest.mark.parametrize(("text", "service", "operation"), USUAL, ids=[row[0] for row in USUAL])
def test_the_usual_thing_is_done_where_no_words_say_another(
    text: str, service: str, operation: str, ask: Ask
) -> None:
    step = next(step for step in ask(text).steps if step.service == service)
    assert step.operation == operation
