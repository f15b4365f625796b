"""Record what the code of a connector or SDK says of a service's operations: names, paths and types.

    python tests/contracts/recording_code.py --root npm:n8n-nodes-base=FOLDER [--only ID]

The plan (``code_plan.toml``) gives every fact with the file and line it was read from. Nothing is recorded
that does not stand there: a server or path must be what the literals of the code make of it when they are
put together, and every method, field, header and address must stand on the line the plan names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recording_command import WrongPlanError, arguments_of, carry_out, source_fact

PLAN = Path(__file__).parent / "code_plan.toml"
BELOW = ">"
"""Between the names of an object and of a field in it."""
ANSWER_ITSELF = "$"
ABOVE = 4
"""Lines above a default value among which the name of what it fills stands."""
BASIC_WORDS = ("basic", "auth", "user", "password", "username", "pass", "apikey", "key")


class CodeFiles:
    """The files a service is recorded from; a place is written ``file number:line``."""

    def __init__(self, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> None:
        """Read the files the plan lists; those of another package are written ``package@version/file``."""
        self.facts: list[dict[str, str]] = []
        self._lines: list[list[str]] = []
        for listed in plan["files"]:
            name, version, file = plan["name"], plan["version"], listed
            if "@" in listed.partition("/")[0]:
                package, _, file = listed.partition("//")
                name, _, version = package.rpartition("@")
            content = (roots[name] / file).read_bytes()
            self._lines.append(content.decode("utf-8", "replace").splitlines())
            self.facts.append(source_fact(name, version, file, content, today))

    def line(self, place: str) -> str:
        """Return the text of a line; raises WrongPlanError where the file is shorter."""
        file, _, number = place.partition(":")
        lines = self._lines[int(file)]
        if not 0 < int(number) <= len(lines):
            msg = f"{self.facts[int(file)]['file']} has no line {number}"
            raise WrongPlanError(msg)
        return lines[int(number) - 1]

    def at(self, places: Iterable[str]) -> str:
        """Return the places as ``file:line``, each once."""
        named = (place.partition(":") for place in places)
        return ", ".join(dict.fromkeys(f"{self.facts[int(file)]['file']}:{line}" for file, _, line in named))

    def prove(self, place: str, literal: str) -> None:
        """Raise WrongPlanError unless the literal stands on that line."""
        if literal not in self.line(place):
            msg = f"{literal!r} does not stand in {self.at([place])}"
            raise WrongPlanError(msg)

    def prove_word(self, place: str, word: str) -> None:
        """Raise WrongPlanError unless the name stands on that line as a word of its own."""
        if not re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", self.line(place)):
            msg = f"the name {word!r} does not stand in {self.at([place])}"
            raise WrongPlanError(msg)

    def prove_near(self, place: str, word: str) -> None:
        """Raise WrongPlanError unless the name stands on that line or in one of the few before it."""
        file, _, number = place.partition(":")
        before = self._lines[int(file)][max(0, int(number) - 1 - ABOVE) : int(number)]
        if not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) for line in before):
            msg = f"the name {word!r} does not stand at {self.at([place])}"
            raise WrongPlanError(msg)


def blanked(text: str) -> str:
    """Return an address or path with what is filled in at run time left blank."""
    text = re.sub(r"\{\{.*?\}\}", "{}", text.removeprefix("="))
    text = re.sub(r"\$?\{(?:[^{}]|\{[^{}]*\})*\}", "{}", text)
    text = re.sub(r"%s\b", "{}", text)
    return re.sub(r"^(https?|\{\})://\{\}", "{}", text)


def assembled(codes: Sequence[str], files: CodeFiles) -> tuple[str, list[str]]:
    """Return what the literals make when put together, and their places.

    A literal follows the one before it, or fills a name of it where it is written ``name := literal``.
    """
    whole, places = "", []
    for code in codes:
        place, _, literal = code.partition(" ")
        name, fills, value = literal.partition(" := ")
        places.append(place)
        files.prove(place, value if fills else literal)
        if fills:
            if re.fullmatch(r"[\w.]+", name):
                files.prove_near(place, name.rpartition(".")[2])
            if "${" + name + "}" not in whole:
                msg = f"no literal before {files.at([place])} has a place for {name!r}"
                raise WrongPlanError(msg)
            whole = whole.replace("${" + name + "}", value)
        else:
            whole += literal
    return whole, places


def prove_address(wanted: str, codes: Sequence[str], files: CodeFiles, *, server: bool) -> str:
    """Return where an address or path was read; raises WrongPlanError where the code makes another one."""
    made, places = assembled(codes, files)
    if server:  # an address of the code may hold an example where ours has a slot of that name
        for name in re.findall(r"\{(\w+)\}", wanted):
            made = re.sub(rf"(?<![\w$.{{]){name}(?!\w)", "{}", made)
    found, asked = blanked(made), blanked(wanted)
    if server:
        found, asked = (
            text.removesuffix("{}").rstrip("/") if text != "{}" else text for text in (found, asked)
        )
    else:
        found, asked = (text.partition("?")[0].lstrip("/") for text in (found, asked))
    if found != asked:
        msg = f"the code makes {found!r} of {wanted!r} ({files.at(places)})"
        raise WrongPlanError(msg)
    return files.at(places)


def server_fact(told: Mapping[str, Any], files: CodeFiles) -> dict[str, Any]:
    """Return a server of the plan, proved."""
    at = prove_address(told["url"], told["code"], files, server=True)
    return {"url": told["url"], "source": int(told["code"][0].partition(":")[0]), "at": at}


def auth_fact(told: Mapping[str, Any], files: CodeFiles) -> dict[str, Any]:
    """Return a way to prove who asks, proved by the words the code uses for it."""
    texts = []
    for code in told["code"]:
        place, _, literal = code.partition(" ")
        files.prove(place, literal)
        texts.append(literal)
    literals, kind = " ".join(texts), told["type"]
    places = [code.partition(" ")[0] for code in told["code"]]
    fact = {key: value for key, value in told.items() if key != "code"}
    fact |= {"source": int(places[0].partition(":")[0]), "at": files.at(places)}
    if kind == "oauth2":
        _need(blanked(told["token_url"]).removeprefix("{}") in blanked(literals), told, literals)
        return {"token_url": None, "refresh_url": None, **fact}
    if kind == "apiKey":
        _need(told["name"].lower() in literals.lower(), told, literals)
        _need((told.get("prefix") or "").strip() in literals, told, literals)
        return {"prefix": None, **fact}
    for half in {"username", "password"} & told.keys():
        _need(_half_shown(half, told[half], literals), told, literals)
    words = BASIC_WORDS if told.get("scheme") == "basic" else ("bearer",)
    _need(any(word in literals.lower() for word in words), told, literals)
    return fact


def _half_shown(half: str, value: str, literals: str) -> bool:
    """Tell whether the code writes this half of basic auth as a literal."""
    if half == "username":
        forms = (f"`{value}:${{", f"'{value}:' +", f"user: '{value}'")
    else:
        forms = (f"}}:{value}`", f"pass: '{value}'", f"password: '{value}'")
    return any(form in literals for form in forms)


def _need(holds: bool, told: Mapping[str, Any], literals: str) -> None:  # noqa: FBT001 - a check, not a switch
    if not holds:
        msg = f"{told} is not what the code says: {literals!r}"
        raise WrongPlanError(msg)


def shape_of(fields: Sequence[str], files: CodeFiles) -> dict[str, Any]:
    """Return the shape of fields written ``a>b type[=value] place [required]``; there may be more of them."""
    root: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "open": True}
    for told in fields:
        path, kind, place, *rest = told.split(" ")
        if path == ANSWER_ITSELF:
            files.line(place)
            return {"type": "array", "items": {"type": "any"}}
        names = path.split(BELOW)
        files.prove_word(place, names[-1])
        spot = root
        for name in names[:-1]:
            below = spot["properties"].setdefault(name, {"type": "object"})
            below.update({"type": "object"})
            for key, value in (("properties", {}), ("required", []), ("open", True)):
                below.setdefault(key, value)
            spot = below
        kind, _, always = kind.partition("=")
        if always:
            files.prove_word(place, always)
        spot["properties"].setdefault(names[-1], _value(kind) | ({"value": always} if always else {}))
        if rest == ["required"]:
            spot["required"] = sorted({*spot["required"], names[-1]})
    return root


def _value(kind: str) -> dict[str, Any]:
    return {"type": kind, "items": {"type": "any"}} if kind == "array" else {"type": kind}


def operation_fact(told: Mapping[str, Any], files: CodeFiles) -> dict[str, Any]:
    """Return an operation of the plan, every part of it proved."""
    where = prove_address(told["path"], told["code"], files, server=False)
    place, _, literal = told["verb"].partition(" ")
    files.prove(place, literal)
    if not re.search(rf"(?<![A-Za-z]){told['method']}(?![A-Za-z])", literal, re.IGNORECASE):
        msg = f"{told['method']} is not what {files.at([place])} says: {literal!r}"
        raise WrongPlanError(msg)
    parameters = [
        {"name": name, "in": "path", "required": True, "type": "string", "fixed": None}
        for name in re.findall(r"\{(\w+)\}", told["path"])
    ]
    for kind in ("query", "header"):
        for field in told.get(kind, ()):
            name, type_, at, *rest = field.split(" ")
            files.prove_word(at, name)
            needed = rest == ["required"]
            parameters.append({"name": name, "in": kind, "required": needed, "type": type_, "fixed": None})
    body: dict[str, Any] = {"content": [], "root": "none"}
    if "content" in told:
        shape = shape_of(told.get("body", ()), files)
        root = {"root": "object", **{key: shape[key] for key in ("properties", "required", "open")}}
        body = {"content": [told["content"]], **root}
    answer = shape_of(told["answer"], files) if "answer" in told else {"type": "any"}
    answered = {"content": "application/json", "shape": answer}
    if "answer_headers" in told:
        answered["headers"] = [_answer_header(field, files) for field in told["answer_headers"]]
    return {
        "source": int(told["code"][0].partition(":")[0]),
        "at": ", ".join(dict.fromkeys((where, files.at([place])))),
        "method": told["method"],
        "path": told["path"] if told["path"].startswith("/") else "/" + told["path"],
        "server": told.get("server", 0),
        "parameters": parameters,
        "open": True,
        "body": body,
        "responses": {"200": answered},
    }


def _answer_header(field: str, files: CodeFiles) -> str:
    name, _, place = field.partition(" ")
    files.prove_word(place, name)
    return name


def record(service: str, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> dict[str, Any]:
    """Return the fixture of a service; raises WrongPlanError for what the code does not say."""
    files = CodeFiles(plan, roots, today)
    return {
        "service": service,
        "sources": files.facts,
        "servers": [server_fact(told, files) for told in plan["servers"]],
        "auth": [auth_fact(told, files) for told in plan["auth"]],
        "operations": {name: operation_fact(told, files) for name, told in plan["operations"].items()},
    }


def main(arguments: Sequence[str]) -> int:
    """Record what the plan asks for; say what it claims without proof."""
    return carry_out(arguments_of(__doc__, [PLAN]).parse_args(arguments), record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
