"""Secrets go, everything a diagnosis needs stays."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.redaction import MARK, is_secret_name, redact, redact_value

# Made of pieces, so that no scanner of repositories takes them for real ones.
MIXED = "aB3dE6gH9jK2mN5pQ8rT"
LONG = MIXED * 3
HEX = "0123456789abcdef" * 2

TOKENS = [
    ("AKIA", "Z" * 12 + "7Q2W"),
    ("ASIA", "Z" * 12 + "7Q2W"),
    ("ghp_", LONG),
    ("gho_", LONG),
    ("github_pat_", LONG),
    ("glpat-", MIXED),
    ("xoxb-", f"123456789012-{MIXED}"),
    ("xapp-", f"1-A012-{MIXED}"),
    ("sk_live_", MIXED),
    ("rk_test_", MIXED),
    ("whsec_", MIXED),
    ("sk-", LONG),
    ("sk-proj-", LONG),
    ("sk-ant-", f"api03-{LONG}"),
    ("AIza", LONG[:35]),
    ("ya29.", LONG),
    ("GOCSPX-", MIXED + "abcdefgh"),
    ("npm_", LONG[:36]),
    ("pypi-", f"AgEI{LONG}"),
    ("hf_", LONG[:34]),
    ("pnu_", LONG[:36]),
    ("dapi", HEX),
    ("dop_v1_", HEX * 2),
    ("secret_", LONG[:43]),
    ("lin_api_", LONG[:40]),
    ("shpat_", HEX),
    ("figd_", LONG),
    ("glsa_", LONG),
    ("sntrys_", LONG),
    ("hvs.", LONG),
    ("dckr_pat_", LONG[:27]),
    ("gsk_", LONG[:52]),
    ("SK", HEX),
    ("key-", HEX),
    ("eyJ", f"hbGciOiJIUzI1NiJ9.eyJzdWIi{MIXED}.{MIXED}"),
    ("SG.", f"{MIXED}.{LONG}"),
    ("AGE-SECRET-KEY-1", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    ("https://hooks.slack.com/services/", f"T000/B000/{MIXED}"),
    ("https://discord.com/api/webhooks/123456789012345678/", LONG),
    ("https://api.telegram.org/bot", f"123456789:AA{LONG[:33]}/sendMessage"),
]
AROUND = ["{}", "token {} rejected", "'{}'", '{{"value":"{}"}}', "url?x={}&y=1", "({})", "key={},", "\t{}\n"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("prefix", "body"), TOKENS, ids=[prefix for prefix, _ in TOKENS])
def test_a_token_is_known_by_its_prefix_wherever_it_stands(prefix: str, body: str, around: str) -> None:
    shown = redact(around.format(prefix + body))
    assert body not in shown
    assert body[:12] not in shown
    assert MARK in shown


@pytest.mark.parametrize(("prefix", "body"), TOKENS, ids=[prefix for prefix, _ in TOKENS])
def test_the_prefix_stays_so_that_a_diagnosis_sees_what_was_there(prefix: str, body: str) -> None:
    assert redact(f"refused: {prefix}{body}").startswith(f"refused: {prefix}"[:-1])


# (text, what must be gone, what the text must become or None where only the absence counts)
ASSIGNED = [
    ("password=hunter2", "hunter2", f"password={MARK}"),
    ("password: hunter2", "hunter2", f"password: {MARK}"),
    ("password = 'hunter2'", "hunter2", f"password = '{MARK}'"),
    ('{"password": "correct horse, battery"}', "horse", f'{{"password": "{MARK}"}}'),
    (r"{\"password\": \"hunter2\"}", "hunter2", rf"{{\"password\": \"{MARK}\"}}"),
    ("{'passwd': b'hunter2'}", "hunter2", f"{{'passwd': b'{MARK}'}}"),
    ("DB_PASSWORD=hunter2 DB_HOST=db", "hunter2", f"DB_PASSWORD={MARK} DB_HOST=db"),
    ("spring.datasource.password=hunter2", "hunter2", None),
    ("connect(user='a', password='x y', port=1)", "x y", f"connect(user='a', password='{MARK}', port=1)"),
    ("f(password=hunter2)", "hunter2", f"f(password={MARK})"),
    ("Server=db;Uid=sa;Pwd=hunter2;", "hunter2", f"Server=db;Uid=sa;Pwd={MARK};"),
    ("DefaultEndpointsProtocol=https;AccountKey=abc+/12==;X=1", "abc+/12==", None),
    ("SharedAccessSignature=sr%3dx%26sig%3dabc", "abc", None),
    ("client_secret=s3cr3t", "s3cr3t", f"client_secret={MARK}"),
    ("aws_secret_access_key = wJalrXUtnFEMI", "wJalr", f"aws_secret_access_key = {MARK}"),
    ("X-Api-Key: 12ab", "12ab", f"X-Api-Key: {MARK}"),
    ("api-key: 'abc'", "abc", f"api-key: '{MARK}'"),
    ("apiKey=>abc", "abc", f"apiKey=>{MARK}"),
    ("accessToken:abc", "abc", f"accessToken:{MARK}"),
    ("refresh_token=abc&grant_type=refresh_token", "abc", f"refresh_token={MARK}&grant_type=refresh_token"),
    ("SECRET_KEY_BASE=abc", "abc", f"SECRET_KEY_BASE={MARK}"),
    ("os.environ['API_TOKEN'] = 'abc'", "abc", None),
    ("token=a1b2c3d4", "a1b2c3d4", f"token={MARK}"),
    ("my_token: 'a1b2c3d4'", "a1b2c3d4", f"my_token: '{MARK}'"),
    ("secret=" + "xyz" * 8, "xyz", f"secret={MARK}"),
    ("run --api-key a1b2c3 --token 'q1w2e3r4' x", "q1w2e3r4", None),
    ("curl -u ana:hunter2 https://x", "hunter2", f"curl -u ana:{MARK} https://x"),
    ("Authorization: Bearer abc", "abc", f"Authorization: Bearer {MARK}"),
    ("authorization: token abc123", "abc123", f"authorization: token {MARK}"),
    ("{'Authorization': 'Basic YTpi'}", "YTpi", f"{{'Authorization': 'Basic {MARK}'}}"),
    ("(b'authorization', b'Bearer abcd1234')", "abcd1234", None),
    ("Proxy-Authorization: Basic YTpi", "YTpi", f"Proxy-Authorization: Basic {MARK}"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=A/b, Signature=fe5f", "fe5f", None),
    ('Authorization: Digest username="a", response="6629"', "6629", None),
    (
        "curl -H 'Authorization: Bearer abc' https://x",
        "abc",
        f"curl -H 'Authorization: Bearer {MARK}' https://x",
    ),
    ("sent Bearer a1b2c3d4e5 and failed", "a1b2c3d4e5", f"sent Bearer {MARK} and failed"),
    ("header Basic YW5hOmh1bnRlcjI= sent", "YW5h", f"header Basic {MARK} sent"),
    ("Cookie: sid=abc; theme=dark", "abc", f"Cookie: sid={MARK}"),
    ("Set-Cookie: sid=abc; Path=/", "abc", f"Set-Cookie: sid={MARK}"),
    ("postgresql://app:hunter2@db:5432/x", "hunter2", f"postgresql://app:{MARK}@db:5432/x"),
    ("postgresql+asyncpg://app:h/unt@er2@db/x", "unt", f"postgresql+asyncpg://app:{MARK}@db/x"),
    ("redis://:hunter2@cache:6379/0", "hunter2", f"redis://:{MARK}@cache:6379/0"),
    ("https://ana:hunter2@host/path?x=1", "hunter2", f"https://ana:{MARK}@host/path?x=1"),
    (f"https://{HEX}@o1.ingest.sentry.io/2", HEX, f"https://{MARK}@o1.ingest.sentry.io/2"),
    (f"GET /x?access_token=abc&sig={MIXED}", MIXED, None),
    (f"https://b.s3/x?X-Amz-Signature={HEX}&X-Amz-Date=2", HEX, None),
    (f"https://maps/api?key={MIXED}&q=Paris", MIXED, f"https://maps/api?key={MARK}&q=Paris"),
]


@pytest.mark.parametrize(("text", "gone", "shown"), ASSIGNED, ids=[text[:40] for text, _, _ in ASSIGNED])
def test_an_assigned_secret_goes_and_its_surroundings_stay(text: str, gone: str, shown: str | None) -> None:
    result = redact(text)
    assert gone not in result
    if shown is not None:
        assert result == shown
    else:
        assert MARK in result


PEM_BODY = "\n".join(["MIIEpAIBAAKCAQEA" + "aB3+" * 12] * 3)


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_goes_whole_and_the_text_after_it_stays(kind: str) -> None:
    text = (
        f"key:\n-----BEGIN {kind}PRIVATE KEY-----\n{PEM_BODY}\n-----END {kind}PRIVATE KEY-----\nthen failed"
    )
    shown = redact(text)
    assert "MIIE" not in shown
    assert "then failed" in shown
    assert f"BEGIN {kind}PRIVATE KEY" in shown


def test_a_private_key_in_json_goes() -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{PEM_BODY}\n-----END PRIVATE KEY-----\n"
    assert "MIIE" not in redact(json.dumps({"data": key, "next": "stays"}))
    assert "stays" in redact(json.dumps({"data": key, "next": "stays"}))


def test_a_private_key_that_was_cut_off_goes_and_words_after_it_stay() -> None:
    shown = redact(f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\nTask run failed with an error")
    assert "MIIE" not in shown
    assert "Task run failed with an error" in shown


def test_a_public_certificate_stays() -> None:
    text = f"-----BEGIN CERTIFICATE-----\n{PEM_BODY}\n-----END CERTIFICATE-----"
    assert redact(text) == text


BENIGN = [
    "Flow run 'quick-otter' finished in state Completed()",
    f"flow_run_id={uuid.UUID(int=12345678901234567890)} session_id={uuid.UUID(int=9876543210)}",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b by ana",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    'password authentication failed for user "app"',
    "Access denied for user 'app'@'db' (using password: YES)",
    "password: incorrect",
    "password=None",
    "password=''",
    "token: str = None, secret: SecretStr",
    "Invalid token: expired",
    "SyntaxError: Unexpected token: }",
    "The security token included in the request is expired",
    "max_tokens=4096 token_count: 128",
    "next_page_token=CAUQAA1234567",
    "KeyError: 'api_key'",
    "api_key must be set",
    "Authorization header is missing",
    "authorization: required",
    "Basic authentication failed",
    "Bearer token missing",
    "401 Unauthorized for url https://api.example.com/v1/items?page=2&key=name",
    "https://example.com:8080/path/user@example.com",
    "mail to ana.long.name.of.person@example.com",
    "http://localhost:4200/api",
    "PWD=/home/ana/project",
    "password=os.environ['DB_PASSWORD']",
    'api_key = Secret.load("openai").get()',
    "token=${API_TOKEN}",
    "password: {{ prefect.blocks.secret.db }}",
    "primary key violation: duplicate key value (id)=(17)",
    "cache_key=a1b2c3d4e5f6 task_key=extract-0a1b2c3d idempotency_key=abc123def456",
    "partition key: 2026-03-02",
    "task-runs-and-flow-runs-in-a-row-2024",
    "risk-assessment-report-2026-03-02-final",
    'File "/app/flows/secret_rotation.py", line 12, in rotate_password',
    "secrets: []",
    "Secret 'orders-db' not found",
    "postgresql://db:5432/orders",
    "2026-03-02T03:00:00.123456+00:00 | ERROR | prefect.flow_runs - exit code 137",
    "user@host: permission denied (publickey,password)",
    "ghp_ is the prefix of a token",
    "the cookie: chocolate",
    "deployment pat-eu looks fine, SKU 12345",
    "password=********",
]


@pytest.mark.parametrize("text", BENIGN)
def test_what_only_looks_or_sounds_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


SENTENCES = st.lists(
    st.sampled_from(
        [
            *(prefix + body for prefix, body in TOKENS),
            *(text for text, _, _ in ASSIGNED),
            *BENIGN,
            MARK,
            *(
                "password",
                "token",
                "=",
                ": ",
                '"',
                "'",
                "\\",
                "\n",
                " ",
                "Bearer ",
                "://",
                "@",
                ":",
                "&",
                "?",
                "(",
                ")",
            ),
            "-----BEGIN PRIVATE KEY-----",
        ]
    ),
    max_size=8,
).map("".join)


@given(st.one_of(SENTENCES, st.text(), st.text(alphabet="password=:\"' …(redacted)@/token-eyJsk_1")))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(
    SENTENCES, st.lists(st.one_of(st.text(max_size=12), st.sampled_from(["redacted", "…(re", "password"])))
)
def test_redacting_twice_with_known_values_is_redacting_once(text: str, secrets: list[str]) -> None:
    once = redact(text, secrets)
    assert redact(once, secrets) == once


@given(st.text(alphabet=st.characters(categories=("L", "N")), min_size=8, max_size=40), st.text(), st.text())
def test_a_known_value_is_never_shown(secret: str, before: str, after: str) -> None:
    shown = redact(f"{before}{secret}{after}", [secret]).replace(MARK, "")
    assert secret not in shown


@pytest.mark.parametrize(
    "form",
    ["p@ss w/rd", "p%40ss%20w%2Frd", "p%40ss+w%2Frd", base64.b64encode(b"p@ss w/rd").decode()],
    ids=["plain", "quoted", "quoted-plus", "base64"],
)
def test_a_known_value_is_found_in_the_forms_it_travels_in(form: str) -> None:
    assert redact(f"sent <{form}>", ["p@ss w/rd"]) == f"sent <{MARK}>"


def test_a_known_value_is_found_as_json_writes_it() -> None:
    assert "quo" not in redact(json.dumps({"x": 'quo"te\n'}), ['quo"te\n'])


def test_the_longer_of_two_known_values_goes_first() -> None:
    assert redact("abcd-efgh", ["abcd", "abcd-efgh"]) == MARK


@pytest.mark.parametrize("short", ["", "a", "abc", "    "])
def test_a_known_value_too_short_to_be_one_is_not_searched_for(short: str) -> None:
    assert redact("a abc    x", [short]) == "a abc    x"


def test_values_under_secret_names_go_at_any_depth() -> None:
    value = {
        "user": "ana",
        "password": "hunter2",
        "db": {"Connection-Password": 12345, "port": 5432, "ssl": True},
        "headers": [{"Authorization": "Bearer x"}, {"name": "X-Api-Key", "value": "abc"}],
        "credentials": {"user": "ana", "nested": ["k1", "k2"]},
        "note": "see postgres://a:hunter2@db/x",
    }
    assert redact_value(value) == {
        "user": "ana",
        "password": MARK,
        "db": {"Connection-Password": MARK, "port": 5432, "ssl": True},
        "headers": [{"Authorization": f"{MARK}"}, {"name": "X-Api-Key", "value": MARK}],
        "credentials": {"user": MARK, "nested": [MARK, MARK]},
        "note": f"see postgres://a:{MARK}@db/x",
    }


@pytest.mark.parametrize("kept", [None, "", True, False, "{{ prefect.blocks.secret.db }}", "${DB_PASSWORD}"])
def test_a_missing_value_or_a_reference_is_no_secret(kept: object) -> None:
    assert redact_value({"password": kept}) == {"password": kept}


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "passwd",
        "clientSecret",
        "api-key",
        "X-API-Key",
        "Authorization",
        "token",
        "access_token",
        "refreshToken",
        "private_key",
        "secret",
        "aws_secret_access_key",
        "Set-Cookie",
        "auth",
        "credentials",
        "PREFECT_SERVER_API_AUTH_STRING",
        "bot_token",
        "password2",
    ],
)
def test_a_name_that_holds_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "user",
        "token_type",
        "token_url",
        "secret_name",
        "password_policy",
        "access_key_id",
        "client_id",
        "session_id",
        "flow_run_id",
        "idempotency_key",
        "task_key",
        "cache_key",
        "lease_token",
        "next_page_token",
        "max_tokens",
        "fingerprint",
        "connection",
        "key",
        "keys",
        "authenticated",
        "compass",
        "signature",
        "x" * 300,
    ],
)
def test_a_name_that_only_sounds_like_one(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", [0, 1.5, True, None, "", [], {}, {"a": [1, {"b": None}]}], ids=repr)
def test_other_values_stay_what_they_are(value: object) -> None:
    assert redact_value(value) == value


def test_a_secret_used_as_a_key_goes() -> None:
    assert redact_value({f"ghp_{LONG}": 1}) == {f"ghp_{MARK}": 1}


def test_known_values_go_from_nested_values() -> None:
    assert redact_value({"a": ["x Tr0ub4dor y"]}, ["Tr0ub4dor"]) == {"a": [f"x {MARK} y"]}


def test_what_is_nested_too_deep_goes() -> None:
    value: Any = "hunter2"
    for _ in range(500):
        value = [value]
    assert "hunter2" not in json.dumps(redact_value(value))


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), SENTENCES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["password", "note", "token", "name", "value", "credentials"]), inner
        ),
    ),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_redacting_a_value_twice_is_redacting_it_once(value: Any) -> None:
    once = redact_value(value)
    assert redact_value(once) == once


HOSTILE = [
    "a",
    "password=",
    "eyJ-",
    "://a:",
    "sk-",
    '"',
    "\\",
    "token ",
    "Basic ",
    "--",
    "?key=aaaaaaaaaaaaaaaaa",
    "-----BEGIN PRIVATE KEY-----",
    "postgres://a:",
    "Authorization: ",
    "://a@",
    "_token",
    "k" * 63 + ":",
]


@pytest.mark.parametrize("unit", HOSTILE, ids=[unit[:20] for unit in HOSTILE])
@pytest.mark.timeout(20)  # quadratic work on half a million characters would take far longer
def test_the_time_grows_with_the_length_and_no_faster(unit: str) -> None:
    assert redact(unit * (500_000 // len(unit)))


def test_redaction_is_pure_standard_library() -> None:
    probe = (
        "import sys, prefect_autopilot.redaction;"
        "print([name for name in ('pydantic', 'httpx', 'prefect', 'sqlalchemy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("password", ["$ecret1", "{curly", "%s-x", "None of yours", "hunter2 ghp_" + LONG])
def test_a_password_that_looks_like_a_placeholder_goes_all_the_same(password: str) -> None:
    assert redact_value({"password": password}) == {"password": MARK}
