"""Create Asana task, then post Slack message.

The request, as it was made:

    When I get an important email in Gmail, create a task in Asana and tell #inbox
    in Slack.
"""

from typing import Any

from prefect import State, flow
from prefect.states import Completed
from prefect_autopilot.tasks import call_service


@flow(name="important-mail-to-asana", persist_result=True)
def important_mail_to_asana(event: dict[str, Any]) -> State[Any]:
    """Create Asana task, then post Slack message.

    Args:
        event: Data of the event that starts the run, from Gmail.
    """
    if "IMPORTANT" not in event["labels"]:
        return Completed(name="Skipped", message="Condition not met: important")

    call_service.with_options(name="Create Asana task")(
        "asana-default",
        "create_task",
        name=event["subject"],
        notes=event["snippet"],
        projects=["1200000000000011"],
    )
    from_text = event["from"]
    subject = event["subject"]
    call_service.with_options(name="Post Slack message")(
        "slack-default",
        "post_message",
        channel="#inbox",
        text=f"New task from {from_text}: {subject}",
    )
    return Completed(message="All steps are done.")


if __name__ == "__main__":
    important_mail_to_asana(
        event={
            "id": "18f2a6c1d4e50003",
            "threadId": "18f2a6c1d4e50003",
            "from": "Nora Feld <nora.feld@example.com>",
            "to": "me@example.com",
            "subject": "Contract: signature needed by Friday",
            "date": "Mon, 2 Mar 2026 08:00:00 +0000",
            "snippet": "The signed contract has to be back with us by Friday noon, otherwise the offer lapses.",
            "labels": ["INBOX", "UNREAD", "IMPORTANT", "CATEGORY_PERSONAL"],
        },
    )
