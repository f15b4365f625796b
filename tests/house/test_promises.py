"""Each row of "What it will never do", and each kind of hostile input, has tests, which are still there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELD_BY = {
    "act because a log": "test_hostile_text_arrives_as_text_and_does_nothing",
    "act unattended without": "test_acting_unattended_is_nobodys_default",
    "touch a run that completed": "test_a_person_who_was_first_wins",
    "apply the same remedy twice": "test_the_same_remedy_for_the_same_state_is_intended_once",
    "repeat work that may": "test_work_that_may_have_had_an_effect_needs_a_word_of_its_own",
    "take its own word": "test_a_callers_word_is_recorded_and_not_believed",
    "look at, or repair": "test_our_own_flows_are_never_taken_up",
    "put your words": "test_hostile_text_stays_a_constant_and_the_file_stays_formatted",
    "keep, show, log or send": "test_a_notice_is_stored_without_secrets",
    "run your code to read it": "test_reading_a_flow_file_runs_nothing_of_it",
    "change a flow file that changed": "test_a_file_changed_since_the_plan_is_neither_written_nor_watched",
    "make up a figure": "test_without_history_no_saving_is_claimed",
    "call a workflow healthy": "test_a_workflow_never_seen_is_of_unknown_health",
    "call home": "test_nothing_is_sent_unless_it_is_switched_on",
}

HOSTILE: dict[str, dict[str, str]] = {
    "schedule": {
        "injection": "test_an_expression_that_is_no_cron_is_refused_with_its_text",
        "path as a zone": "test_a_zone_or_time_nobody_has_is_not_taken",
    },
    "file name": {
        "path": "test_a_file_is_only_written_below_its_folder_and_never_over_another",
        "link": "test_a_dangling_link_is_not_written_through",
        "overwriting": "test_nothing_is_overwritten",
        "length": "test_a_name_that_python_keeps_for_itself_is_no_name_of_a_flow",
    },
    "flow name": {
        "keyword, other characters": "test_a_name_that_python_keeps_for_itself_is_no_name_of_a_flow",
    },
    "request": {
        "code, braces, templates": "test_a_message_is_only_ever_text_in_the_source",
        "escapes": "test_a_harmless_looking_message_comes_back_letter_for_letter",
        "running it": "test_hostile_text_arrives_as_text_and_does_nothing",
        "secrets": "test_a_secret_in_a_request_does_not_reach_the_source",
        "secrets anywhere": "test_a_planted_secret_is_nowhere_in_what_was_written_or_answered",
    },
    "language model": {
        "orders in a log": "test_a_log_line_stays_a_line_in_a_report_and_orders_nothing",
        "orders in a request": "test_an_injected_recipient_is_not_sent_to",
        "excessive agency": "test_an_injected_deletion_is_not_planned",
        "code": "test_text_of_the_model_is_only_ever_a_constant",
    },
    "log line": {
        "terminal": "test_escape_codes_and_control_characters_are_gone",
        "fence": "test_a_fence_cannot_be_closed_from_inside",
        "links, tables, forged lines, secrets": "test_a_log_line_stays_a_line_in_a_report_and_orders_nothing",
        "slow patterns": "test_a_line_made_to_be_slow_is_diagnosed_all_the_same",
        "forged entries": "test_the_export_is_the_trail_line_by_line",
    },
    "metrics": {
        "cap": "test_deployments_beyond_the_cap_count_as_other",
        "labels": "test_labels_hold_no_ids_names_of_runs_or_times",
    },
    "notification": {
        "mentions and links": "test_text_from_outside_can_neither_call_nor_lead_anybody",
        "secrets": "test_nothing_secret_leaves",
        "addresses": "test_what_is_no_address_is_refused_and_not_shown",
    },
    "optimiser": {
        "reading runs nothing": "test_reading_a_flow_file_runs_nothing_of_it",
        "environment": "test_nothing_of_the_environment_goes_along_but_what_is_listed",
        "home": "test_a_flow_that_removes_its_home_removes_only_what_was_made_for_it",
        "no end": "test_a_flow_that_does_not_end_is_ended",
        "network": "test_a_process_without_network_reaches_its_own_loopback_and_nothing_else",
    },
    "YAML": {"growth, calls, depth": "test_rules_that_would_grow_without_bound_are_refused"},
    "remedy": {
        "budget": "test_a_remedy_beyond_the_budget_waits_and_is_done_later",
        "stored code": "test_a_stored_result_is_removed_without_being_loaded",
    },
    "REST API": {
        "trail": "test_a_changed_entry_is_found",
        "other sites": "test_no_answer_invites_other_sites",
        "depth": "test_no_hostile_body_is_a_server_error",
        "no token": "test_a_call_without_a_token_is_unauthorised",
        "not from elsewhere": "test_the_api_refuses_to_listen_elsewhere",
        "paths": "test_a_hostile_id_in_a_path_names_nothing",
        "SQL": "test_an_order_nobody_offers_changes_nothing",
        "small token": "test_a_refused_act_changes_nothing_and_is_written_down",
    },
    "address": {
        "any writing": "test_a_private_address_is_known_however_it_is_written",
        "at connect time": "test_the_socket_is_opened_to_the_address_that_was_checked",
        "files": "test_the_stand_in_takes_a_request_and_refuses_a_wrong_address",
        "redirects": "test_a_redirect_is_not_followed",
    },
    "webhook": {
        "no signature": "test_an_unsigned_webhook_is_refused",
        "any change": "test_a_changed_body_is_refused_byte_for_byte",
        "weaker signature": "test_what_is_not_signed_is_refused_and_leaves_no_trace",
        "old": "test_a_signed_time_may_be_five_minutes_off",
        "twice": "test_a_repetition_is_answered_and_nothing_is_sent_again",
        "challenge": "test_the_question_of_slack_is_answered_once_it_is_signed",
    },
}


CALLS: dict[str, tuple[str, ...]] = {
    "an unknown service": (
        "test_an_unknown_id_names_the_nearest",
        "test_an_unknown_operation_names_the_nearest",
        "test_nothing_is_sent_before_the_parameters_are_right",
    ),
    "a connection nobody stored": (
        "test_a_missing_credential_names_the_connection_and_the_command",
        "test_an_unknown_connection_names_the_nearest_service",
    ),
    "a value of the wrong type": (
        "test_wrong_parameters_are_named",
        "test_a_wrong_parameter_is_refused_before_anything_is_sent",
    ),
    "a body that is too large": ("test_a_body_that_is_too_large_is_told_with_its_size",),
    "an answer without end": (
        "test_an_endless_answer_is_cut_off",
        "test_a_body_is_read_up_to_the_limit_and_not_beyond",
        "test_an_answer_that_drips_is_given_up",
    ),
    "a list that repeats": (
        "test_a_page_given_again_is_an_error_and_no_endless_loop",
        "test_a_list_without_end_is_bounded",
        "test_half_a_list_is_not_answered_as_all_of_it",
    ),
    "an address of this machine": (
        "test_a_private_address_is_known_however_it_is_written",
        "test_a_refused_name_is_told_by_the_client_and_nothing_is_sent",
        "test_a_service_on_this_machine_is_reached_where_that_is_allowed",
    ),
    "an OpenAPI document": (
        "test_what_is_no_document_is_refused_in_a_sentence",
        "test_a_schema_that_holds_itself_is_cut",
        "test_that_laugh_by_the_billion_are_refused",
        "test_laughs_by_the_billion_are_worked_out_once_each",
        "test_have_a_largest_size",
        "test_that_answer_too_much_are_left_in_the_middle",
        "test_references_out_of_the_document_or_to_nothing_are_never_followed",
        "test_of_private_networks_are_not_asked",
    ),
    "a webhook": (
        "test_an_unsigned_webhook_is_refused",
        "test_a_changed_body_is_refused_byte_for_byte",
        "test_a_webhook_out_of_time_is_refused",
        "test_a_repetition_is_answered_and_nothing_is_sent_again",
    ),
}
"""What a call of a service answers to bad input, by the beginning of its row in docs/services.md."""


def promises() -> list[str]:
    text = (ROOT / "docs" / "never.md").read_text(encoding="utf-8")
    return [row.split("|")[1].strip() for row in re.findall(r"^\| (?!never \||-).*$", text, re.MULTILINE)]


@cache
def test_names() -> frozenset[str]:
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"def (test_\w+)", text))


test_names.__test__ = False  # type: ignore[attr-defined]  # it names tests and is none


def test_every_promise_is_held_by_a_test() -> None:
    without = [one for one in promises() if not any(one.startswith(start) for start in HELD_BY)]

    assert without == []
    assert len(promises()) == len(HELD_BY)


@pytest.mark.parametrize("start", HELD_BY)
def test_the_test_of_a_promise_is_there(start: str) -> None:
    assert HELD_BY[start] in test_names()


def test_every_surface_of_the_security_page_is_held() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    table = text[text.index("| surface |") :].partition("\n\n")[0]
    assert [row.split("|")[1].strip() for row in table.splitlines()[2:]] == list(HOSTILE)


def test_every_bad_input_of_a_call_is_held() -> None:
    text = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
    rows = text[text.index("| given | answer |") :].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(CALLS)
    assert [row for row in rows if not row.startswith(tuple(f"| {start}" for start in CALLS))] == []


@pytest.mark.parametrize("start", CALLS)
def test_the_tests_of_bad_input_are_there(start: str) -> None:
    assert [name for name in CALLS[start] if name not in test_names()] == []


@pytest.mark.parametrize("surface", HOSTILE)
def test_the_tests_of_a_surface_are_there(surface: str) -> None:
    assert [name for name in HOSTILE[surface].values() if name not in test_names()] == []


def test_reading_a_flow_file_runs_nothing_of_it(tmp_path: Path) -> None:
    from prefect_autopilot.journeys import explain, improve
    from prefect_autopilot.models import Strategy

    mark = tmp_path / "ran"
    file = tmp_path / "my_flow.py"
    file.write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from prefect import flow\n\n@flow\ndef main() -> int:\n    return 1\n",
        encoding="utf-8",
    )

    improve.plan(file, Strategy.HYBRID)
    explain.explain_file(file)

    assert not mark.exists()
