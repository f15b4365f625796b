"""Signatures as documents and tests of vendors show them: secret, body and result are theirs, not ours.

Documents: GitHub "Validating webhook deliveries", Slack "Verifying requests", Twilio "Validating requests",
Bitbucket "Manage webhooks", CircleCI "Outbound webhooks", Notion "Webhooks". Tests: Standard Webhooks
(reference library), Box (box-python-sdk 656e9bbb test/webhooks.py), HubSpot (hubspot-api-python a2a528a9
tests/spec/utils/test_signature.py), LINE (line-bot-sdk 3.27.0 tests/v3/test_webhook.py), PagerDuty
(go-pagerduty d34fb98 webhookv3/webhookv3_test.go), SendGrid (sendgrid-python 76788e7
test/unit/test_eventwebhook.py), Shopify (go-shopify 02fd1ba oauth_test.go, not the vendor's own), Square
(square-python-sdk 24302bac tests/integration/test_webhooks_helper.py), Stripe (stripe-dotnet d33036292
src/StripeTests/Services/Events/EventUtilityTest.cs).

For the others a recorded construction stands in: what the code of a vendor or connector hashes, with its line
(``tests/contracts/recorded_webhooks.json``); the signatures below are made of that alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prefect_autopilot.errors import SignatureError
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.services.signatures import STANDARD, verify


class Shown(NamedTuple):
    """What a document shows."""

    secret: str
    headers: dict[str, str]
    body: bytes
    at: int = 0
    url: str = ""


PAGERDUTY = json.dumps(
    {
        "event": {
            "id": "01BWDWL3NYY7LUFPZCC28QUCMK",
            "event_type": "incident.priority_updated",
            "resource_type": "incident",
            "occurred_at": "2021-04-26T17:36:27.458Z",
            "agent": {
                "html_url": "https://acme.pagerduty.com/users/PLH1HKV",
                "id": "PLH1HKV",
                "self": "https://api.pagerduty.com/users/PLH1HKV",
                "summary": "Tenex Engineer",
                "type": "user_reference",
            },
            "client": None,
            "data": {
                "id": "PGR0VU2",
                "type": "incident",
                "self": "https://api.pagerduty.com/incidents/PGR0VU2",
                "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
                "number": 2,
                "status": "triggered",
                "title": "A little bump in the road",
                "service": {
                    "html_url": "https://acme.pagerduty.com/services/PF9KMXH",
                    "id": "PF9KMXH",
                    "self": "https://api.pagerduty.com/services/PF9KMXH",
                    "summary": "API Service",
                    "type": "service_reference",
                },
                "assignees": [
                    {
                        "html_url": "https://acme.pagerduty.com/users/PTUXL6G",
                        "id": "PTUXL6G",
                        "self": "https://api.pagerduty.com/users/PTUXL6G",
                        "summary": "User 123",
                        "type": "user_reference",
                    }
                ],
                "escalation_policy": {
                    "html_url": "https://acme.pagerduty.com/escalation_policies/PUS0KTE",
                    "id": "PUS0KTE",
                    "self": "https://api.pagerduty.com/escalation_policies/PUS0KTE",
                    "summary": "Default",
                    "type": "escalation_policy_reference",
                },
                "teams": [
                    {
                        "html_url": "https://acme.pagerduty.com/teams/PFCVPS0",
                        "id": "PFCVPS0",
                        "self": "https://api.pagerduty.com/teams/PFCVPS0",
                        "summary": "Engineering",
                        "type": "team_reference",
                    }
                ],
                "priority": {
                    "html_url": "https://acme.pagerduty.com/account/incident_priorities",
                    "id": "PSO75BM",
                    "self": "https://api.pagerduty.com/priorities/PSO75BM",
                    "summary": "P1",
                    "type": "priority_reference",
                },
                "urgency": "high",
                "conference_bridge": {"conference_number": 1000, "conference_url": "https://example.com"},
                "resolve_reason": None,
            },
        }
    },
    separators=(",", ":"),
).encode()
STRIPE = (
    json.dumps(
        {
            "id": "evt_123",
            "object": "event",
            "account": "acct_123",
            "api_version": "2017-05-25",
            "created": 1533204620,
            "data": {
                "object": {
                    "id": "cus_123",
                    "object": "customer",
                    "created": 123456789,
                    "email": "test@stripe.com",
                    "livemode": False,
                    "metadata": {},
                }
            },
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": "req_123", "idempotency_key": "idempotency-key-123"},
            "type": "customer.created",
        },
        indent=2,
    ).encode()
    + b"\n"
)

SHOWN = {
    "github": Shown(
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    "slack": Shown(
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "X-Slack-Request-Timestamp": "1531420618",
        },
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        1531420618,
    ),
    "twilio": Shown(
        "12345",
        {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
        0,
        "https://mycompany.com/myapp.php?foo=1&bar=2",
    ),
    "bitbucket": Shown(
        "It's a Secret to Everybody",
        {"X-Hub-Signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"},
        b"Hello World!",
    ),
    "box": Shown(
        "SamplePrimaryKey",
        {
            "Box-Delivery-Id": "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f",
            "Box-Delivery-Timestamp": "2020-01-01T00:00:00-07:00",
            "Box-Signature-Primary": "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI=",
        },
        b'{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED",'
        b'"source":{"id":"1234567890","type":"file","name":"Test.txt"}}',
        1577862000,
    ),
    "circleci": Shown(
        "hunter123",
        {"circleci-signature": "v1=9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa"},
        b"an-important-request-payload",
    ),
    "hubspot": Shown(
        "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        {
            "X-HubSpot-Signature-v3": "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
            "X-HubSpot-Request-Timestamp": "1693657560000",
        },
        b"{'example_field':'example_value'}",
        1693657560,
        "https://www.example.com/webhook_uri",
    ),
    "line": Shown(
        "channel_secret",
        {"X-Line-Signature": "/gg9a+LvFevTH1sd7XCQycD7tsWclCsInj7MhBHxN7k="},
        b"bodybodybodybody",
    ),
    "notion": Shown(
        "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
        {"X-Notion-Signature": "sha256=461e8cbcba8a75c3edd866f0e71280f5a85cbf21eff040ebd10fe266df38a735"},
        b'{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}',
    ),
    "pagerduty": Shown(
        "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK",
        {
            "X-PagerDuty-Signature": "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd",
        },
        PAGERDUTY,
    ),
    "sendgrid": Shown(
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVp"
        "iglSI8eNEc6wEA3F+g==",
        {
            "X-Twilio-Email-Event-Webhook-Signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEA"
            "yBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
            "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
        },
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n',
        1600112502,
    ),
    "shopify": Shown(
        "hush",
        {"X-Shopify-Hmac-Sha256": "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI="},
        b'"my secret message"',
    ),
    "square": Shown(
        "Ibxx_5AKakO-3qeNVR61Dw",
        {"X-Square-HmacSha256-Signature": "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="},
        b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
        b'"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
        b'"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}',
        url="https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
    ),
    "stripe": Shown(
        "webhook_secret",
        {
            "Stripe-Signature": "t=1533204620,"
            "v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7,v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef"
        },
        STRIPE,
        1533204620,
    ),
    "standard": Shown(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
}


def checked(name: str, **other: Any) -> Any:
    shown = SHOWN[name]._replace(**other)
    signature = STANDARD if name == "standard" else load_catalogue().get(name).webhook
    assert signature is not None
    return verify(
        signature,
        secrets=[shown.secret],
        headers=shown.headers | {"Content-Type": "application/x-www-form-urlencoded"},
        body=shown.body,
        url=shown.url,
        now=datetime.fromtimestamp(shown.at, UTC),
    )


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_document_shows_is_taken_and_a_byte_more_is_not(name: str) -> None:
    assert checked(name).digest
    with pytest.raises(SignatureError):
        checked(name, body=SHOWN[name].body + b"&x=1")


RECORDED = json.loads((Path(__file__).parents[1] / "contracts" / "recorded_webhooks.json").read_text("utf-8"))
AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ADDRESS = "https://hooks.example/hooks/x-default"
POSTED = b'{"id": "evt_1", "text": "caf\xc3\xa9"}'
SECRET = "00c0ffee00"  # made up; hex, for those who want that
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"d" * 32)


def made_by(fact: dict[str, Any], body: bytes = POSTED) -> dict[str, str]:
    """Return the headers that code would send which does what was recorded of it, and nothing else."""
    moment = {"ms": str(int(AT.timestamp() * 1000)), "iso": "2026-03-02T12:00:00Z"}
    stamp = moment.get(fact.get("unit", "s"), str(int(AT.timestamp())))
    signed = fact.get("signed", "{body}").replace("{timestamp}", stamp).replace("{url}", ADDRESS)
    content = signed.encode().replace(b"{body}", body)
    if fact["digest"] == "none":
        made = SECRET
    elif fact["digest"] == "ed25519":
        made = PRIVATE.sign(content).hex()
    else:
        key = bytes.fromhex(SECRET) if fact.get("key") == "hex" else SECRET.encode()
        raw = hmac.new(key, content, getattr(hashlib, fact["digest"])).digest()
        made = raw.hex() if fact.get("encoding", "hex") == "hex" else base64.b64encode(raw).decode()
    written = fact.get("written", "{signature}").replace("{timestamp}", stamp).replace("{signature}", made)
    return {fact["header"]: written} | ({fact["time"]: stamp} if "time" in fact else {})


@pytest.mark.parametrize("service", RECORDED)
def test_what_code_signs_that_does_as_was_recorded_is_taken_and_another_body_is_not(service: str) -> None:
    fact, signature = RECORDED[service], load_catalogue().get(service).webhook
    assert signature is not None
    public = fact["digest"] == "ed25519"
    secret = PRIVATE.public_key().public_bytes_raw().hex() if public else SECRET
    common: Any = {"secrets": [secret], "url": ADDRESS, "now": AT}

    assert verify(signature, headers=made_by(fact), body=POSTED, **common).digest
    if fact["digest"] == "none":
        with pytest.raises(SignatureError):
            verify(signature, headers={fact["header"]: SECRET + "0"}, body=POSTED, **common)
        return
    with pytest.raises(SignatureError):
        verify(signature, headers=made_by(fact), body=POSTED + b" ", **common)


def test_every_scheme_is_held_by_a_shown_signature_or_by_a_recorded_construction() -> None:
    signing = {service.id for service in load_catalogue().services if service.webhook}
    assert signing == (set(SHOWN) - {"standard"}) | set(RECORDED)
    assert set(SHOWN) & set(RECORDED) == set()
    told = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
    assert f"({len(SHOWN) - 1} services and Standard Webhooks)" in told
    assert f"({len(RECORDED)} services)" in told


@pytest.mark.parametrize("service", RECORDED)
def test_a_recorded_construction_names_its_source(service: str) -> None:
    fact = RECORDED[service]
    if "source" not in fact:
        assert fact["page"].startswith("https://")
        return
    assert set(fact["source"]) == {"name", "version", "file", "sha256", "recorded"}
    assert all(re.fullmatch(re.escape(fact["source"]["file"]) + r":\d+", place) for place in fact["at"])
