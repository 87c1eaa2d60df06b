"""How a plan is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrm.engines.words import engines_line, hours
from lrm.text import visible
from lrm_cli.output import cut, put, put_table, say
from lrm_cli.table import count, money, table

if TYPE_CHECKING:
    from lrm.plan.plan import Plan

KEYS = (
    "spec", "cells", "done", "blocked", "failed", "missing", "not_applicable", "calls", "at_provider", "judge_calls", "ungraded",
    "cost", "judge_cost", "total_cost", "total_tokens", "budget", "retry_failed", "nothing_to_do", "blocks", "estimates",
    "judges", "judge_estimates", "pursuits", "pursuit_calls", "pursuit_cost", "pursuit_estimates", "engines", "gpu_hours",
    "pulled",
)  # fmt: skip


def plan_object(plan: Plan) -> dict[str, Any]:
    """Return a plan for `--json`: its totals, then its parts."""
    blocks = [
        {name: getattr(block, name) for name in (*block.__dataclass_fields__, "missing")} for block in plan.blocks
    ]
    return {key: blocks if key == "blocks" else getattr(plan, key) for key in KEYS}


def put_plan(plan: Plan) -> None:
    """Print a plan: what is missing on stdout, the sentence about it on stderr."""
    if plan.nothing_to_do and (plan.retry_failed or not plan.missing):
        put(nothing_line(plan))
        _put_pulled(plan)
        _say_left_out(plan)
        return
    if not plan.blocks:  # only judges were asked for
        put(f"{plan.spec}: {count(plan.ungraded, 'verdict')} missing")
    else:
        put(
            f"{plan.spec}: {count(plan.cells, 'cell')}, {plan.done:,} present, {plan.missing:,} missing: "
            f"{count(plan.calls, 'call')} to make, {count(plan.ungraded, 'verdict')} missing on what is present"
        )
        _put_pulled(plan)
    blocks = [block for block in plan.blocks if block.missing]
    condition = ["condition"] if len({block.condition for block in plan.blocks}) > 1 else []
    if blocks:
        put()
        put_table(
            table(
                ("model", "prompt set", "attack", *condition, "cells", "present", "failed", "missing"),
                [
                    (
                        one.model,
                        one.prompt_set,
                        one.attack,
                        *([one.condition] if condition else []),
                        one.cells,
                        one.done,
                        one.failed,
                        one.missing,
                    )
                    for one in cut(blocks)
                ],
            )
        )
    expected = (*plan.estimates, *plan.pursuit_estimates, *plan.judge_estimates)
    if expected:
        put()
        put_table(
            table(
                ("model", "calls", "input tokens", "output tokens", "cost", "estimated from"),
                [
                    (one.model, one.calls, one.input_tokens, one.output_tokens, money(one.cost), one.basis)
                    for one in expected
                ],
            )
        )
    if plan.engines:
        put()
        put_table(
            table(
                ("engine", "models", "GPUs", "loads", "output tokens", "load took", "tokens/s seen", "GPU-hours"),
                [
                    (
                        one.checkpoint,
                        ", ".join(one.models),
                        one.gpus,
                        one.loads,
                        one.output_tokens,
                        None if one.load_s is None else f"{one.load_s:,.0f} s",
                        None if one.tokens_a_second is None else round(one.tokens_a_second),
                        None if one.gpu_hours is None else hours(one.gpu_hours),
                    )
                    for one in plan.engines
                ],
            )
        )
    ungraded = [judge for judge in plan.judges if judge.ungraded]
    if ungraded:
        put()
        put_table(
            table(
                ("judge", "scope", "graded", "verdicts missing", "questions at most"),
                [(one.judge, one.scope, one.graded, one.ungraded, one.calls) for one in ungraded],
            )
        )
    _say_left_out(plan)
    _say_takes(plan)


def _put_pulled(plan: Plan) -> None:
    if plan.pulled:
        put(visible(plan.pulled_said, one_line=True))


def _say_takes(plan: Plan) -> None:
    """Say what the plan takes, and whether the budget is enough for it."""
    if plan.retry_failed:
        say("only calls that failed are made again")
    if plan.calls:
        say(f"{count(plan.calls, 'call')}, estimated cost {money(plan.cost)}")
    if plan.at_provider:
        say(f"{count(plan.at_provider, 'call')} will be answered by batches that are at the provider")
    if plan.pursuits:
        say(
            f"attacks with other models in them: at most {count(plan.pursuit_calls, 'call')} for "
            f"{count(plan.pursuits, 'cell')}; estimated cost at most {money(plan.pursuit_cost)}"
        )
    if plan.judge_calls:
        say(
            f"judge models: at most {count(plan.judge_calls, 'question')}, and one more for a reply that cannot be read; "
            f"estimated cost at most {money(plan.judge_cost)}"
        )
    if sum(map(bool, (plan.calls, plan.pursuits, plan.judge_calls))) > 1:
        say(f"together at most {money(plan.total_cost)}")
    if plan.engines:
        say(visible(engines_line(plan)))
    if plan.budget:
        say(budget_line(plan))


def nothing_line(plan: Plan) -> str:
    """Return what a plan says that has nothing to do."""
    if not plan.blocks:  # only judges were asked for
        return "nothing to do: every verdict is there"
    if not plan.cells:
        return "nothing to do: the attacks have nothing for any of the prompts"
    present = f"{plan.done:,} of {count(plan.cells, 'cell')} are present"
    if plan.retry_failed and plan.missing:
        return f"nothing to do: no such call failed; {present}, {plan.missing:,} missing"
    return f"nothing to do: {present}"


def budget_line(plan: Plan) -> str:
    """Return the plan's budget in a line, and whether it is enough for what is planned."""
    caps = plan.budget
    needs: tuple[tuple[str, float | None, float | None], ...] = (
        ("max_cost", caps.cost, plan.total_cost),
        ("max_tokens", caps.tokens, plan.total_tokens),
        ("max_calls", caps.calls, plan.calls + plan.pursuit_calls + plan.judge_calls),
    )
    parts = [(cap / need, name) for name, cap, need in needs if cap is not None and need is not None and need > cap]
    if parts:
        part, name = min(parts)
        share = f"about {100 * part:.0f} %" if part >= 0.01 else "less than 1 %"
        said = f"as estimated, {name} ends it after {share} of what is planned"
    elif caps.seconds is not None or any(cap is not None and need is None for _, cap, need in needs):
        said = "whether that is enough cannot be told beforehand"
    else:
        said = "enough, as estimated"
    return f"budget: {caps.said()}: {said}"


def _say_left_out(plan: Plan) -> None:
    if plan.not_applicable:
        say(f"{count(plan.not_applicable, 'combination')} left out: the attack has nothing for the prompt")
