"""Request → flow: understood, built, tried against simulated services, deployed. One function a step."""

from __future__ import annotations

from prefect_autopilot import codegen
from prefect_autopilot.adapters.catalogue import user_catalogue, user_services
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.preview import run_preview, warm_worker
from prefect_autopilot.adapters.simulator import Simulator
from prefect_autopilot.errors import ConfigurationError, UsageError
from prefect_autopilot.intelligence import analyze, design
from prefect_autopilot.journeys.deployment import (
    deploy,
    needed_values,
    open_client,
    open_parameters,
    polled_event,
    renamed,
    trigger_of,
    write_flow,
)
from prefect_autopilot.journeys.desk import prefect_target
from prefect_autopilot.journeys.language_model import read_again
from prefect_autopilot.models import (
    Analysis,
    GeneratedFlow,
    JSONDict,
    PreviewResult,
    Question,
    RequestContext,
)
from prefect_autopilot.models.names import CONNECTION_BLOCK
from prefect_autopilot.redaction import MARK, redact
from prefect_autopilot.services import connection_name
from prefect_autopilot.settings import load_settings

__all__ = [
    "build",
    "connections",
    "deploy",
    "missing_connections",
    "needed_values",
    "open_parameters",
    "preview",
    "preview_parameters",
    "understand",
    "warm_preview",
    "write_flow",
]

TAKEN_OUT = (
    "A secret was taken out of the request; keep it in a connection (prefect-autopilot services connect)"
    " or a Prefect Secret block, and write only its name."
)


def understand(text: str, context: RequestContext | None = None) -> Analysis:
    """Return what ``text`` was understood to ask for; a flow that cannot be built becomes a question.

    Where the settings name a language model and switch it on, its plan is taken if it passes every check.
    Secrets are taken out of the text before anything is made of it, and that is said.
    """
    catalogue, context = user_catalogue(), context or RequestContext()
    harmless = redact(text)
    secret = (TAKEN_OUT,) if harmless != text or MARK in harmless else ()
    text = harmless
    analysis = read_again(analyze(text, context, catalogue), context, catalogue, load_settings())
    if secret:
        analysis = analysis.model_copy(update={"recommendations": (*analysis.recommendations, *secret)})
    if analysis.status != "flow":
        return analysis
    try:
        generated = codegen.generate(design(analysis, catalogue), catalogue)
    except UsageError as error:
        asked = (*analysis.questions, Question(id="build", text=error.message))
        return analysis.model_copy(update={"status": "clarify", "questions": asked})
    advice = (*analysis.recommendations, *_unannounced(generated))
    return analysis.model_copy(update={"recommendations": advice})


def _unannounced(generated: GeneratedFlow) -> tuple[str, ...]:
    """Say what is needed for the event that is to start the flow to come, where nothing looks for it."""
    event = generated.deployment.event
    if event is None or polled_event(generated) is not None:
        return ()
    source = generated.spec.trigger.service or "the outside"
    trigger = trigger_of(generated)
    if trigger is None or trigger.hook is None or generated.spec.trigger.service is None:
        told = f"Nothing looks for this event of {source} yet; the Prefect event {event!r} starts the flow."
        return (told,)
    public_url = load_settings().public_url
    place = f"/hooks/{connection_name(generated.spec.trigger.service)}"
    if public_url is None:
        told = (
            f"Nothing looks for this event of {source} yet: it comes by webhook to {place}; set"
            " PREFECT_AUTOPILOT_PUBLIC_URL once a proxy leads there."
        )
        return (told,)
    return (f"The event comes by webhook: let {source} post to {public_url}{place}.",)


def build(analysis: Analysis) -> GeneratedFlow:
    """Return source and deployment of an understood request; raises UsageError unless it is one."""
    catalogue = user_catalogue()
    return codegen.generate(design(analysis, catalogue), catalogue)


async def preview(
    generated: GeneratedFlow, *, target: PrefectTarget | None = None, timeout_s: float = 120
) -> PreviewResult:
    """Run the flow once with its sample event against simulated services; nothing outside is touched.

    The run is recorded on ``target`` or the server of the environment; where there is none, a temporary
    server is started.
    """
    known = target or _known_target()
    simulator = Simulator(user_catalogue())
    for service, resource, row in codegen.rows_to_seed(generated.spec):
        simulator.seed(service, resource, row)
    return await run_preview(
        generated,
        preview_parameters(generated),
        target=known,
        simulator=simulator,
        services=user_services().folder,
        timeout_s=timeout_s,
    )


def warm_preview() -> None:
    """Start the process that the next preview of this program runs in."""
    warm_worker(_known_target())


def _known_target() -> PrefectTarget | None:
    try:
        return prefect_target()
    except ConfigurationError:
        return None


def preview_parameters(generated: GeneratedFlow) -> JSONDict:
    """Return what a preview runs the flow with: its sample event and an example for each open parameter."""
    event = {"event": generated.sample_event} if generated.deployment.event or generated.sample_event else {}
    return event | renamed(generated, codegen.example_values(generated.spec))


async def missing_connections(
    generated: GeneratedFlow, *, target: PrefectTarget | None = None
) -> tuple[str, ...]:
    """Return the connections the flow uses that are not on the server, in order of first use."""
    from prefect.exceptions import ObjectNotFound

    missing: list[str] = []
    async with open_client(target) as client:
        for name in connections(generated):
            try:
                await client.read_block_document_by_name(name, CONNECTION_BLOCK, include_secrets=False)
            except ObjectNotFound:
                missing.append(name)
    return tuple(missing)


def connections(generated: GeneratedFlow) -> tuple[str, ...]:
    """Return every connection that has to be there, that of the watched service first."""
    polled = polled_event(generated)
    source = [connection_name(polled[0].id)] if polled else []
    return tuple(dict.fromkeys([*source, *generated.spec.connections]))
