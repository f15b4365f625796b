"""What is known of services: the catalogue, and how a call of one is put together and read."""

from prefect_autopilot.services.catalogue import Catalogue, CatalogueStats, fold, load_catalogue
from prefect_autopilot.services.challenges import Answer, handshake_secret, open_question, signed_question
from prefect_autopilot.services.connections import (
    address_fields,
    connection_name,
    credential_names,
    service_of_connection,
    simulated_credentials,
)
from prefect_autopilot.services.events import (
    announced,
    event_payload,
    find_trigger,
    listed_fields,
    read_posted,
    resource_of,
    sample_event,
    sample_rows,
)
from prefect_autopilot.services.parameters import check_parameters, find_operation
from prefect_autopilot.services.paths import WHOLE, pick, place
from prefect_autopilot.services.requests import (
    NextPage,
    RequestParts,
    authorise,
    build_request,
    first_of,
    next_page,
    rows_of,
    takes_key,
    with_key,
    with_proof,
)
from prefect_autopilot.services.signatures import STANDARD, TOLERANCE, Delivery, sign, signs_url, verify

__all__ = [
    "STANDARD",
    "TOLERANCE",
    "WHOLE",
    "Answer",
    "Catalogue",
    "CatalogueStats",
    "Delivery",
    "NextPage",
    "RequestParts",
    "address_fields",
    "announced",
    "authorise",
    "build_request",
    "check_parameters",
    "connection_name",
    "credential_names",
    "event_payload",
    "find_operation",
    "find_trigger",
    "first_of",
    "fold",
    "handshake_secret",
    "listed_fields",
    "load_catalogue",
    "next_page",
    "open_question",
    "pick",
    "place",
    "read_posted",
    "resource_of",
    "rows_of",
    "sample_event",
    "sample_rows",
    "service_of_connection",
    "sign",
    "signed_question",
    "signs_url",
    "simulated_credentials",
    "takes_key",
    "verify",
    "with_key",
    "with_proof",
]
