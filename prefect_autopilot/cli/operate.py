"""The long-running commands, and putting the product onto a Prefect server."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, write_line


async def watch(
    *,
    mode: Annotated[
        Literal["propose", "approve", "auto"] | None,
        Parameter(help="propose tells; approve asks in the Prefect UI; auto also does what is safe."),
    ] = None,
    notify_webhook: Annotated[str | None, Parameter(help="URL that every notice is posted to.")] = None,
) -> int:
    """Watch the Prefect server of the environment until interrupted."""
    from prefect_autopilot.adapters.versions import require_compatible
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.watcher import watch as run

    require_compatible()
    given = {"mode": mode, "notify_webhook": notify_webhook}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    await run(settings, tell=write_line)
    return 0


async def up(
    *, port: Annotated[int, Parameter(help="Port of the Prefect server, if it is ours.")] = 4200
) -> int:
    """Run server, watcher and deployments on this machine until interrupted."""
    from prefect_autopilot.deployments.up import up as run

    await run(port=port, tell=write_line)
    return 0


def serve(
    *,
    host: Annotated[
        str | None, Parameter(help="Address to listen on; the setting api_host otherwise.")
    ] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; the setting api_port otherwise.")] = None,
) -> int:
    """Serve the REST API on this machine until interrupted."""
    import asyncio

    from prefect_autopilot.adapters.embedded import check_address
    from prefect_autopilot.adapters.versions import require_compatible
    from prefect_autopilot.api import check_loopback, create_app, has_tokens
    from prefect_autopilot.api.server import Server
    from prefect_autopilot.journeys.automate import warm_preview
    from prefect_autopilot.settings import load_settings

    require_compatible()
    settings = load_settings()
    address = (host or settings.api_host, settings.api_port if port is None else port)
    locked = asyncio.run(has_tokens(settings))
    check_loopback(address[0], has_tokens=locked)
    check_address(*address, advice="choose another --host or --port")
    warm_preview()
    app = create_app(settings, hosts=(address[0],), locked=locked)
    server = Server(app, host=address[0], port=address[1])
    server.run()
    return 0 if server.started else 1


async def install() -> int:
    """Create work pool, deployments and automation on the Prefect server; running it again is safe."""
    from prefect_autopilot.cli.prefect_server import prefect_server

    async with prefect_server():
        from prefect_autopilot.deployments.install import install as run

        for line in await run():
            write_line(line)
    return 0


async def uninstall() -> int:
    """Remove from the Prefect server what install created, and nothing else."""
    from prefect_autopilot.cli.prefect_server import prefect_server

    async with prefect_server():
        from prefect_autopilot.deployments.install import uninstall as run

        for line in await run() or ("Nothing that install created is there.",):
            write_line(line)
    return 0


def demo(
    *, keep: Annotated[Flag, Parameter(help="Leave everything running and print the addresses.")] = False
) -> int:
    """Run every journey on an own Prefect server with simulated services."""
    from prefect_autopilot.adapters.versions import require_compatible
    from prefect_autopilot.demo import run_demo

    require_compatible()
    return run_demo(keep=keep)
