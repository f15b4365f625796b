"""MongoDB behind the one call: the commands a server is sent, what it answers, and what is refused unsent."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from pydantic import SecretStr

from prefect_autopilot.adapters.clients import check_call, open_client
from prefect_autopilot.adapters.mongodb import MOST_DOCUMENTS, MongoDBClient, as_filter, database_address
from prefect_autopilot.errors import ConfigurationError, ServiceError, UnknownNameError, UsageError
from prefect_autopilot.services import load_catalogue

SERVICE = load_catalogue().get("mongodb")
ID = "65f0c0ffee0123456789abcd"
SECRET = "correct-horse-battery"

MESSAGE, QUERY, REPLY = 2013, 2004, 1
HELLO = {"isWritablePrimary": True, "helloOk": True, "maxWireVersion": 21, "minWireVersion": 0, "ok": 1.0}


class Server:
    """Records the commands it is sent; ``documents`` is what every read answers."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.documents: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        """What a command is answered instead, by its name."""
        self.hangs_up = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            while True:
                length, number, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
                command = _command(kind, await reader.readexactly(length - 16))
                answer = self.answered(command)
                if answer is None:
                    break
                writer.write(_message(kind, number, bson.encode(answer)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has what it wanted
        finally:
            writer.close()

    def answered(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a command, None to hang up on it."""
        name = next(iter(command))
        if name.lower() in ("hello", "ismaster"):
            return HELLO
        if name != "endSessions":
            self.commands.append(command)
        if self.hangs_up:
            return None
        if name in self.answers:
            return {"ok": 1.0, **self.answers[name]}
        if name in ("find", "aggregate", "listCollections"):
            rows = self.documents[: command.get("limit") or None]
            return {"ok": 1.0, "cursor": {"id": 0, "ns": f"{command['$db']}.rows", "firstBatch": rows}}
        told = {"insert": "documents", "update": "updates", "delete": "deletes"}
        count = len(command[told[name]]) if name in told else 0
        return {"ok": 1.0, "n": count, "nModified": count}


def _command(kind: int, body: bytes) -> dict[str, Any]:
    if kind == QUERY:
        return bson.decode(body[body.index(b"\0", 4) + 9 :])
    command: dict[str, Any] = {}
    place = 4
    while place < len(body):
        section, place = body[place], place + 1
        (size,) = struct.unpack_from("<i", body, place)
        if section == 0:
            command = bson.decode(body[place : place + size]) | command
        else:
            name, _, documents = body[place + 4 : place + size].partition(b"\0")
            command = command | {name.decode(): bson.decode_all(documents)}
        place += size
    return command


def _message(kind: int, number: int, document: bytes) -> bytes:
    if kind == QUERY:
        body, kind = struct.pack("<iqii", 8, 0, 0, 1) + document, REPLY
    else:
        body = struct.pack("<ib", 0, 0) + document
    return struct.pack("<iiii", 16 + len(body), number + 1, number, kind) + body


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, str]]:
    """Run a server on this machine; yields it and the address it is reached at."""
    stub = Server()
    server = await asyncio.start_server(stub, "127.0.0.1", 0)
    try:
        yield stub, f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/shop"
    finally:
        server.close()


@pytest.fixture(name="server")
async def fixture_server() -> AsyncIterator[tuple[Server, str]]:
    async with serving() as running:
        yield running


def client(address: str, **options: Any) -> MongoDBClient:
    options = {"allow_private_network": True, "timeout_s": 5.0, **options}
    return MongoDBClient(SERVICE, options.pop("credentials", {}), base_url=address, **options)


def own(command: dict[str, Any]) -> dict[str, Any]:
    """Return a command without what every command carries."""
    return {name: held for name, held in command.items() if name not in ("$db", "lsid", "$readPreference")}


