"""Run a flow on a smaller machine where its runs show that it would do: a proposal, by the owner's prices.

Before::

    worker = "large"        # 4 processors, 0.192 an hour; the flow computes 8 % of its time

After::

    worker = "small"        # 1 processor, 0.048 an hour

Needs measured processor shares and the memory seen; no smaller memory is proposed without it.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.models import Advice, FlowHistory, Machine, PriceTable, Rejection, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.savings import UNTOLD
from prefect_autopilot.optimization.starts import monthly_runs

_NAME = "right_size"
_LEAST_RUNS = 5
_SPARE = 1.25
"""A quarter more memory and processor than was ever seen."""


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for a file of one flow whose worker is larger than its runs need."""
    prices, history = file.prices, file.history
    if prices is None or history is None or not prices.worker or len(file.flows) != 1:
        return
    flow = file.flows[0]
    now = next((one for one in prices.machines if one.name == prices.worker), None)
    reason = _refusal(now, history)
    if now is None or reason:
        yield Rejection(rule=_NAME, line=flow.node.lineno, reason=reason)
        return
    cpus = processors(history)
    memory = prices.peak_memory_gb * _SPARE if prices.peak_memory_gb else now.memory_gb
    fitting = [one for one in prices.machines if one.cpus >= cpus * _SPARE and one.memory_gb >= memory]
    best = min(fitting, key=lambda one: (one.price, one.name), default=now)
    if best.price < now.price:
        yield _advice(file, prices, now, best, cpus)


def _refusal(now: Machine | None, history: FlowHistory) -> str:
    shares = [one for one in history.tasks.values() if one.cpu_share is None or one.p50_s is None]
    if now is None:
        return "the price table does not tell what the present worker is"
    if history.flow.n < _LEAST_RUNS or history.flow.p50_s is None:
        return f"{history.flow.n} runs are too few to size a worker by; {_LEAST_RUNS} are needed"
    if not history.tasks or shares:
        return f"the processor share of its tasks is not known {UNTOLD}"
    return ""


def processors(history: FlowHistory) -> float:
    """Return the processors a flow keeps busy: its mean over a run, at least what its busiest task needs."""
    tasks = history.tasks.values()
    busy = sum((one.cpu_share or 0) * (one.p50_s or 0) * (one.calls_per_run or 1) for one in tasks)
    mean = busy / history.flow.p50_s if history.flow.p50_s else 0.0
    return max([mean, *(one.cpu_share or 0.0 for one in tasks)])


def _advice(file: FlowFile, prices: PriceTable, now: Machine, best: Machine, cpus: float) -> Advice:
    history = file.history
    assert history is not None
    runs = monthly_runs(file)
    hours = None if runs is None else runs * (history.flow.p50_s or 0.0) / 3600
    memory = "the memory is not smaller" if prices.peak_memory_gb is None else (
        f"at most {prices.peak_memory_gb:g} GB were in use"
    )  # fmt: skip
    return Advice(
        rule=_NAME,
        line=file.flows[0].node.lineno,
        reason=f"it keeps {cpus:.2f} of {now.cpus:g} processors busy and {memory}; {best.name} would do "
        f"for {best.price:g} instead of {now.price:g} {prices.currency} an hour",
        how=f"run it on {best.name} ({best.cpus:g} CPU, {best.memory_gb:g} GB): a work pool of that size "
        "or the job variables of its deployment",
        evidence=(f"{history.flow.n} runs", f"price table as of {prices.as_of or 'an unknown day'}"),
        preconditions=("the machine is paid for while the flow runs, and nothing else needs it",),
        saving_n=history.flow.n,
        saving_per_month=None if hours is None else round(hours * (now.price - best.price), 2),
        currency=prices.currency,
        undo=f"run it on {now.name} again",
    )


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.COST}), find=find, order=83)
"""No machine larger than its work."""
