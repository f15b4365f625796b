"""Which commands there are; the module of a command is imported when the command is run."""

from __future__ import annotations

from cyclopts import App, Parameter

_ROOM = "prefect_autopilot.cli"

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("analyze", "automate:analyze", "Say what a request in plain English was understood to mean."),
    (
        "generate",
        "automate:generate",
        "Turn a request into a Prefect flow; preview and deploy it on request.",
    ),
    ("edit", "edit:edit", "Change just what is asked in a flow file, as a diff."),
    ("explain", "edit:explain", "Say in English what a flow does and what happens when it fails."),
    ("remember", "memory:remember", "Remember which service you mean by a kind; show what is remembered."),
    ("forget", "memory:forget", "Forget the service you meant by a kind, or all of them."),
    ("diagnose", "resolve:diagnose", "Say why a run failed and what helps."),
    ("sessions", "sessions:sessions", "List troubleshooting sessions, newest first."),
    ("resolve", "decide:resolve", "Take a failed run as far as the policy lets it go now."),
    ("approve", "decide:approve", "Say yes to a session's proposal."),
    ("deny", "decide:deny", "Say no to a session's proposal and close it."),
    ("undo", "decide:undo", "Take a retry back that has not begun yet."),
    ("pause-all", "decide:pause_all", "Pause every remedy, everywhere on this store."),
    ("resume-all", "decide:resume_all", "End the pause of all remedies."),
    ("record", "decide:record", "Show how often each remedy has helped."),
    ("audit", "audit:audit", "Write the audit trail as JSON Lines or CSV; check that it is unbroken."),
    ("detect", "observe:detect", "Find anomalies in run histories."),
    ("health", "observe:health", "Show the health of deployments, with reasons."),
    ("optimize", "improve:optimize", "Plan a faster, cheaper or safer version of a flow file."),
    ("watch", "operate:watch", "Watch the Prefect server, diagnose failures, resolve what is safe."),
    ("backfill", "observe:backfill", "Read the history of runs, with progress; goes on where it ended."),
    ("up", "operate:up", "Run server, watcher and deployments on this machine."),
    ("serve", "operate:serve", "Serve the REST API."),
    ("install", "operate:install", "Create work pool, deployments and automation on the Prefect server."),
    ("uninstall", "operate:uninstall", "Remove from the Prefect server what install created."),
    ("doctor", "doctor:doctor", "Check versions, connections and storage; say how to mend them."),
    ("backup", "backup:backup", "Copy the SQLite store into a new file, also while it is in use."),
    ("restore", "backup:restore", "Put a backup in place of the SQLite store."),
    ("demo", "operate:demo", "Run every journey on an own Prefect server with simulated services."),
    ("version", "doctor:version", "Print the versions of prefect-autopilot, Prefect and Python."),
)
"""Name, ``module:function`` below this package, and the line ``--help`` shows."""

SERVICE_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("list", "services:list_services", "List the services of the catalogue."),
    ("show", "services:show", "Show one service with its operations and triggers."),
    ("stats", "services:stats", "Count the services by status."),
    ("import", "import_service:import_service", "Make a service of an OpenAPI or Swagger document."),
    ("remove", "import_service:remove", "Remove an imported service."),
    (
        "connect",
        "connect:connect",
        "Ask for a service's credentials, test them, and store them as a Prefect block.",
    ),
    ("expect-webhook", "connect:expect_webhook", "Let a service tell the secret of one new webhook."),
)

TOKEN_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("create", "tokens:create", "Make an access token and show it, this once."),
    ("list", "tokens:list_tokens", "List the access tokens."),
    ("revoke", "tokens:revoke", "End an access token and its browser sessions."),
)

ALERT_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("list", "alerts:list_alerts", "List the alerts that are open."),
    ("ack", "alerts:ack", "Take an alert on; it is not repeated or escalated any more."),
    ("silence", "alerts:silence", "Tell nobody of alerts that match for some time."),
    ("silences", "alerts:silences", "List silences and maintenance windows."),
    ("unsilence", "alerts:unsilence", "End a silence before its time."),
    ("send-test", "alerts:send_test", "Send a test notice to every channel."),
)

RULE_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("list", "rules:list_rules", "List the monitoring rules."),
    ("apply", "rules:apply", "Check and store the rules of a YAML file."),
    ("dry-run", "rules:dry_run", "Say how often rules would have fired."),
    ("remove", "rules:remove", "Remove a rule."),
)


def build_app() -> App:
    """Return the command line with every command registered by name only."""
    app = App(
        name="prefect-autopilot",
        help="Plain English to Prefect flows; runs watched, failures diagnosed, resolved and verified.",
        version=_version,
        help_format="plaintext",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
    )
    services = App(name="services", help="Look into the service catalogue; connect a service.")
    tokens = App(name="tokens", help="Access tokens of the REST API and the status page.")
    alerts = App(name="alerts", help="Alerts: list, acknowledge, silence; test the channels.")
    rules = App(name="rules", help="Monitoring rules: check, try out, store.")
    groups = (
        (app, COMMANDS),
        (services, SERVICE_COMMANDS),
        (tokens, TOKEN_COMMANDS),
        (alerts, ALERT_COMMANDS),
        (rules, RULE_COMMANDS),
    )
    for target, commands in groups:
        for name, place, line in commands:
            target.command(f"{_ROOM}.{place}", name=name, help=line)
    app.command(services)
    app.command(tokens)
    app.command(alerts)
    app.command(rules)
    return app


def _version() -> str:
    from prefect_autopilot import __version__

    return __version__
