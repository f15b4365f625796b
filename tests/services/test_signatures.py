"""Every scheme by which services sign, with keys that rotate, times that are off and forgeries."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import ConfigurationError, SignatureError
from prefect_autopilot.models import Service, ServiceTrigger, WebhookSignature
from prefect_autopilot.services import STANDARD, find_operation, load_catalogue, signs_url, verify

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECRET = "5ecre7"  # made up
URL = "https://hooks.example/hooks/x-default"
BODY = b'{"id": "evt_1", "event_id": "Ev1", "update_id": 7, "text": "caf\xc3\xa9"}'
CATALOGUE = load_catalogue()
SIGNING = {service.id: service.webhook for service in CATALOGUE.services if service.webhook}
SCHEMES = {**SIGNING, "standard": STANDARD}
TRIGGERS = [
    pytest.param(service, trigger, id=f"{service.id}.{trigger.event}")
    for service in CATALOGUE.services
    for trigger in service.triggers
]
EACH = pytest.mark.parametrize("name", sorted(SCHEMES))
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
CURVE_KEY = derive_private_key(7, SECP256R1())
WITH_PUBLIC_KEY = ("ed25519", "ecdsa")
DIGESTS: dict[str, Any] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def secret_of(one: WebhookSignature, text: str = SECRET) -> str:
    if one.algorithm == "ed25519":
        return KEY.public_key().public_bytes_raw().hex()
    if one.algorithm == "ecdsa":
        told = CURVE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(told).decode()
    if one.key == "base64":
        return "whsec_" + base64.b64encode(text.encode()).decode()
    return text.encode().hex() if one.key == "hex" else text


def stamp_of(one: WebhookSignature, at: datetime) -> str:
    if one.timestamp_unit == "iso":
        return at.isoformat()
    return str(int(at.timestamp() * (1000 if one.timestamp_unit == "ms" else 1)))


def headers_of(
    one: WebhookSignature, body: bytes = BODY, at: datetime = NOW, text: str = SECRET
) -> dict[str, str]:
    """Sign as the service does; written apart from the product on purpose."""
    stamp = stamp_of(one, at)
    values = {"timestamp": stamp, "id": "d-1", "url": URL, "method": "POST", "form": "\0", "body": "\0"}
    first, mark, last = one.template.format(**values).partition("\0")
    content = first.encode() + (body if mark else b"") + last.encode()
    if one.algorithm == "token":
        made = text
    elif one.algorithm == "ed25519":
        made = KEY.sign(content).hex()
    elif one.algorithm == "ecdsa":
        made = base64.b64encode(CURVE_KEY.sign(content, ECDSA(SHA256()))).decode()
    else:
        raw = hmac.new(text.encode(), content, DIGESTS[one.algorithm]).digest()
        made = raw.hex() if one.encoding == "hex" else base64.b64encode(raw).decode()
    if one.signature_key:
        header = f"{one.timestamp_key}={stamp},{one.signature_key}={made}"
    else:
        header = one.prefix + made
    told = {one.header: header}
    if one.timestamp_header:
        told[one.timestamp_header] = stamp
    if one.delivery_id_header:
        told[one.delivery_id_header] = "d-1"
    return told


def check(one: WebhookSignature, headers: dict[str, str], **more: Any) -> Any:
    given = {"secrets": [secret_of(one)], "body": BODY, "url": URL, "now": NOW} | more
    return verify(one, headers=headers, **given)


@EACH
def test_what_the_service_signed_is_taken(name: str) -> None:
    one = SCHEMES[name]
    assert check(one, headers_of(one)).id


@EACH
def test_another_body_is_refused(name: str) -> None:
    one = SCHEMES[name]
    if one.algorithm == "token" or "{form}" in one.template:
        return
    with pytest.raises(SignatureError) as raised:
        check(one, headers_of(one), body=BODY + b" ")
    assert raised.value.reason == "mismatch"


@EACH
def test_another_secret_is_refused_and_never_shown(name: str) -> None:
    one = SCHEMES[name]
    if one.algorithm in WITH_PUBLIC_KEY:
        return
    with pytest.raises(SignatureError) as raised:
        check(one, headers_of(one, text="forged"))
    assert raised.value.reason == "mismatch"
    assert SECRET not in raised.value.message
    assert raised.value.permanent


@EACH
def test_an_unsigned_webhook_is_refused(name: str) -> None:
    with pytest.raises(SignatureError) as raised:
        check(SCHEMES[name], {})
    assert raised.value.reason == "missing"
    assert SCHEMES[name].header in raised.value.message


@EACH
def test_the_secret_before_is_taken_while_keys_rotate(name: str) -> None:
    one = SCHEMES[name]
    if one.algorithm not in WITH_PUBLIC_KEY:
        check(one, headers_of(one), secrets=[secret_of(one, "next"), secret_of(one)])


@EACH
def test_names_of_headers_are_read_in_any_case(name: str) -> None:
    one = SCHEMES[name]
    check(one, {key.upper(): value for key, value in headers_of(one).items()})


@EACH
@pytest.mark.parametrize(("seconds", "reason"), [(-301, "old"), (301, "future"), (-299, None), (299, None)])
def test_a_signed_time_may_be_five_minutes_off(name: str, seconds: int, reason: str | None) -> None:
    one = SCHEMES[name]
    if "{timestamp}" not in one.template:
        return
    headers = headers_of(one, at=NOW + timedelta(seconds=seconds))
    if reason is None:
        assert check(one, headers).at == NOW + timedelta(seconds=seconds)
        return
    with pytest.raises(SignatureError) as raised:
        check(one, headers)
    assert raised.value.reason == reason


@EACH
@given(junk=st.text(max_size=60), body=st.binary(max_size=40))
def test_junk_is_refused_and_nothing_else_happens(name: str, junk: str, body: bytes) -> None:
    one = SCHEMES[name]
    headers = {one.header: junk, one.timestamp_header or "x": junk, one.delivery_id_header or "y": junk}
    if junk.strip() != SECRET:
        with pytest.raises(SignatureError):
            check(one, headers, body=body)


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]], ids=["none", "empty", "both empty"])
def test_without_a_secret_nothing_is_taken(secrets: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="webhook_secret"):
        check(SIGNING["github"], headers_of(SIGNING["github"], text=""), secrets=secrets)


def test_a_secret_that_is_no_key_is_told() -> None:
    with pytest.raises(ConfigurationError, match="base64"):
        check(STANDARD, headers_of(STANDARD), secrets=["whsec_!"])


@pytest.mark.parametrize("name", ["discord", "sendgrid"])
@pytest.mark.parametrize(
    "secret", ["", "zz", base64.b64encode(b"no key").decode()], ids=["none", "no text of a key", "no key"]
)
def test_a_public_key_that_is_none_is_told(name: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match="webhook_secret"):
        check(SIGNING[name], headers_of(SIGNING[name]), secrets=[secret])


@pytest.mark.parametrize("name", ["stripe", "calendly"])
def test_one_of_several_signatures_is_enough(name: str) -> None:
    headers = headers_of(SIGNING[name])
    headers[SIGNING[name].header] += ",v1=" + "0" * 64 + ",v0=old"
    check(SIGNING[name], headers)


def test_signatures_of_standard_webhooks_may_be_several() -> None:
    headers = headers_of(STANDARD)
    headers["webhook-signature"] = "v1,bm9uZQ== v1a,other " + headers["webhook-signature"]
    assert check(STANDARD, headers).id == "d-1"


def test_the_id_of_standard_webhooks_is_signed() -> None:
    with pytest.raises(SignatureError):
        check(STANDARD, headers_of(STANDARD) | {"webhook-id": "d-2"})


def test_twilio_signs_its_sorted_form_and_the_digest_of_other_bodies() -> None:
    one = SIGNING["twilio"]
    made = hmac.new(SECRET.encode(), (URL + "AHiBThere").encode(), hashlib.sha1).digest()
    headers = {one.header: base64.b64encode(made).decode()}
    check(one, headers, body=b"B=There&A=Hi")
    url = f"{URL}?bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    made = hmac.new(SECRET.encode(), url.encode(), hashlib.sha1).digest()
    headers = {one.header: base64.b64encode(made).decode()}
    check(one, headers, url=url)
    with pytest.raises(SignatureError):
        check(one, headers, url=url, body=BODY + b" ")


@pytest.mark.parametrize("name", ["hubspot", "square", "trello", "twilio"])
def test_another_address_is_refused_where_it_is_signed(name: str) -> None:
    assert signs_url(SIGNING[name])
    with pytest.raises(SignatureError, match="public_url"):
        check(SIGNING[name], headers_of(SIGNING[name]), url="http://127.0.0.1:8642/hooks/x-default")


def test_enough_services_are_known_and_each_scheme_names_its_source() -> None:
    assert len(SIGNING) >= 15
    assert all(one.sources for one in SIGNING.values())
    assert len({service.id for service in CATALOGUE.services if service.triggers}) >= 60


@pytest.mark.parametrize(("service", "trigger"), TRIGGERS)
def test_a_trigger_is_whole(service: Service, trigger: ServiceTrigger) -> None:
    assert trigger.phrases
    assert all(phrase.strip() for phrase in trigger.phrases)
    assert all(name and path for name, path in trigger.fields.items())
    if trigger.kind == "webhook":
        assert trigger.hook is not None
        return
    operation = find_operation(service, trigger.operation or "")
    assert operation.list_at
    assert operation.effect.value == "safe"
    if trigger.id_field is not None:
        assert trigger.fields
