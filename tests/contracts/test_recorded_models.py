"""Amazon's service models are read in both of their protocols, and say no more than they do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from recorded_documents import UnknownOperationError, open_document
from recorded_models import LEVELS, ServiceModel

SHAPES: dict[str, Any] = {
    "Text": {"type": "string"},
    "Count": {"type": "integer"},
    "Moment": {"type": "timestamp"},
    "Tags": {"type": "list", "member": {"shape": "Text"}},
    "Marks": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
    "Tree": {"type": "structure", "members": {"name": {"shape": "Text"}, "below": {"shape": "Tree"}}},
    "Asked": {
        "type": "structure",
        "required": ["QueueUrl"],
        "members": {
            "QueueUrl": {"shape": "Text"},
            "Delay": {"shape": "Count"},
            "Tags": {"shape": "Tags"},
            "Marks": {"shape": "Marks"},
            "Tree": {"shape": "Tree"},
        },
    },
    "Answered": {"type": "structure", "members": {"Id": {"shape": "Text"}, "At": {"shape": "Moment"}}},
}
OPERATIONS = {
    "Send": {
        "http": {"method": "POST", "requestUri": "/"},
        "input": {"shape": "Asked"},
        "output": {"shape": "Answered"},
    },
    "Purge": {"http": {"method": "POST", "requestUri": "/"}},
}
JSON = {"protocol": "json", "jsonVersion": "1.0", "targetPrefix": "Queue", "signatureVersion": "v4"}
FORM = {"protocol": "query", "apiVersion": "2010-03-31", "signatureVersion": "v4"}


def model(folder: Path, about: dict[str, str]) -> ServiceModel:
    file = folder / f"{about['protocol']}.json.gz"
    told = {"metadata": about, "operations": OPERATIONS, "shapes": SHAPES}
    file.write_bytes(gzip.compress(json.dumps(told).encode()))
    read = open_document(file)
    assert isinstance(read, ServiceModel)
    return read


def test_a_header_names_the_call_of_a_json_service(tmp_path: Path) -> None:
    read = model(tmp_path, JSON)
    told = read.operation("Send")

    assert (told["method"], told["path"], told["at"]) == ("POST", "/", "Send")
    assert told["parameters"] == [
        {"name": "X-Amz-Target", "in": "header", "required": True, "type": "string", "fixed": "Queue.Send"}
    ]
    body = told["body"]
    assert body["content"] == ["application/x-amz-json-1.0"]
    assert (body["required"], body["open"]) == (["QueueUrl"], False)
    assert {name: shape["type"] for name, shape in body["properties"].items()} == {
        "QueueUrl": "string",
        "Delay": "integer",
        "Tags": "array",
        "Marks": "object",
        "Tree": "object",
    }
    assert body["properties"]["Tags"]["items"] == {"type": "string"}
    assert told["responses"]["200"]["shape"]["properties"] == {
        "Id": {"type": "string"},
        "At": {"type": "any"},
    }
    assert (read.servers(), [one["type"] for one in read.auth()]) == ([], ["sigv4"])


def test_a_field_names_the_call_of_a_form_service(tmp_path: Path) -> None:
    body = model(tmp_path, FORM).operation("Send")["body"]

    assert body["content"] == ["application/x-www-form-urlencoded"]
    assert body["required"] == ["Action", "QueueUrl", "Version"]
    assert set(body["properties"]) == {"Action", "Version", "QueueUrl", "Delay"}, "no lists, no maps"
    assert body["properties"]["Action"]["value"] == "Send"


def test_a_call_without_input_and_a_shape_within_itself_end(tmp_path: Path) -> None:
    read = model(tmp_path, JSON)
    assert read.operation("Purge")["body"]["properties"] == {}
    shape = read.operation("Send")["body"]["properties"]["Tree"]
    for _ in range(LEVELS - 1):
        shape = shape["properties"]["below"]
    assert shape == {"type": "object", "open": True}


def test_an_operation_it_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownOperationError):
        model(tmp_path, FORM).operation("Receive")


def test_a_model_without_signature_names_no_proof(tmp_path: Path) -> None:
    assert model(tmp_path, {"protocol": "query", "apiVersion": "1"}).auth() == []
