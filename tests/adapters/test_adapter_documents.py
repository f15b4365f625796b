"""Documents from files and addresses: what is read, and what is refused before anything happens."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from prefect_autopilot.adapters.documents import DEEPEST, parse_document, read_document
from prefect_autopilot.errors import AutopilotError, UsageError

DOCUMENT = {"openapi": "3.0.0", "info": {"title": "T"}, "paths": {}}


class Server:
    """A web server on loopback that answers what a test laid down for a path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, headers, body = outer.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name in the base class
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.port = self._server.server_address[1]
        self.thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def read(source: str, **options: Any) -> Any:
    async def reading() -> Any:
        return await read_document(source, **options)

    return anyio.run(reading)


class TestFiles:
    @pytest.mark.parametrize("name", ["a.json", "a.yaml", "no suffix"])
    def test_are_read_whatever_they_are_called(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text(json.dumps(DOCUMENT), "utf-8")
        assert read(str(tmp_path / name)) == DOCUMENT

    def test_that_are_not_there_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            read(str(tmp_path / "ghost.json"))

    def test_that_are_folders_or_devices_are_refused(self, tmp_path: Path) -> None:
        for source in (str(tmp_path), "/dev/zero"):
            with pytest.raises(UsageError, match="is no file"):
                read(source)

    @pytest.mark.parametrize("source", ["a\0b", "x" * 5_000], ids=["null", "long"])
    def test_of_impossible_names_are_refused(self, source: str) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            read(source)

    @pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
    def test_have_a_largest_size(self, tmp_path: Path, size: int, *, fits: bool) -> None:
        path = tmp_path / "a.json"
        path.write_bytes(b'{"a":1}'.ljust(size))
        if fits:
            assert read(str(path), largest=100) == {"a": 1}
        else:
            with pytest.raises(UsageError, match="larger than"):
                read(str(path), largest=100)

    @pytest.mark.parametrize("source", ["file:///etc/hostname", "ftp://a.example/x", "gopher://a"])
    def test_are_not_reached_by_other_addresses(self, source: str) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            read(source)


class TestAddresses:
    def test_are_read_where_that_is_allowed(self, server: Server) -> None:
        server.answers["/openapi.json"] = (200, {}, json.dumps(DOCUMENT).encode())
        assert read(server.url("/openapi.json"), allow_private=True) == DOCUMENT

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "a.localhost"],
    )
    def test_of_this_machine_are_not_asked_however_they_are_written(self, server: Server, host: str) -> None:
        with pytest.raises(UsageError, match="--allow-private"):
            read(server.url("/openapi.json", host))
        assert server.asked == []

    @pytest.mark.parametrize(
        "address", ["http://169.254.169.254/latest", "http://10.0.0.1/x", "http://[fe80::1]/x", "http://192.168.1.1"]
    )  # fmt: skip
    def test_of_private_networks_are_not_asked(self, address: str) -> None:
        with pytest.raises(UsageError, match="private network"):
            read(address)

    def test_whose_name_means_this_machine_are_not_asked(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [row])
        with pytest.raises(UsageError, match="private network"):
            read(server.url("/openapi.json", "public.example"))
        assert server.asked == []

    def test_that_lead_to_a_private_one_are_followed_no_further(self) -> None:
        asked = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            return httpx.Response(302, headers={"Location": "http://169.254.169.254/latest/meta-data"})

        with pytest.raises(UsageError, match="private network"):
            read("http://docs.example/openapi.json", transport=httpx.MockTransport(answer))
        assert asked == ["http://docs.example/openapi.json"]

    def test_are_followed_to_where_they_lead(self, server: Server) -> None:
        server.answers["/old"] = (301, {"Location": "/new"}, b"")
        server.answers["/new"] = (200, {}, json.dumps(DOCUMENT).encode())
        assert read(server.url("/old"), allow_private=True) == DOCUMENT

    def test_that_lead_on_for_ever_are_given_up(self, server: Server) -> None:
        server.answers["/loop"] = (302, {"Location": "/loop"}, b"")
        with pytest.raises(UsageError, match="on and on"):
            read(server.url("/loop"), allow_private=True)
        assert len(server.asked) < 10

    @pytest.mark.parametrize(
        "there", ["file:///etc/passwd", "ftp://a.example/x", "javascript:1", "http://[bad"]
    )
    def test_that_lead_to_no_web_address_are_not_followed(self, server: Server, there: str) -> None:
        server.answers["/x"] = (302, {"Location": there}, b"")
        with pytest.raises(AutopilotError, match=r"not followed|check the address"):
            read(server.url("/x"), allow_private=True)
        assert server.asked == ["/x"]

    def test_that_give_up_encryption_are_not_followed(self) -> None:
        def answer(_request: httpx.Request) -> httpx.Response:
            return httpx.Response(302, headers={"Location": "http://docs.example/x"})

        with pytest.raises(UsageError, match="without encryption"):
            read("https://docs.example/x", transport=httpx.MockTransport(answer))

    def test_that_answer_too_much_are_left_in_the_middle(self, server: Server) -> None:
        server.answers["/big"] = (200, {}, b" " * 300_000)
        with pytest.raises(UsageError, match="larger than"):
            read(server.url("/big"), allow_private=True, largest=1_000)

    @pytest.mark.parametrize(("status", "permanent"), [(404, True), (403, True), (503, False)])
    def test_that_refuse_are_told_with_their_status(
        self, server: Server, status: int, *, permanent: bool
    ) -> None:
        server.answers["/x"] = (status, {}, b"secret page")
        with pytest.raises(AutopilotError, match=str(status)) as told:
            read(server.url("/x"), allow_private=True)
        assert told.value.permanent is permanent
        assert "secret" not in told.value.message

    def test_nobody_answers_at_are_told_without_password_and_query(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(AutopilotError, match="cannot be reached") as told:
            read(f"http://me:hunter2@127.0.0.1:{port}/x?key=hunter3", allow_private=True)
        assert "hunter" not in told.value.message
        assert not told.value.permanent


class TestTexts:
    @pytest.mark.parametrize(
        ("content", "value"),
        [
            (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
            (b"\n\n {}", {}),
            (b"{a: 1}", {"a": 1}),
            (b"# note\na: [1, x]\nb:\n  c: 'no'\n", {"a": [1, "x"], "b": {"c": "no"}}),
            (b"a: no\nb: 2020-01-01\nc: 012\n", {"a": "no", "b": "2020-01-01", "c": "012"}),
            (b"d: 1.5\ne: ~\nf: true\n", {"d": 1.5, "e": None, "f": True}),
            (b"g: 1e3\nh:\ni: -7\n", {"g": 1e3, "h": None, "i": -7}),
            (b"responses:\n  200:\n    x: '1'\n", {"responses": {"200": {"x": "1"}}}),
            (b"a: |\n  long\n  text\n", {"a": "long\ntext\n"}),
            (b"a: 1\n---\nb: 2\n", {"a": 1}),
            (b"a: !!python/object/apply:os.system ['true']\n", {"a": ["true"]}),
        ],
        ids=["mark", "space", "flow", "yaml", "texts", "scalars", "numbers", "status", "block", "two", "tag"],
    )  # fmt: skip
    def test_are_json_or_yaml(self, content: bytes, value: object) -> None:
        assert parse_document(content) == value

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "no object"),
            (b"hello", "no object"),
            (b"[1, 2]", "no object"),
            (b"42", "no object"),
            (b"null", "no object"),
            (b"<!DOCTYPE html><html></html>", "web page"),
            (b"  <?xml version='1.0'?>", "web page"),
            (b"\xff\xfe\x00", "UTF-8"),
            (b'{"a": 1', "JSON"),
            (b'{"a": NaN}', "JSON"),
            (b'{"a": ' + b"1" * 5_000 + b"}", "JSON"),
            (b"a: [1", "line"),
            (b"a: *b", "line|aliases"),
            (b"? [a]\n: 1\n", "name of a field"),
            (b"a: \x00", "JSON nor YAML"),
            (b"PK\x03\x04zip", "JSON nor YAML|UTF-8"),
        ],
        ids=[
            "nothing",
            "word",
            "list",
            "number",
            "null",
            "html",
            "xml",
            "bytes",
            "cut",
            "nan",
            "digits",
            "open",
            "alias",
            "key",
            "zero",
            "zip",
        ],
    )
    def test_of_other_kinds_are_refused_in_a_sentence(self, content: bytes, words: str) -> None:
        with pytest.raises(UsageError, match=words) as told:
            parse_document(content)
        assert told.value.message.endswith(".")
        assert len(told.value.message) < 200

    @pytest.mark.parametrize(
        "content",
        [
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            b"[" * 100_000,
            b"- " * 10_000 + b"x",
            b"a: " + b"{b: " * 10_000,
            b"a: " + b"[" * 10_000,
        ],
        ids=["json", "json open", "yaml dashes", "yaml objects", "yaml lists"],
    )
    @pytest.mark.timeout(30)
    def test_nested_ten_thousand_deep_are_refused(self, content: bytes) -> None:
        with pytest.raises(UsageError, match="nested too deeply"):
            parse_document(content)

    def test_may_be_nested_as_deep_as_documents_are(self) -> None:
        levels = DEEPEST - 2
        content = b"a: " + b"[" * levels + b"]" * levels
        assert parse_document(content)["a"]

    @pytest.mark.timeout(30)
    def test_that_laugh_by_the_billion_are_refused(self) -> None:
        lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
        with pytest.raises(UsageError, match="aliases"):
            parse_document("\n".join(lines).encode())
