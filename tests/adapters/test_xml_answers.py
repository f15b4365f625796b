"""Lists that come as XML become the rows that JSON would have been, and nothing hostile is parsed."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from prefect_autopilot.adapters.services import ServiceClient
from prefect_autopilot.adapters.xml_answers import DEEPEST, from_xml
from prefect_autopilot.services import load_catalogue

S3 = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
LISTED = (
    f"<?xml version='1.0'?><R {S3}><Contents><Key>a</Key><Size>3</Size></Contents>"
    "<Contents><Key>b</Key></Contents><IsTruncated>false</IsTruncated><NextMarker/></R>"
)
LAUGHS = '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("text", "list_at", "value"),
    [
        (
            LISTED,
            "Contents",
            {"Contents": [{"Key": "a", "Size": "3"}, {"Key": "b"}], "IsTruncated": False, "NextMarker": None},
        ),
        ("<R><Contents><Key>a</Key></Contents></R>", "Contents", {"Contents": [{"Key": "a"}]}),
        (
            "<R><Buckets><Bucket><Name>a</Name></Bucket></Buckets></R>",
            "Buckets",
            {"Buckets": [{"Name": "a"}]},
        ),
        (
            "<R><Blobs><Blob><Name>a</Name></Blob><Blob><Name>b</Name></Blob></Blobs></R>",
            "Blobs.Blob",
            {"Blobs": {"Blob": [{"Name": "a"}, {"Name": "b"}]}},
        ),
        ("<R><Blobs/></R>", "Blobs.Blob", {"Blobs": None}),
        ("\ufeff<R><a> x </a></R>", "b", {"a": "x"}),
    ],
    ids=["several", "one row", "one row, wrapped", "rows below", "none", "byte order mark"],
)
def test_an_answer_becomes_rows(text: str, list_at: str, value: Any) -> None:
    assert from_xml(text, list_at) == value


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        '<!doctype a SYSTEM "file:///etc/passwd"><a/>',
        "<a><b></a>",
        "<html><p>not closed",
        "<a>" * (DEEPEST + 2) + "</a>" * (DEEPEST + 2),
    ],
    ids=["laughs by the billion", "another file", "broken", "a page", "deeper than any list"],
)
def test_what_is_no_plain_xml_stays_text(text: str) -> None:
    assert from_xml(text, "b") == text


PAGES = {
    None: "<L><Contents><Key>a</Key></Contents><NextContinuationToken>m</NextContinuationToken></L>",
    "m": "<L><Contents><Key>b</Key></Contents><Contents><Key>c</Key></Contents></L>",
}


def test_a_list_of_an_object_store_is_read_to_its_end() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["list-type"] == "2"
        page = PAGES[request.url.params.get("continuation-token")]
        return httpx.Response(200, text=page, headers={"content-type": "application/xml"})

    async def listed() -> Any:
        held = {name: SecretStr("x") for name in ("access_key_id", "secret_access_key")}
        client = ServiceClient(
            load_catalogue().get("aws_s3"),
            held,
            base_url="https://s3.eu-west-1.amazonaws.com",
            transport=httpx.MockTransport(answer),
        )
        async with client as store:
            return await store.call("list_objects", {"bucket": "box"}, all_pages=True)

    assert asyncio.run(listed()) == [{"Key": "a"}, {"Key": "b"}, {"Key": "c"}]


def test_an_answer_of_anything_but_a_list_stays_as_it_came() -> None:
    page = httpx.Response(200, text="<a><b/></a>", headers={"content-type": "application/xml"})

    async def read() -> Any:
        service = load_catalogue().get("azure_storage")
        held = {"access_token": SecretStr("t")}
        async with ServiceClient(
            service,
            held,
            base_url="https://a.blob.core.windows.net",
            transport=httpx.MockTransport(lambda _: page),
        ) as store:
            return await store.call("get_blob", {"container": "c", "blob": "feed.xml"})

    assert asyncio.run(read()) == "<a><b/></a>"
