"""MongoDB behind the same call as every service: documents as JSON, and reading that cannot write."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from prefect_autopilot.adapters.network import public_addresses
from prefect_autopilot.adapters.service_answers import CallByCall, CallFacts
from prefect_autopilot.adapters.sql_values import plain
from prefect_autopilot.errors import AutopilotError, ConfigurationError, UsageError
from prefect_autopilot.models import JSONDict, Service
from prefect_autopilot.services import check_parameters, find_operation

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.command_cursor import AsyncCommandCursor
    from pymongo.asynchronous.cursor import AsyncCursor
    from pymongo.errors import OperationFailure, PyMongoError

    Documents = AsyncCollection[JSONDict]

MOST_DOCUMENTS = 10_000
"""Documents a call may answer where it names no limit; more is an error, not a memory problem."""

_TIMEOUT_S = 60.0
_SCHEMES = ("mongodb", "mongodb+srv")
_WRITING_STAGES = frozenset({"$out", "$merge"})
_WRONG_CREDENTIALS = 18
_NOT_ALLOWED = 13
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


class MongoDBClient(CallByCall):
    """Calls one database with one connection's credentials; use it as an async context manager."""

    def __init__(
        self,
        service: Service,
        credentials: Mapping[str, SecretStr],
        *,
        base_url: str | None = None,
        connection: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        allow_private_network: bool = False,
    ) -> None:
        """Prepare calls; raises ConfigurationError for an unusable address or a missing driver.

        Without ``allow_private_network`` a server on this machine or in a private network is refused, each
        time a call is made. The members a replica set names itself are not looked at.
        """
        held = {name: secret.get_secret_value() for name, secret in credentials.items()}
        self.service = service
        self.connection = connection
        self._held = held
        self._timeout_s = timeout_s
        self._allow_private = allow_private_network
        self._address = database_address(service, base_url, held)

    async def call(
        self,
        operation_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        all_pages: bool = False,  # noqa: ARG002  a query is answered whole
        idempotency_key: str | None = None,  # noqa: ARG002  databases know none
    ) -> Any:
        """Call an operation and return documents as JSON values, or how many were changed.

        Raises UsageError for parameters, ConfigurationError for a private address that is not allowed,
        ServiceError for what the database says.
        """
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        operation = find_operation(self.service, operation_id)
        given = check_parameters(self.service, operation, parameters or {}, self._held)
        check_documents(operation.id, given)
        repeatable = given.get("key") or ("changes" in given and operation.id == "update_documents")
        effect = "idempotent" if repeatable else operation.effect.value
        facts = CallFacts(self.service, operation.id, effect, self.connection, tuple(self._held.values()))
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._check_public()
                async with self._client() as client:
                    return await self._answer(operation.id, given, client, facts)
        # No cause is chained: the driver puts addresses and documents into its texts.
        except TimeoutError:
            reason = f"{self.service.name} did not answer within {self._timeout_s:g} s"
            raise facts.error(reason, permanent=False) from None
        except OSError as error:
            reason = f"The connection to {self.service.name} failed ({type(error).__name__}: {error})"
            raise facts.error(reason, permanent=False) from None
        except (BSONError, OverflowError) as error:
            msg = f"A value of {self.service.id}.{operation.id} cannot be stored in MongoDB: {error}."
            raise UsageError(msg) from None
        except PyMongoError as error:
            raise _told(error, facts) from None

    def _client(self) -> AsyncMongoClient[JSONDict]:
        from pymongo import AsyncMongoClient

        return AsyncMongoClient(
            self._address,
            username=self._held.get("username") or None,
            password=self._held.get("password") or None,
            appname="prefect-autopilot",
            tz_aware=True,
            serverSelectionTimeoutMS=int(self._timeout_s * 333),
        )

    async def _check_public(self) -> None:
        if self._allow_private:
            return
        from pymongo.uri_parser import parse_uri

        told = await asyncio.to_thread(parse_uri, self._address)
        for host, port in told["nodelist"]:
            if port is None:  # the path of a socket on this machine
                msg = f"The address of {self.service.name} names a file of this machine; nothing was sent."
                raise ConfigurationError(msg)
            await public_addresses(host, port, self._timeout_s)

    async def _answer(
        self, operation: str, given: Mapping[str, Any], client: AsyncMongoClient[JSONDict], facts: CallFacts
    ) -> Any:
        if operation == "ping":
            return plain(await client.admin.command("ping"))
        database = client[self._database(given)]
        if operation == "list_collections":
            return sorted(await database.list_collection_names())
        if operation not in _CALLS:
            msg = (
                f"{self.service.id}.{operation} is in the catalogue, but no call of MongoDB is known for it."
            )
            raise UsageError(msg)
        return await _CALLS[operation](database[str(given["collection"])], given, facts)

    def _database(self, given: Mapping[str, Any]) -> str:
        name = given.get("database") or urlsplit(self._address).path.strip("/")
        if not name:
            msg = f"{self.service.name} needs a database; name it in the call or in the connection's address."
            raise UsageError(msg)
        return str(name)