@pytest.mark.parametrize(
    ("operation", "parameters", "command"),
    [
        (
            "find",
            {"filter": {"total": {"$gt": 5}}, "sort": {"total": -1}, "projection": {"name": 1}, "limit": 3},
            {
                "find": "orders",
                "filter": {"total": {"$gt": 5}},
                "sort": {"total": -1},
                "projection": {"name": 1},
                "limit": 4,
            },
        ),
        (
            "insert_documents",
            {"documents": [{"_id": 1, "name": "Lamp"}]},
            {"insert": "orders", "ordered": True, "documents": [{"_id": 1, "name": "Lamp"}]},
        ),
        (
            "insert_documents",
            {"documents": [{"sku": "a", "left": 2}], "key": ["sku"]},
            {
                "update": "orders",
                "ordered": True,
                "updates": [{"q": {"sku": "a"}, "u": {"sku": "a", "left": 2}, "upsert": True}],
            },
        ),
        (
            "update_documents",
            {"filter": {"sku": "a"}, "changes": {"left": 0}},
            {
                "update": "orders",
                "ordered": True,
                "updates": [{"q": {"sku": "a"}, "u": {"$set": {"left": 0}}}],
            },
        ),
        (
            "update_documents",
            {"filter": {}, "update": {"$inc": {"left": 1}}, "many": True, "upsert": True},
            {
                "update": "orders",
                "ordered": True,
                "updates": [{"q": {}, "u": {"$inc": {"left": 1}}, "upsert": True, "multi": True}],
            },
        ),
        (
            "delete_documents",
            {"filter": {"left": 0}},
            {"delete": "orders", "ordered": True, "deletes": [{"q": {"left": 0}, "limit": 0}]},
        ),
        (
            "aggregate",
            {"pipeline": [{"$match": {"left": 0}}]},
            {"aggregate": "orders", "pipeline": [{"$match": {"left": 0}}], "cursor": {}},
        ),
    ],
    ids=["find", "insert", "insert by key", "set fields", "operators", "delete", "aggregate"],
)
async def test_a_call_becomes_the_command_of_the_database(
    operation: str, parameters: dict[str, Any], command: dict[str, Any], server: tuple[Server, str]
) -> None:
    stub, address = server
    async with client(address) as database:
        await database.call(operation, {"collection": "orders", **parameters})

    [sent] = stub.commands
    assert sent["$db"] == "shop"
    updates = [{**one, "upsert": one.get("upsert", False)} for one in command.get("updates", ())]
    found = own(sent)
    for one in found.get("updates", ()):
        one.setdefault("upsert", False)
        if not one.get("multi", True):
            del one["multi"]
    assert found == command | ({"updates": updates} if updates else {})


async def test_documents_are_answered_as_json(server: tuple[Server, str]) -> None:
    stub, address = server
    placed = datetime(2026, 3, 2, 8, tzinfo=UTC)
    stub.documents = [
        {"_id": ObjectId(ID), "placed": placed, "lines": [{"price": bson.Decimal128("12.50"), "raw": b"ab"}]}
    ]
    async with client(address) as database:
        answer = await database.call("find", {"collection": "orders"})

    assert answer == [
        {
            "_id": ID,
            "placed": "2026-03-02T08:00:00+00:00",
            "lines": [{"price": "12.50", "raw": "YWI="}],
        }
    ]


async def test_how_many_were_changed_is_answered(server: tuple[Server, str]) -> None:
    stub, address = server
    stub.documents = [{"n": 7, "_id": 1}]
    rows = [{"_id": 1}, {"_id": 2}]
    async with client(address) as database:
        assert await database.call("insert_documents", {"collection": "a", "documents": rows}) == {
            "count": 2,
            "ids": [1, 2],
        }
        assert await database.call(
            "insert_documents", {"collection": "a", "documents": rows, "key": ["_id"]}
        ) == {"count": 2}
        assert await database.call(
            "update_documents", {"collection": "a", "filter": {}, "changes": {"x": 1}}
        ) == {"count": 1}
        assert await database.call("delete_documents", {"collection": "a", "filter": {"x": 1}}) == {
            "count": 1
        }
        assert await database.call("count_documents", {"collection": "a"}) == {"count": 7}


async def test_collections_are_listed_and_the_connection_is_checked(server: tuple[Server, str]) -> None:
    stub, address = server
    stub.documents = [{"name": "orders"}, {"name": "customers"}]
    async with client(address) as database:
        assert await database.call("list_collections", {"database": "other"}) == ["customers", "orders"]
        assert (await database.call("ping"))["ok"] == 1.0
    assert [one["$db"] for one in stub.commands] == ["other", "admin"]


