"""Notices through blocks that are stored on a Prefect server, to a receiver on a loopback socket."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook
from prefect.blocks.system import Secret
from pydantic import SecretStr

from prefect_autopilot.adapters.channels import Channel, configured_channels, deliver, deliver_pending
from prefect_autopilot.blocks import NotificationChannel
from prefect_autopilot.errors import ConfigurationError, DeliveryError
from prefect_autopilot.models import Notice
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

NOTICE = Notice(
    notice_id="n-1",
    flow_run_id="run-1",
    outcome="escalated",
    title="nightly-orders failed",
    text="The CRM refused the call: token=hunter2secret @channel",
    action="Renew the credentials of crm.",
)

pytestmark = [
    pytest.mark.usefixtures("prefect_harness"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:apprise"),
]


@dataclass
class Desk:
    """What arrived, and what is answered."""

    port: int
    arrived: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200

    @property
    def words(self) -> str:
        [(_, body)] = self.arrived
        return body


@pytest.fixture
def desk() -> Iterator[Desk]:
    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            found.arrived.append((self.path, body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        found = Desk(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join(5)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as opened:
        yield opened


async def kept(block: Block, name: str) -> Channel:
    await block.asave(name, overwrite=True)
    place = f"{block.get_block_type_slug()}/{name}"
    return Channel(name=place, kind="block", block=place)


def custom(desk: Desk, **changed: Any) -> CustomWebhookNotificationBlock:
    given = {
        "name": "ops",
        "url": f"http://127.0.0.1:{desk.port}/hook/s3cret-path",
        "json_data": {"title": "{{subject}}", "text": "{{body}}"},
    }
    return CustomWebhookNotificationBlock(**(given | changed))


async def test_a_webhook_block_of_prefect_sends_the_words(desk: Desk) -> None:
    channel = await kept(custom(desk), "ops")

    await deliver(NOTICE, channel)

    sent = json.loads(desk.words)
    assert sent["title"] == "nightly-orders failed"
    assert "Renew the credentials of crm." in sent["text"]
    assert "hunter2secret" not in desk.words
    assert "@channel" not in desk.words


async def test_a_chat_block_of_prefect_sends_the_words_through_apprise(desk: Desk) -> None:
    block = MattermostWebhook(
        hostname="127.0.0.1", port=desk.port, secure=False, token=SecretStr("abcdefghijklmnopqrstuvwxyz")
    )
    channel = await kept(block, "chat")

    await deliver(NOTICE, channel)

    assert "nightly-orders failed" in desk.words
    assert "hunter2secret" not in desk.words
    desk.status = 500
    with pytest.raises(DeliveryError, match="tried again") as caught:
        await deliver(NOTICE, channel)
    assert not caught.value.permanent
    assert "abcdefghijklm" not in caught.value.message


@pytest.mark.parametrize(("kind", "scheme"), [("webhook", "http"), ("apprise", "json"), ("address", "http")])
async def test_our_own_channel_block_sends_to_its_address(desk: Desk, kind: str, scheme: str) -> None:
    url = SecretStr(f"{scheme}://127.0.0.1:{desk.port}/s3cret-path")
    channel = await kept(NotificationChannel.model_validate({"kind": kind, "url": url}), f"own-{kind}")

    await deliver(NOTICE, channel)

    assert json.loads(desk.words)["title"] == "nightly-orders failed"


async def test_a_block_of_ours_that_names_a_block_is_refused_for_good() -> None:
    url = SecretStr("block://autopilot-notification-channel/itself")
    channel = await kept(NotificationChannel.model_validate({"kind": "address", "url": url}), "itself")

    with pytest.raises(DeliveryError, match="names another block") as caught:
        await deliver(NOTICE, channel)

    assert caught.value.permanent


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(404, True), (401, True), (400, True), (429, False), (408, False), (500, False), (503, False)],
)
async def test_a_refusal_is_for_good_or_for_now(desk: Desk, status: int, *, permanent: bool) -> None:
    channel = await kept(custom(desk), "ops")
    desk.status = status

    with pytest.raises(DeliveryError, match=str(status)) as caught:
        await deliver(NOTICE, channel)

    assert caught.value.permanent is permanent
    assert "s3cret-path" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "permanent"),
    [("http://127.0.0.1:9/s3cret-path", False), ("ftp://127.0.0.1/s3cret-path", True), ("s3cret-path", True)],
    ids=["nobody there", "no http", "no address"],
)
async def test_an_address_that_fails_is_never_told(desk: Desk, url: str, *, permanent: bool) -> None:
    channel = await kept(custom(desk, url=url), "broken")

    with pytest.raises(DeliveryError) as caught:
        await deliver(NOTICE, channel)

    assert caught.value.permanent is permanent
    assert "s3cret-path" not in caught.value.message
    assert "custom-webhook/broken" in caught.value.message


async def test_a_private_address_a_block_forbids_is_refused_for_good(desk: Desk) -> None:
    channel = await kept(custom(desk, allow_private_urls=False), "guarded")

    with pytest.raises(DeliveryError, match="cannot be used") as caught:
        await deliver(NOTICE, channel)

    assert caught.value.permanent
    assert desk.arrived == []


@pytest.mark.parametrize("place", ["custom-webhook/nobody-made-it", "no-such-type/ops"])
async def test_a_block_that_is_not_there_is_told_by_name(place: str) -> None:
    with pytest.raises(DeliveryError, match=place) as caught:
        await deliver(NOTICE, Channel(name="x", kind="block", block=place))

    assert caught.value.permanent


async def test_a_block_that_notifies_nobody_is_told() -> None:
    channel = await kept(Secret(value="s3cret-value"), "plain")

    with pytest.raises(DeliveryError, match="sends no notifications") as caught:
        await deliver(NOTICE, channel)

    assert caught.value.permanent
    assert "s3cret-value" not in caught.value.message


async def test_the_outbox_tries_a_block_again_until_it_takes_the_notice(
    desk: Desk, store: Store, now: datetime
) -> None:
    channel = await kept(custom(desk), "ops")
    await store.queue_notice(NOTICE, now)
    desk.status = 503

    assert await deliver_pending(store, [channel], now) == 0
    assert await deliver_pending(store, [channel], now) == 0, "its pause is not over"
    desk.status = 200
    assert await deliver_pending(store, [channel], now + timedelta(minutes=1)) == 1
    assert await deliver_pending(store, [channel], now + timedelta(minutes=2)) == 0

    assert len(desk.arrived) == 2


def test_the_settings_name_blocks(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, notify_blocks=("slack-webhook/ops",))

    assert [(one.name, one.kind, one.block) for one in configured_channels(settings)] == [
        ("slack-webhook/ops", "block", "slack-webhook/ops")
    ]


@pytest.mark.parametrize("place", ["ops", "slack-webhook/", "/ops", "a/b/c", "Slack Webhook/ops"])
def test_a_name_that_is_no_place_of_a_block_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_NOTIFY_BLOCKS", json.dumps([place]))

    with pytest.raises(ConfigurationError, match="NOTIFY_BLOCKS"):
        load_settings()