def database_address(service: Service, base_url: str | None, credentials: Mapping[str, str]) -> str:
    """Return the address to connect to, its slots filled, without credentials.

    Raises ConfigurationError when a part is missing, a password stands in it or the driver is not installed.
    """
    address = base_url or service.base_url or ""
    for slot in re.findall(r"\{(\w+)\}", address):
        if not credentials.get(slot):
            msg = f"The address of {service.name} needs {slot!r}; set the base URL of the connection."
            raise ConfigurationError(msg)
        address = address.replace("{" + slot + "}", credentials[slot])
    parts = urlsplit(address)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        msg = f"The address of {service.name} cannot be read; write it like {service.base_url}."
        raise ConfigurationError(msg)
    if "@" in parts.netloc:
        msg = f"The address of {service.name} holds a sign-in; keep it in the connection's credentials."
        raise ConfigurationError(msg)
    if importlib.util.find_spec("pymongo") is None:
        msg = (
            f"{service.name} needs the package 'pymongo'; install it where the flow runs:"
            " pip install 'prefect-autopilot[mongodb]'."
        )
        raise ConfigurationError(msg)
    return address


def check_documents(operation: str, given: Mapping[str, Any]) -> None:
    """Check what MongoDB demands of a call beyond names and types; raises UsageError."""
    if operation in _CHECKS and (problem := _CHECKS[operation](given)):
        raise UsageError(problem)
    if "limit" in given and not 1 <= given["limit"] <= MOST_DOCUMENTS:
        msg = f"The parameter 'limit' must be 1 to {MOST_DOCUMENTS}."
        raise UsageError(msg)


def _wrong_pipeline(given: Mapping[str, Any]) -> str | None:
    stages = given.get("pipeline", ())
    if not all(isinstance(stage, Mapping) for stage in stages):
        return "The parameter 'pipeline' must hold one object a stage."
    writing = [name for stage in stages for name in stage if name in _WRITING_STAGES]
    return f"The stage {writing[0]} writes, and aggregate only reads; leave it out." if writing else None


def _wrong_deletion(given: Mapping[str, Any]) -> str | None:
    if given.get("filter"):
        return None
    return "An empty filter would delete every document; name what is to be deleted."


def _wrong_update(given: Mapping[str, Any]) -> str | None:
    if ("changes" in given) is ("update" in given):
        return "Give either 'changes' (fields to set) or 'update' (operators like $inc)."
    if not all(str(name).startswith("$") for name in given.get("update", ())):
        return "The parameter 'update' holds operators like $inc; to set fields give 'changes'."
    return None


def _wrong_documents(given: Mapping[str, Any]) -> str | None:
    rows, key = given.get("documents", ()), given.get("key") or ()
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        return "The parameter 'documents' must hold one object a document."
    lacking = [name for row in rows for name in key if name not in row]
    return f"A document holds no value for the key {lacking[0]!r}; add it to every one." if lacking else None


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "aggregate": _wrong_pipeline,
    "delete_documents": _wrong_deletion,
    "update_documents": _wrong_update,
    "insert_documents": _wrong_documents,
}


def as_bson(value: Any) -> Any:
    """Return a value as the driver takes it: Extended JSON (``{"$oid": …}``, ``{"$date": …}``) is read."""
    from bson import json_util

    if isinstance(value, Mapping):
        read = {str(name): as_bson(held) for name, held in value.items()}
        try:
            return json_util.object_hook(read, json_util.JSONOptions(tz_aware=True))
        except (TypeError, ValueError) as error:
            raise UsageError(f"A value written as Extended JSON cannot be read: {error}.") from None
    return [as_bson(held) for held in value] if isinstance(value, (list, tuple)) else value