async def test_more_documents_than_a_call_may_answer_are_an_error_and_a_limit_is_kept(
    server: tuple[Server, str],
) -> None:
    stub, address = server
    stub.documents = [{"n": number} for number in range(MOST_DOCUMENTS + 1)]
    async with client(address) as database:
        assert len(await database.call("aggregate", {"collection": "a", "pipeline": [], "limit": 2})) == 2
        with pytest.raises(ServiceError, match="set 'limit'") as caught:
            await database.call("find", {"collection": "a"})
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"_id": ID}, {"_id": {"$in": [ObjectId(ID), ID]}}),
        ({"_id": {"$oid": ID}}, {"_id": ObjectId(ID)}),
        ({"_id": 7}, {"_id": 7}),
        ({"_id": "lamp"}, {"_id": "lamp"}),
        ({"owner": ID}, {"owner": ID}),
        (
            {"placed": {"$gt": {"$date": "2026-03-02T08:00:00Z"}}},
            {"placed": {"$gt": datetime(2026, 3, 2, 8, tzinfo=UTC)}},
        ),
        ({"total": {"$in": [{"$numberDecimal": "1.5"}]}}, {"total": {"$in": [bson.Decimal128("1.5")]}}),
    ],
    ids=["id as answered", "object id", "number", "other text", "another field", "date", "decimal"],
)
def test_a_filter_finds_what_answers_show(told: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert as_filter(told) == wanted


@pytest.mark.parametrize(
    ("operation", "parameters", "words"),
    [
        ("aggregate", {"pipeline": [{"$match": {}}, {"$out": "copy"}]}, "[$]out writes"),
        ("aggregate", {"pipeline": [{"$merge": {"into": "copy"}}]}, "[$]merge writes"),
        ("aggregate", {"pipeline": ["$match"]}, "one object a stage"),
        ("delete_documents", {"filter": {}}, "would delete every document"),
        ("update_documents", {"filter": {}}, "either 'changes'"),
        ("update_documents", {"filter": {}, "changes": {"a": 1}, "update": {"$inc": {"a": 1}}}, "either"),
        ("update_documents", {"filter": {}, "update": {"left": 0}}, "give 'changes'"),
        ("insert_documents", {"documents": []}, "one object a document"),
        ("insert_documents", {"documents": ["lamp"]}, "one object a document"),
        ("insert_documents", {"documents": [{"a": 1}], "key": ["sku"]}, "no value for the key 'sku'"),
        ("find", {"limit": 0}, "'limit' must be 1 to"),
        ("find", {"limit": MOST_DOCUMENTS + 1}, "'limit' must be 1 to"),
        ("find", {"filter": "all"}, "'filter' .* must be of type object"),
        ("find", {"filter": {"_id": {"$oid": "short"}}}, "short"),
        ("insert_documents", {"documents": [{"n": 2**70}]}, "cannot be stored"),
        ("insert_documents", {"documents": [{"n": {1, 2}}]}, "cannot be stored"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_told_and_nothing_is_sent(
    operation: str, parameters: dict[str, Any], words: str, server: tuple[Server, str]
) -> None:
    stub, address = server
    async with client(address) as database:
        with pytest.raises(UsageError, match=words):
            await database.call(operation, {"collection": "orders", **parameters})
    assert stub.commands == []


async def test_an_unknown_operation_or_parameter_names_the_nearest(server: tuple[Server, str]) -> None:
    stub, address = server
    async with client(address) as database:
        with pytest.raises(UnknownNameError, match="find"):
            await database.call("finds")
        with pytest.raises(UnknownNameError, match="filter"):
            await database.call("find", {"collection": "a", "filters": {}})
        with pytest.raises(UsageError, match="needs a database"):
            await client(address.removesuffix("/shop")).call("find", {"collection": "a"})
    assert stub.commands == []


REFUSED: list[tuple[str, dict[str, Any], str, bool]] = [
    ("not allowed", {"ok": 0.0, "code": 13, "errmsg": f"no {SECRET}"}, "grant the permission", True),
    ("wrong stage", {"ok": 0.0, "code": 40324, "errmsg": "Unrecognized stage"}, "Unrecognized stage", True),
    ("too slow", {"ok": 0.0, "code": 50, "errmsg": "exceeded time limit"}, "time limit", False),
    (
        "going away",
        {"ok": 0.0, "code": 91, "errmsg": "shutting down", "errorLabels": ["RetryableWriteError"]},
        "shutting down",
        False,
    ),
]


@pytest.mark.parametrize(
    ("answer", "words", "permanent"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_a_refusal_says_whether_trying_again_helps(
    answer: dict[str, Any],
    words: str,
    permanent: bool,  # noqa: FBT001  a column of the table
    server: tuple[Server, str],
) -> None:
    stub, address = server
    stub.answers["aggregate"] = answer
    held = {"api_key": SecretStr(SECRET)}
    async with client(address, credentials=held, connection="mongodb-shop") as database:
        with pytest.raises(ServiceError, match=words) as caught:
            await database.call("aggregate", {"collection": "orders", "pipeline": []})
    error = caught.value
    assert (error.permanent, error.operation, error.connection) == (permanent, "aggregate", "mongodb-shop")
    assert SECRET not in str(error)
    assert error.__cause__ is None


async def test_a_duplicate_says_how_many_were_written_before_it(server: tuple[Server, str]) -> None:
    stub, address = server
    stub.answers["insert"] = {"n": 1, "writeErrors": [{"index": 1, "code": 11000, "errmsg": "duplicate key"}]}
    async with client(address) as database:
        with pytest.raises(ServiceError, match="after 1 were written: duplicate key") as caught:
            await database.call(
                "insert_documents", {"collection": "a", "documents": [{"_id": 1}, {"_id": 1}]}
            )
    assert (caught.value.permanent, caught.value.effect) == (True, "unsafe")


async def test_wrong_credentials_are_told_and_not_shown(server: tuple[Server, str]) -> None:
    stub, address = server
    stub.answers["saslStart"] = {"ok": 0.0, "code": 18, "errmsg": f"no user with {SECRET}"}
    held = {"username": SecretStr("reader"), "password": SecretStr(SECRET)}
    async with client(address, credentials=held) as database:
        with pytest.raises(ServiceError, match="did not accept the credentials") as caught:
            await database.call("ping")
    assert caught.value.permanent
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "effect"),
    [
        ({"filter": {"a": 1}, "changes": {"a": 2}}, "idempotent"),
        ({"filter": {"a": 1}, "update": {"$inc": {"a": 2}}}, "unsafe"),
    ],
    ids=["fields", "operators"],
)
async def test_a_lost_connection_is_passing_and_says_whether_the_call_may_be_repeated(
    parameters: dict[str, Any], effect: str, server: tuple[Server, str]
) -> None:
    stub, address = server
    stub.hangs_up = True
    async with client(address) as database:
        with pytest.raises(ServiceError, match="connection to MongoDB failed") as caught:
            await database.call("update_documents", {"collection": "a", **parameters})
    assert (caught.value.permanent, caught.value.effect) == (False, effect)


async def test_a_server_that_is_not_there_is_passing() -> None:
    async with serving() as (_, address):
        pass
    async with client(address, timeout_s=0.6) as database:
        with pytest.raises(ServiceError) as caught:
            await database.call("ping")
    assert not caught.value.permanent


@pytest.mark.parametrize(
    "there", ["", "localhost", "%2Ftmp%2Fmongodb.sock"], ids=["address", "name", "socket"]
)
async def test_a_private_server_is_refused_before_anything_is_sent(
    there: str, server: tuple[Server, str]
) -> None:
    stub, address = server
    address = address.replace("127.0.0.1", there) if there else address
    if there.startswith("%"):
        address = f"mongodb://{there}/shop"
    async with client(address, allow_private_network=False) as database:
        with pytest.raises(ConfigurationError, match="nothing was sent"):
            await database.call("ping")
    assert stub.commands == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mongodb://me:secret@db.example.com/shop", "holds a sign-in"),
        ("https://db.example.com/shop", "write it like mongodb://"),
        ("mongodb://", "write it like mongodb://"),
        (None, "needs 'host'"),
    ],
    ids=["a password", "another protocol", "no host", "nothing"],
)
def test_an_address_that_cannot_be_used_is_told(address: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        database_address(SERVICE, address, {})
    assert "secret" not in str(caught.value)


async def test_an_address_the_driver_refuses_is_told() -> None:
    async with client("mongodb://a.example.com,b.example.com/shop?directConnection=true") as database:
        with pytest.raises(ConfigurationError, match="address of MongoDB cannot be used"):
            await database.call("ping")


def test_the_address_takes_host_and_database_from_the_connection() -> None:
    held = {"host": "db.example.com", "database": "shop"}
    assert database_address(SERVICE, None, held) == "mongodb://db.example.com:27017/shop"


def test_the_catalogue_opens_this_client_and_previews_refuse_what_it_refuses() -> None:
    opened = open_client(SERVICE, {}, base_url="mongodb+srv://shop.example.net/shop")
    assert isinstance(opened, MongoDBClient)
    delete = SERVICE.operation("delete_documents")
    assert delete is not None
    with pytest.raises(UsageError, match="every document"):
        check_call(SERVICE, delete, {"collection": "a", "filter": {}})
