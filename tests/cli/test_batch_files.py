"""Reading and writing batches: one row for one row, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from prefect_autopilot.cli.batch import one_by_one, read_rows, run_batch, write_rows
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict


def echo(rows: Sequence[JSONDict]) -> Iterator[JSONDict]:
    return ({"id": row.get("id"), "text": row.get("text")} for row in rows)


def judged(path: Path) -> list[JSONDict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "in.jsonl"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_every_row_is_answered_in_order(source: Path, target: Path) -> None:
    source.write_text("".join(json.dumps({"id": n, "text": f"t{n}"}) + "\n" for n in range(2000)))
    assert run_batch(source, target, echo) == 0
    assert [row["id"] for row in judged(target)] == list(range(2000))


def test_the_judge_sees_all_sound_rows_at_once(source: Path, target: Path) -> None:
    source.write_text('{"id": 1}\nbroken\n{"id": 2}\n')
    seen: list[int] = []

    def together(rows: Sequence[JSONDict]) -> Iterable[JSONDict]:
        seen.append(len(rows))
        return echo(rows)

    run_batch(source, target, together)
    assert seen == [2]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{broken", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"id": 1} {"id": 2}', "not JSON"),
        (b'{"id": "\xff\xfe"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
    ids=["broken", "list", "string", "null", "two in a line", "latin-1", "deep", "huge number"],
)
def test_a_row_that_cannot_be_read_answers_with_its_error(
    line: bytes, why: str, source: Path, target: Path
) -> None:
    source.write_bytes(b'{"id": "a"}\n' + line + b'\n{"id": "b"}\n')
    assert run_batch(source, target, echo) == 0
    first, broken, last = judged(target)
    assert (first["id"], last["id"]) == ("a", "b")
    assert broken["id"] is None
    assert "Line 2" in broken["error"]
    assert why in broken["error"]


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"", []),
        (b"\n\n  \n", []),
        (b'{"id": 1}', [1]),
        (b'{"id": 1}\r\n{"id": 2}\r\n', [1, 2]),
        (b'\xef\xbb\xbf{"id": 1}\n', [1]),
        (b'{"id": 1}\n\n{"id": 2}\n', [1, 2]),
        ('{"id": "\u2028\u0085ü"}\n'.encode(), ["\u2028\u0085ü"]),
        (b'{"id": 1}\n{"id": 1}\n', [1, 1]),
    ],
    ids=[
        "empty",
        "blank",
        "no last line end",
        "windows",
        "byte order mark",
        "gap",
        "unicode line ends",
        "same id",
    ],
)
def test_lines_are_read_as_json_lines_says(data: bytes, ids: list[object], source: Path) -> None:
    source.write_bytes(data)
    assert [row["id"] for row in read_rows(source)] == ids


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_json_does_not_know_are_read_as_null(constant: str, source: Path) -> None:
    source.write_text(f'{{"id": 1, "text": {constant}}}\n')
    assert read_rows(source) == [{"id": 1, "text": None}]


def test_unknown_fields_reach_the_judge_untouched(source: Path) -> None:
    source.write_text('{"id": 1, "surprise": {"deep": [1]}}\n')
    assert read_rows(source)[0]["surprise"] == {"deep": [1]}


@pytest.mark.parametrize("text", ["Grüße ✓ 漢字", "lone \ud800 surrogate", "\x00\x1b[31m"])
def test_every_text_survives_the_way_through(text: str, source: Path, target: Path) -> None:
    source.write_text(json.dumps({"id": text}) + "\n")
    run_batch(source, target, echo)
    assert judged(target)[0]["id"] == text


def test_non_ascii_text_stays_readable(target: Path) -> None:
    write_rows(target, [{"id": "Grüße"}])
    assert "Grüße" in target.read_text(encoding="utf-8")


def test_an_input_that_is_missing_is_a_usage_error_and_writes_nothing(tmp_path: Path, target: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read .*missing\.jsonl: No such file"):
        run_batch(tmp_path / "missing.jsonl", target, echo)
    assert not target.exists()


def test_a_folder_as_input_is_a_usage_error(tmp_path: Path, target: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        run_batch(tmp_path, target, echo)


def test_an_output_in_a_missing_folder_is_told_before_any_work(source: Path, tmp_path: Path) -> None:
    source.write_text('{"id": 1}\n')

    def never(_rows: Sequence[JSONDict]) -> Iterable[JSONDict]:
        pytest.fail("the judge worked for nothing")

    with pytest.raises(UsageError, match="does not exist; create it first"):
        run_batch(source, tmp_path / "no" / "out.jsonl", never)


def test_a_folder_as_output_is_a_usage_error(source: Path, tmp_path: Path) -> None:
    source.write_text('{"id": 1}\n')
    with pytest.raises(UsageError, match="Cannot write"):
        run_batch(source, tmp_path, echo)


@pytest.mark.parametrize("given", [("in", None), (None, "out"), (None, None)])
def test_both_files_are_needed(given: tuple[str | None, str | None]) -> None:
    source, target = (Path(name) if name else None for name in given)
    with pytest.raises(UsageError, match="both --batch IN and --output OUT"):
        run_batch(source, target, echo)


def test_a_row_nobody_foresaw_costs_only_its_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))

    def judge(row: JSONDict) -> JSONDict:
        return {"inverse": 1 / row["n"]}

    first, second, third = one_by_one([{"id": "a", "n": 2}, {"id": "b", "n": 0}, {"id": "c", "n": 4}], judge)
    assert (first, third) == ({"id": "a", "inverse": 0.5}, {"id": "c", "inverse": 0.25})
    assert second["id"] == "b"
    assert "unexpected ZeroDivisionError" in second["error"]
    assert "division by zero" in (tmp_path / "home" / "errors.log").read_text()


def test_a_failing_judge_leaves_the_old_output_and_no_part_file(source: Path, target: Path) -> None:
    source.write_text('{"id": 1}\n{"id": 2}\n')
    target.write_text("before\n")

    def half(rows: Sequence[JSONDict]) -> Iterator[JSONDict]:
        yield {"id": rows[0]["id"]}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_batch(source, target, half)
    assert target.read_text() == "before\n"
    assert sorted(path.name for path in target.parent.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize("surplus", [-1, 1], ids=["one answer too few", "one too many"])
def test_a_judge_that_miscounts_is_found_out(surplus: int, source: Path, target: Path) -> None:
    source.write_text('{"id": 1}\n{"id": 2}\n')

    def miscount(rows: Sequence[JSONDict]) -> list[JSONDict]:
        return [{"id": number} for number in range(len(rows) + surplus)]

    with pytest.raises(ValueError, match="answers"):
        run_batch(source, target, miscount)
    assert not target.exists()


def test_an_error_of_the_judge_is_not_blamed_on_the_output(source: Path, target: Path) -> None:
    source.write_text('{"id": 1}\n')

    def broken(rows: Sequence[JSONDict]) -> Iterator[JSONDict]:
        yield rows[0]
        raise FileNotFoundError(2, "No such file", "knowledge.toml")

    with pytest.raises(FileNotFoundError):
        run_batch(source, target, broken)


def test_a_device_as_output_is_written_and_not_replaced(source: Path) -> None:
    source.write_text('{"id": 1}\n')
    run_batch(source, Path(os.devnull), echo)
    assert not Path(os.devnull).is_file()


def test_an_output_that_is_a_link_changes_the_file_it_points_to(tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_text("old")
    link.symlink_to(real)
    write_rows(link, [{"id": 1}])
    assert link.is_symlink()
    assert judged(real) == [{"id": 1}]


def test_input_and_output_may_be_one_file(source: Path) -> None:
    source.write_text('{"id": 1, "text": "a"}\n')
    run_batch(source, source, echo)
    assert judged(source) == [{"id": 1, "text": "a"}]