def as_filter(told: Mapping[str, Any]) -> Any:
    """Return a condition; an ``_id`` written as answers show it finds the ObjectId as well as the text."""
    from bson import ObjectId

    wanted = as_bson(told)
    own = wanted.get("_id")
    if isinstance(own, str) and _OBJECT_ID.fullmatch(own):
        wanted["_id"] = {"$in": [ObjectId(own), own]}
    return wanted


async def _find(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> list[JSONDict]:
    wanted = as_filter(given.get("filter") or {})
    found = documents.find(wanted, given.get("projection"), sort=given.get("sort"))
    return await _rows(found.limit(_most(given) + 1), given, facts)


async def _aggregate(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> list[JSONDict]:
    return await _rows(await documents.aggregate(as_bson(given["pipeline"])), given, facts)


async def _count(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> JSONDict:  # noqa: ARG001  as all
    return {"count": await documents.count_documents(as_filter(given.get("filter") or {}))}


async def _delete(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> JSONDict:  # noqa: ARG001  as all
    done = await documents.delete_many(as_filter(given["filter"]))
    return {"count": done.deleted_count}


def _most(given: Mapping[str, Any]) -> int:
    return int(given.get("limit") or MOST_DOCUMENTS)


async def _rows(
    found: AsyncCursor[JSONDict] | AsyncCommandCursor[JSONDict], given: Mapping[str, Any], facts: CallFacts
) -> list[JSONDict]:
    rows: list[JSONDict] = []
    async for document in found:
        if len(rows) == _most(given):
            if "limit" in given:
                break
            reason = f"The query answers more than {MOST_DOCUMENTS} documents; narrow it or set 'limit'"
            raise facts.error(reason, permanent=True)
        rows.append(plain(document))
    return rows


async def _insert(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> JSONDict:  # noqa: ARG001  as all
    rows, key = as_bson(given["documents"]), given.get("key") or ()
    if not key:
        done = await documents.insert_many(rows)
        return {"count": len(done.inserted_ids), "ids": plain(done.inserted_ids)}
    from pymongo import ReplaceOne

    told = await documents.bulk_write(
        [ReplaceOne(as_filter({name: row[name] for name in key}), row, upsert=True) for row in rows]
    )
    return {"count": told.matched_count + told.upserted_count}


async def _update(documents: Documents, given: Mapping[str, Any], facts: CallFacts) -> JSONDict:  # noqa: ARG001  as all
    update = {"$set": as_bson(given["changes"])} if "changes" in given else as_bson(given["update"])
    change = documents.update_many if given.get("many") else documents.update_one
    done = await change(as_filter(given["filter"]), update, upsert=bool(given.get("upsert")))
    return {"count": done.matched_count + (done.upserted_id is not None)}


_CALLS: Mapping[str, Callable[[Documents, Mapping[str, Any], CallFacts], Awaitable[Any]]] = {
    "find": _find,
    "aggregate": _aggregate,
    "count_documents": _count,
    "insert_documents": _insert,
    "update_documents": _update,
    "delete_documents": _delete,
}


def _told(error: PyMongoError, facts: CallFacts) -> AutopilotError:
    from pymongo.errors import ConfigurationError as WrongAddressError
    from pymongo.errors import ConnectionFailure, InvalidURI, OperationFailure

    name = facts.service.name
    if isinstance(error, (InvalidURI, WrongAddressError)):
        return ConfigurationError(f"The address of {name} cannot be used: {error}.")
    if isinstance(error, ConnectionFailure):
        words = str(error).partition(" (configured timeouts")[0]
        return facts.error(
            f"The connection to {name} failed ({type(error).__name__}: {words})", permanent=False
        )
    if isinstance(error, OperationFailure):
        again = error.timeout or error.has_error_label("RetryableWriteError")
        return facts.error(_refusal(error, name), permanent=not again)
    return facts.error(f"{name} could not be asked ({type(error).__name__}: {error})", permanent=True)


def _refusal(error: OperationFailure, name: str) -> str:
    details = error.details or {}
    if error.code == _WRONG_CREDENTIALS:
        return f"{name} did not accept the credentials; correct them in the connection"
    if error.code == _NOT_ALLOWED:
        return f"{name} does not allow this with these credentials; grant the permission"
    wrong = details.get("writeErrors")
    if wrong:
        done = sum(details.get(one, 0) for one in ("nInserted", "nUpserted", "nMatched"))
        return f"{name} refused a document after {done} were written: {wrong[0].get('errmsg')}"
    return f"{name} refused the call: {details.get('errmsg') or error}"
