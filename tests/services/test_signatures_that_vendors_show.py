"""Signatures as the vendors' own documents show them: secret, body and result come from there, not from us.

GitHub: "Validating webhook deliveries"; Slack: "Verifying requests"; Twilio: "Validating requests";
Standard Webhooks: the test of its reference library.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from prefect_autopilot.errors import SignatureError
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.services.signatures import STANDARD, verify


class Shown(NamedTuple):
    """What a document shows."""

    secret: str
    headers: dict[str, str]
    body: bytes
    at: int
    url: str = ""


SHOWN = {
    "github": Shown(
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
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
