"""Every usual way to write the name of a service leads to that service, and to no other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from prefect_autopilot.intelligence.document import read
from prefect_autopilot.intelligence.lexicon import lexicon
from prefect_autopilot.intelligence.mentions import find_mentions
from prefect_autopilot.models import Analysis
from prefect_autopilot.services import Catalogue

Used = Callable[[Analysis], set[str]]
Ask = Callable[..., Analysis]

WRITTEN = [
    ("slack", "Slack|slack|SLACK|#ops in slack|Slack's|slack,"),
    ("google_sheets", "Google Sheets|google sheet|googlesheets|g sheets|google-sheets|Google_Sheets"),
    ("google_drive", "Google Drive|gdrive|g drive|GoogleDrive|google-drive"),
    ("google_calendar", "Google Calendar|gcal|google cal|GoogleCalendar"),
    ("google_docs", "Google Docs|google doc|gdocs|google-docs|Google document"),
    ("google_forms", "Google Forms|google form|gforms|GoogleForms"),
    ("google_bigquery", "Google BigQuery|big query|BigQuery|bigquery"),
    ("google_search_console", "Google Search Console|search console|gsc"),
    ("google_analytics", "Google Analytics|GA4|google analytics 4"),
    ("gmail", "Gmail|gmail|g mail|Google Mail|GMAIL"),
    ("microsoft_outlook", "Microsoft Outlook|Outlook|ms outlook|outlook 365"),
    ("microsoft_teams", "Microsoft Teams|MS Teams|ms-teams|MicrosoftTeams"),
    ("microsoft_excel", "Microsoft Excel|Excel|excel 365|MS Excel"),
    ("microsoft_onedrive", "OneDrive|one drive|Microsoft OneDrive|onedrive"),
    ("microsoft_sharepoint", "SharePoint|Microsoft SharePoint|sharepoint"),
    ("microsoft_onenote", "OneNote|Microsoft OneNote|onenote"),
    ("microsoft_dynamics", "Dynamics 365|Microsoft Dynamics|dynamics crm"),
    ("hubspot", "HubSpot|hubspot|hub spot|Hub-Spot|HUBSPOT"),
    ("salesforce", "Salesforce|SalesForce|sales force|SFDC|salesforce.com"),
    ("pipedrive", "Pipedrive|pipedrive|PipeDrive|pipe drive"),
    ("zoho_crm", "Zoho CRM|zoho|Zoho-CRM"),
    ("gohighlevel", "GoHighLevel|go high level|GHL|HighLevel"),
    ("keap", "Keap|Infusionsoft|keap"),
    ("mailchimp", "Mailchimp|MailChimp|mail chimp|mail-chimp"),
    ("brevo", "Brevo|Sendinblue|send in blue|SendInBlue"),
    ("convertkit", "ConvertKit|convert kit|convertkit"),
    ("activecampaign", "ActiveCampaign|active campaign|Active-Campaign"),
    ("sendgrid", "SendGrid|send grid|sendgrid"),
    ("twilio", "Twilio|twilio|Twilio SMS"),
    ("vonage", "Vonage|Nexmo|nexmo"),
    ("whatsapp", "WhatsApp|whats app|whatsapp|WhatsApp Business Cloud"),
    ("telegram", "Telegram|telegram bot|telegram"),
    ("discord", "Discord|discord|DISCORD"),
    ("trello", "Trello|trello|TRELLO|Trello's"),
    ("clickup", "ClickUp|click up|Click-Up|clickup"),
    ("jira", "Jira|JIRA|Jira Software|Atlassian Jira"),
    ("github", "GitHub|git hub|Github|github"),
    ("gitlab", "GitLab|git lab|Gitlab"),
    ("bitbucket", "Bitbucket|bit bucket|BitBucket"),
    ("circleci", "CircleCI|circle ci|circle-ci"),
    ("pagerduty", "PagerDuty|pager duty|pagerduty"),
    ("uptimerobot", "UptimeRobot|uptime robot|uptime-robot"),
    ("freshdesk", "Freshdesk|fresh desk|FreshDesk"),
    ("zendesk", "Zendesk|zen desk|ZenDesk"),
    ("help_scout", "Help Scout|helpscout|HelpScout|help-scout"),
    ("servicenow", "ServiceNow|service now|Service-Now"),
    ("woocommerce", "WooCommerce|woo commerce|woocommerce"),
    ("shopify", "Shopify|shopify|SHOPIFY"),
    ("quickbooks", "QuickBooks|quick books|QBO|Quickbooks"),
    ("freshbooks", "FreshBooks|fresh books|freshbooks"),
    ("paypal", "PayPal|pay pal|paypal"),
    ("wise", "TransferWise|transferwise"),
    ("docusign", "DocuSign|docu sign|docusign"),
    ("pandadoc", "PandaDoc|panda doc|pandadoc"),
    ("dropbox_sign", "Dropbox Sign|HelloSign|hellosign"),
    ("surveymonkey", "SurveyMonkey|survey monkey|Survey-Monkey"),
    ("jotform", "JotForm|jot form|Jotform"),
    ("typeform", "Typeform|type form|TypeForm"),
    ("wordpress", "WordPress|word press|wordpress"),
    ("youtube", "YouTube|you tube|Youtube"),
    ("linkedin", "LinkedIn|linked in|Linkedin"),
    ("twitter", "Twitter|twitter|Twitter/X"),
    ("tiktok", "TikTok|tik tok|tik-tok"),
    ("instagram", "Instagram|insta|Instagram Reels"),
    ("stackexchange", "Stack Overflow|StackOverflow|stack-overflow"),
    ("hacker_news", "Hacker News|hackernews|HN"),
    ("airtable", "Airtable|air table|AirTable"),
    ("postgres", "Postgres|PostgreSQL|postgresql|pgvector"),
    ("mongodb", "MongoDB|mongo db|Mongo|MongoDB Atlas"),
    ("mysql", "MySQL|my sql|MariaDB"),
    ("microsoft_sql_server", "SQL Server|MS SQL|MSSQL|Microsoft SQL Server"),
    ("elasticsearch", "Elasticsearch|ElasticSearch|elastic"),
    ("aws_s3", "AWS S3|Amazon S3|S3|aws-s3"),
    ("aws_sqs", "SQS|AWS SQS|Amazon SQS"),
    ("aws_dynamodb", "DynamoDB|AWS DynamoDB|dynamodb"),
    ("openai", "OpenAI|ChatGPT|chat gpt|GPT-4o|gpt 4|DALL-E|gpt-5-mini"),
    ("anthropic", "Anthropic|Claude|claude 3.5|Claude AI"),
    ("google_gemini", "Gemini|Google Gemini|gemini 2.5"),
    ("mistral", "Mistral|Mistral OCR|mistral"),
    ("perplexity", "Perplexity|perplexity ai|perplexity sonar"),
    ("hugging_face", "Hugging Face|HuggingFace|hugging-face"),
    ("elevenlabs", "ElevenLabs|eleven labs|11labs"),
    ("deepl", "DeepL|deepl"),
    ("kubernetes", "Kubernetes|k8s|K8s"),
    ("home_assistant", "Home Assistant|homeassistant|hass"),
    ("ynab", "YNAB|You Need a Budget|ynab"),
    ("calendly", "Calendly|calendly"),
    ("cal_com", "Cal.com|cal.com"),
    ("openweathermap", "OpenWeatherMap|open weather map|OpenWeather"),
    ("microsoft_todo", "Microsoft To Do|Microsoft To-Do|MS Todo|microsoft todo"),
]
SPELLINGS = [(service, form) for service, forms in WRITTEN for form in forms.split("|")]


@pytest.mark.parametrize(("service", "form"), SPELLINGS, ids=[f"{s}: {f}" for s, f in SPELLINGS])
def test_every_usual_spelling_is_the_service_and_nothing_else(
    service: str, form: str, catalogue: Catalogue
) -> None:
    text = f"copy the numbers from {form} each night"
    found = find_mentions(read(text), lexicon(catalogue))
    assert [mention.service for mention in found] == [service]


@pytest.mark.parametrize(("service", "form"), SPELLINGS[::3], ids=[f"{s}: {f}" for s, f in SPELLINGS[::3]])
def test_a_spelling_at_the_end_of_a_sentence_is_read_too(
    service: str, form: str, catalogue: Catalogue
) -> None:
    found = find_mentions(read(f"the numbers should end up in {form}."), lexicon(catalogue))
    assert [mention.service for mention in found] == [service]


LONGEST = [
    ("a product of a family", "new rows in Google Sheets", "google_sheets"),
    ("a brand inside a brand", "sign it with Dropbox Sign", "dropbox_sign"),
    ("the brand itself", "put the file into Dropbox", "dropbox"),
    ("a module of a suite", "new leads from Facebook Lead Ads", "facebook_lead_ads"),
    ("the suite's help desk", "tickets from Zoho Desk", "zoho_desk"),
    ("the suite's bookkeeping", "invoices from Zoho Books", "zoho_books"),
    ("the suite's mail", "letters from Zoho Mail", "zoho_mail"),
    ("an AI inside a cloud", "ask Azure OpenAI", "azure_openai"),
    ("the cloud", "restart it on Azure", "azure"),
    ("a service of a cloud", "drop it in AWS S3", "aws_s3"),
    ("a database of a cloud", "look it up in AWS DynamoDB", "aws_dynamodb"),
    ("chat of a search company", "post in Google Chat", "google_chat"),
    ("tasks of a search company", "add it to Google Tasks", "google_tasks"),
    ("maps of a search company", "look the place up in Google Maps", "google_maps"),
    ("ads of a search company", "read the clicks of Google Ads", "google_ads"),
    ("a mail product of a mail brand", "send it with Mandrill", "mandrill"),
    ("a list tool with mail in its name", "subscribe them in MailerLite", "mailerlite"),
    ("a CRM of the help desk maker", "leads of Freshworks CRM", "freshworks_crm"),
    ("the status page", "open an incident in Statuspage", "statuspage"),
    ("the registry of containers", "new images on Docker Hub", "docker_hub"),
]


@pytest.mark.parametrize(("text", "service"), [row[1:] for row in LONGEST], ids=[row[0] for row in LONGEST])
def test_the_longest_name_wins_over_the_shorter_inside_it(
    text: str, service: str, catalogue: Catalogue
) -> None:
    found = find_mentions(read(text), lexicon(catalogue))
    assert [mention.service for mention in found] == [service]


PAIRS = [
    ("arrow", "Gmail -> Slack", "gmail slack"),
    ("long arrow", "Gmail ---> Slack", "gmail slack"),
    ("sign of an arrow", "Gmail → Slack", "gmail slack"),
    ("fat arrow", "Gmail => Slack", "gmail slack"),
    ("slash", "post to slack/discord", "slack discord"),
    ("slash with spaces", "post to slack / discord", "slack discord"),
    ("plus", "trello+asana in sync", "trello asana"),
    ("ampersand", "sync Trello & Asana", "trello asana"),
    ("comma", "post to slack,discord,telegram", "slack discord telegram"),
    ("list with and", "post to slack, discord and telegram", "slack discord telegram"),
    ("brackets", "send it (to Slack) from (Stripe)", "slack stripe"),
    ("square brackets", "[Stripe] to [Slack]", "stripe slack"),
    ("double quotes", 'from "Stripe" to "Slack"', "stripe slack"),
    ("single quotes", "from 'Stripe' to 'Slack'", "stripe slack"),
    ("curly quotes", "from “Stripe” to “Slack”", "stripe slack"),
    ("bold", "from **Stripe** to **Slack**", "stripe slack"),
    ("underscores", "from _Stripe_ to _Slack_", "stripe slack"),
    ("backticks", "from `Stripe` to `Slack`", "stripe slack"),
    ("colon", "Stripe: new charge. Slack: message.", "stripe slack"),
    ("possessive", "Stripe's charges in Slack's channel", "stripe slack"),
    ("curly possessive", "Stripe’s charges in Slack’s channel", "stripe slack"),
    ("lines", "Stripe\nto\nSlack", "stripe slack"),
    ("bullets", "- read Stripe\n- post to Slack", "stripe slack"),
    ("numbers", "1. read Stripe\n2. post to Slack", "stripe slack"),
    ("tabs", "Stripe\t->\tSlack", "stripe slack"),
    ("windows line ends", "read Stripe\r\npost to Slack\r\n", "stripe slack"),
    ("non-breaking spaces", "from\u00a0Stripe\u00a0to\u00a0Slack", "stripe slack"),
    ("zero-width joiner", "from Str\u200dipe to Sl\u200back", "stripe slack"),
    ("soft hyphen", "from Str\u00adipe to Sla\u00adck", "stripe slack"),
    ("wide letters", "from Ｓｔｒｉｐｅ to Ｓｌａｃｋ", "stripe slack"),
    ("emoji", "💳 Stripe ➜ 💬 Slack", "stripe slack"),
    ("exclamation", "post Stripe charges to Slack!!!", "stripe slack"),
    ("ellipsis", "from Stripe... to Slack...", "stripe slack"),
    ("and-or", "post to slack and/or discord", "slack discord"),
    ("suffix app", "the Slack app hears of the Stripe account", "slack stripe"),
    ("suffix integration", "Stripe integration with Slack", "stripe slack"),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_signs_around_a_name_do_not_hide_it(text: str, expected: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(text), lexicon(catalogue))
    assert [mention.service for mention in found] == expected.split()


NOT_NAMES = [
    ("address of mail", "write to stripe@example.com about it"),
    ("address at a brand", "write to bob@slack.com about it"),
    ("link", "open https://trello.com/b/abc"),
    ("link with path", "see https://example.com/slack/trello?x=asana"),
    ("channel", "the channel #stripe is loud"),
    ("part of a word", "slackline and trellowork"),
    ("plural of a plain word", "stripes and slacks"),
    ("platform", "a zapier zap in n8n"),
    ("our own name", "a prefect flow"),
    ("another platform", "an ifttt applet or an integromat scenario"),
    ("a number", "123 and 4567"),
    ("letters apart", "s l a c k"),
    ("one letter apart", "a mazon and t rello"),
    ("generic mail", "an email with a webhook over http"),
    ("generic text", "an sms or a text message"),
    ("generic place", "a calendar and a database"),
    ("hyphenated end of a word", "a break-linear thing"),
]


@pytest.mark.parametrize("text", [row[1] for row in NOT_NAMES], ids=[row[0] for row in NOT_NAMES])
def test_what_only_holds_the_letters_of_a_name_is_none(text: str, catalogue: Catalogue) -> None:
    assert find_mentions(read(text), lexicon(catalogue)) == ()


VERSIONS = [
    ("gpt-4o", "openai"),
    ("gpt-5", "openai"),
    ("GPT-4.1", "openai"),
    ("gpt 4 turbo", "openai"),
    ("Claude 4", "anthropic"),
    ("claude-3", "anthropic"),
    ("Gemini 2.5", "google_gemini"),
]


@pytest.mark.parametrize(("form", "service"), VERSIONS, ids=[form for form, _ in VERSIONS])
def test_a_version_of_a_model_is_its_maker(form: str, service: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(f"let {form} sort them"), lexicon(catalogue))
    assert service in [mention.service for mention in found]


@pytest.mark.parametrize("text", ["trello9 is a board", "slack-2 is a room", "stripe2024.csv"])
def test_only_models_have_versions(text: str, catalogue: Catalogue) -> None:
    found = find_mentions(read(text), lexicon(catalogue))
    assert not [mention for mention in found if mention.form == "version"]


def test_a_name_two_services_share_tells_the_other(ask: Ask) -> None:
    match = next(m for m in ask("log new Firebase records to Slack").services if m.role == "used")
    assert {match.service, *match.alternatives} == {"firebase", "firestore"}


@pytest.mark.parametrize("connected", ["firebase", "firestore"])
def test_of_two_owners_of_a_name_the_connected_is_meant(connected: str, ask: Ask, services_of: Used) -> None:
    assert connected in services_of(ask("log new Firebase records to Slack", connected))


def test_the_place_of_a_mention_is_the_name_alone(catalogue: Catalogue) -> None:
    text = "copy 'Google Sheets' rows into (Trello)."
    places = [text[m.start : m.end] for m in find_mentions(read(text), lexicon(catalogue))]
    assert places == ["Google Sheets", "Trello"]


def test_mentions_come_in_the_order_of_the_text_and_never_overlap(catalogue: Catalogue) -> None:
    text = "dropbox sign, dropbox, google drive and drive for google, slack in microsoft teams"
    found = find_mentions(read(text), lexicon(catalogue))
    assert [m.start for m in found] == sorted(m.start for m in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (7, 7), (8, 8), (9, 8), (40, 8)])
def test_of_one_service_eight_mentions_are_kept(count: int, kept: int, catalogue: Catalogue) -> None:
    text = " and ".join(["slack"] * count)
    assert len(find_mentions(read(text), lexicon(catalogue))) == kept


def test_the_cap_of_one_service_hides_no_other(catalogue: Catalogue) -> None:
    text = " and ".join(["slack"] * 30) + " and trello"
    assert find_mentions(read(text), lexicon(catalogue))[-1].service == "trello"


def test_every_display_name_of_the_catalogue_that_is_no_word_leads_to_its_owner(catalogue: Catalogue) -> None:
    names = lexicon(catalogue)
    lost = []
    for service in catalogue.services:
        entry = next((e for e in names.entries.values() if e.name == service.name), None)
        if entry is None or entry.doubtful or len(service.name.split()) > 6:
            continue
        found = find_mentions(read(f"copy it from {service.name} today"), names)
        if not any(service.id in mention.services for mention in found):
            lost.append(service.name)
    assert lost == []
