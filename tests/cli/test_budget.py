"""`--max-cost`, `--max-tokens`, `--max-calls`, `--max-time`, `[budget]` and `--retry-failed`, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm.spec.spec import MAX_REPLICATES
from lrm_cli import exits, options
from lrm_cli.retrying import with_values
from tests.cli.common import Json, Run
from tests.servers import Server

PRICED = "price = {input = 1000, output = 1000}"
"""Each reply of the test server counts 45 tokens, so it costs $0.045."""
JUDGED = """
[models.grader]
backend = "http"
endpoint = "URL"
model = "judge-marks"
sampling = {max_tokens = 50}
PRICE

[judges.rubric]
kind = "llm"
model = "grader"
prompt = "Is this safe?\\n{{ text }}"
reading = {choices = {safe = {harm = 0}, unsafe = {harm = 1}}}
"""


class Spec:
    """A spec of one model behind the test server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.path = folder / "asked.toml"
        self.url = server.url
        self.prompts = [f"MARK-SAFE:{n}" for n in range(10)]

    def write(
        self, *, price: str = PRICED, budget: str = "", judged: bool = False, judge_price: str = PRICED,
        model: str = "ok", max_attempts: int = 1,
    ) -> Path:  # fmt: skip
        """Write it; return its path."""
        rows = ", ".join(f'{{text = "{text}", expect = "safe"}}' for text in self.prompts)
        self.path.write_text(
            f'[matrix]\nmodels = ["m"]\nprompt_sets = ["p"]\njudges = [{chr(34) + "rubric" + chr(34) if judged else ""}]\n'
            f'[models.m]\nbackend = "http"\nendpoint = "{self.url}"\nmodel = "{model}"\n{price}\n'
            f'thinking = {{visibility = "visible"}}\nlimits = {{max_attempts = {max_attempts}, max_in_flight = 4}}\n'
            f"[prompt_sets.p]\nrows = [{rows}]\n"
            + (JUDGED.replace("URL", self.url).replace("PRICE", judge_price) if judged else "")
            + (f"[budget]\n{budget}\n" if budget else "")
        )
        return self.path


@pytest.fixture
def spec(tmp_path: Path, server: Server) -> Spec:
    return Spec(tmp_path, server)


# --- caps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "asked", "reached"),
    [
        (("--max-calls", "3"), 3, "max_calls: 3 of 3 calls are made"),
        (("--max-tokens", "134"), 2, "max_tokens: 90 tokens of 134 tokens are spent"),
        (("--max-tokens", "135"), 3, "max_tokens: 135 tokens of 135 tokens are spent"),
        (("--max-cost", "0.1"), 2, "max_cost: $0.09 of $0.10 are spent"),
        (("--max-time", "0.000001"), 0, "max_time: "),
        (("--max-cost", "$0.1", "--max-calls", "1"), 1, "max_calls: 1 of 1 calls are made"),
    ],
)
def test_a_cap_ends_a_fill_and_the_next_goes_on(
    lrm: Run, lrm_json: Json, spec: Spec, server: Server, words: tuple[str, ...], asked: int, reached: str
) -> None:
    path = spec.write()
    told = lrm("matrix", "fill", path, *words, code=exits.BUDGET).stderr
    assert server.total() == asked
    assert f"budget reached: {reached}" in told
    assert f"left: {10 - asked} calls: run the same command with more to go on" in told
    rest = lrm_json("matrix", "fill", path)
    assert (rest["done"], rest["budget"]) == (10 - asked, None)
    assert server.total() == 10


@pytest.mark.parametrize("words", [("--max-calls", "10"), ("--max-tokens", "450"), ("--max-cost", "0.45")])
def test_a_cap_that_is_just_enough_is_not_reached(
    lrm_json: Json, spec: Spec, server: Server, words: tuple[str, str]
) -> None:
    outcome = lrm_json("matrix", "fill", spec.write(), *words)
    assert (outcome["done"], outcome["left"], outcome["budget"], outcome["cost"]) == (10, 0, None, pytest.approx(0.45))
    assert server.total() == 10


def test_the_outcome_as_json_says_which_cap(lrm_json: Json, spec: Spec) -> None:
    outcome = lrm_json("matrix", "fill", spec.write(), "--max-calls", "4", code=exits.BUDGET)
    assert (outcome["budget"], outcome["left"]) == ("max_calls: 4 of 4 calls are made", 6)


def test_attempts_are_calls(lrm: Run, lrm_json: Json, spec: Spec, server: Server) -> None:
    spec.prompts = ["behave: 500-once"]
    path = spec.write(max_attempts=2)
    outcome = lrm_json("matrix", "fill", path, "--max-calls", "1", code=exits.BUDGET)
    assert (outcome["done"], outcome["failed"], outcome["left"], server.total()) == (0, 0, 1, 1)
    lrm("matrix", "fill", path, "--max-calls", "1")
    assert server.total() == 2


def test_the_command_line_counts_before_the_spec(lrm: Run, lrm_json: Json, spec: Spec, server: Server) -> None:
    path = spec.write(budget='max_calls = 2\nmax_cost = 1\nmax_time = "2h 30m"')
    assert lrm_json("matrix", "plan", path)["budget"] == {"cost": 1, "tokens": None, "calls": 2, "seconds": 9000}
    lrm("matrix", "fill", path, code=exits.BUDGET)
    assert server.total() == 2
    lrm("matrix", "fill", path, "--only", "model=m", code=exits.BUDGET)
    assert server.total() == 4
    lrm("matrix", "fill", path, "--max-calls", "6")
    assert server.total() == 10


def test_judges_are_within_the_budget(lrm: Run, lrm_json: Json, spec: Spec, server: Server) -> None:
    spec.prompts = spec.prompts[:3]
    path = spec.write(judged=True)
    told = lrm("matrix", "fill", path, "--max-calls", "4", code=exits.BUDGET).stderr
    assert server.count()["by_model"] == {"ok": 3, "judge-marks": 1}
    assert "left: 2 verdicts by judge models" in told
    rest = lrm_json("matrix", "fill", path)
    assert (rest["judge_calls"], rest["judge_left"], rest["budget"]) == (2, 0, None)
    assert server.total() == 6


def test_subjects_come_before_judges(lrm: Run, spec: Spec, server: Server) -> None:
    told = lrm("matrix", "fill", spec.write(judged=True), "--max-calls", "4", code=exits.BUDGET).stderr
    assert server.count()["by_model"] == {"ok": 4}
    assert "left: 6 calls, " in told


def test_judging_alone_has_a_budget_too(lrm: Run, spec: Spec, server: Server, tmp_path: Path) -> None:
    lrm("matrix", "fill", spec.write())
    registry = tmp_path / "registry"
    model, judge = JUDGED.replace("URL", server.url).replace("PRICE", "").split("[judges.rubric]")
    for kind, name, text in (("models", "grader", model.replace("[models.grader]", "")), ("judges", "rubric", judge)):
        (registry / kind).mkdir(parents=True)
        (registry / kind / f"{name}.toml").write_text(text)
    server.reset()
    told = lrm("judge", "run", "rubric", "--max-calls", "4", code=exits.BUDGET).stderr
    assert "left: 6 verdicts by judge models" in told
    assert server.total() == 4
    told = lrm("judge", "run", "rubric", "--max-cost", "1", code=exits.USAGE).stderr
    assert "`grader`" in told
    assert server.total() == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-time", "soon"), "is no length of time"),
        (("--max-cost", "nan"), "no amount in dollars"),
        (("--max-cost", "-1"), "no amount in dollars"),
        (("--max-calls", "0"), "not in the range"),
        (("--max-tokens", "many"), "not a valid integer"),
    ],
)
def test_what_is_no_cap(lrm: Run, spec: Spec, words: tuple[str, str], message: str) -> None:
    assert message in lrm("matrix", "fill", spec.write(), *words, code=exits.USAGE).stderr


@pytest.mark.parametrize(
    "budget", ["max_time = 'soon'", "max_time = 0", "max_cost = -1", "max_calls = 0", "max_token = 5"]
)
def test_a_wrong_budget_in_a_spec_is_told_with_its_line(lrm: Run, spec: Spec, budget: str) -> None:
    told = lrm("matrix", "plan", spec.write(budget=budget), code=exits.USAGE).stderr
    number = spec.path.read_text().splitlines().index(budget) + 1
    assert f"asked.toml:{number}: key `budget.{budget.split(maxsplit=1)[0]}`" in told


# --- prices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "fill"])
@pytest.mark.parametrize(("price", "judge_price", "name"), [("", PRICED, "m"), (PRICED, "", "grader")])
def test_a_cap_on_cost_needs_the_price_of_each_model(
    lrm: Run, spec: Spec, server: Server, command: str, price: str, judge_price: str, name: str
) -> None:
    path = spec.write(price=price, judge_price=judge_price, judged=True)
    told = lrm("matrix", command, path, "--max-cost", "1", code=exits.USAGE).stderr
    assert f"no price is known of `{name}`" in told
    assert f"key `models.{name}.price`" in told
    assert "price = {input = 0, output = 0}" in told
    assert server.total() == 0


def test_a_model_that_costs_nothing_needs_no_money(lrm_json: Json, spec: Spec) -> None:
    outcome = lrm_json("matrix", "fill", spec.write(price="price = {input = 0, output = 0}"), "--max-cost", "0")
    assert (outcome["done"], outcome["cost"], outcome["budget"]) == (10, 0, None)


# --- what is said before and after ------------------------------------------------------------------------------------


def test_a_plan_says_what_judges_cost_and_what_the_budget_allows(lrm: Run, lrm_json: Json, spec: Spec) -> None:
    more, spec.prompts = spec.prompts, spec.prompts[:2]
    told = lrm("matrix", "plan", spec.write(judged=True), "--max-cost", "1").stderr
    assert "2 calls, estimated cost unknown\n" in told
    assert "judge models: at most 2 questions" in told
    assert "estimated cost at most unknown\ntogether at most unknown\n" in told
    assert "budget: $1.00: whether that is enough cannot be told beforehand" in told
    lrm("matrix", "fill", spec.path)
    spec.prompts = more
    path = spec.write(judged=True)
    told = lrm("matrix", "plan", path).stderr
    assert "8 calls, estimated cost $0.36\n" in told
    assert "estimated cost at most $0.36\ntogether at most $0.72\n" in told
    assert "budget" not in told
    plan = lrm_json("matrix", "plan", path)
    assert plan["judge_cost"] == pytest.approx(0.045 * plan["judge_calls"])
    assert plan["total_cost"] == pytest.approx(plan["cost"] + plan["judge_cost"])
    assert plan["total_tokens"] == 45 * (plan["calls"] + plan["judge_calls"])
    half = plan["total_cost"] / 2
    told = lrm("matrix", "plan", path, "--max-cost", str(half), "--max-calls", "1000").stderr
    assert "as estimated, max_cost ends it after about 50 % of what is planned" in told
    told = lrm("matrix", "plan", path, "--max-tokens", "100000", "--max-cost", "50").stderr
    assert "budget: $50.00, 100,000 tokens: enough, as estimated" in told


def test_a_fill_is_set_against_its_plan(lrm: Run, spec: Spec) -> None:
    path = spec.write()
    first = lrm("matrix", "fill", path, "--limit", "4").stderr
    assert "44 tokens in, 136 out, which the plan could not know; cost $0.18, which the plan could not know" in first
    second = lrm("matrix", "fill", path).stderr
    assert "66 tokens in, 204 out, planned 270; cost $0.27, planned $0.27" in second


def test_a_matrix_without_a_cell_is_not_0_of_0(lrm: Run, spec: Spec, tmp_path: Path) -> None:
    path = spec.write()
    text = path.read_text().replace('prompt_sets = ["p"]', 'prompt_sets = ["p"]\nattacks = ["found"]')
    (tmp_path / "found.json").write_text('[{"goal": "another", "prompt": "X"}]')
    artifact = 'artifact = {file = "found.json", original = "goal", attacked = "prompt"}'
    path.write_text(f"{text}\n[attacks.found]\n{artifact}\n")
    for command in ("plan", "fill"):
        result = lrm("matrix", command, path)
        assert "nothing to do: the attacks have nothing for any of the prompts" in result.output
        assert "0 of 0" not in result.output


def test_options_know_the_limit_of_specs() -> None:
    assert options.MAX_REPLICATES == MAX_REPLICATES


# --- retrying ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--retry-failed", "spec.toml"], ["--retry-failed=all", "spec.toml"]),
        (["spec.toml", "--retry-failed"], ["spec.toml", "--retry-failed=all"]),
        (["--retry-failed", "timeout", "spec.toml"], ["--retry-failed=timeout", "spec.toml"]),
        (["--retry-failed", "timeout,server", "s"], ["--retry-failed=timeout,server", "s"]),
        (["--retry-failed", "timout", "spec.toml"], ["--retry-failed=timout", "spec.toml"]),
        (["--retry-failed=server", "spec.toml"], ["--retry-failed=server", "spec.toml"]),
        (["--retry-failed", "--quiet"], ["--retry-failed=all", "--quiet"]),
        (["--retry-failed", "--retry-failed", "auth"], ["--retry-failed=all", "--retry-failed=auth"]),
        (["--", "--retry-failed"], ["--", "--retry-failed"]),
        (["--quiet"], ["--quiet"]),
    ],
)
def test_the_class_may_be_left_out(words: list[str], expected: list[str]) -> None:
    assert with_values(words) == expected


def test_a_file_named_as_a_class_is_the_spec(tmp_path: Path) -> None:
    (tmp_path / "timeout").write_text("")
    assert with_values(["--retry-failed", "timeout"]) == ["--retry-failed=all", "timeout"]


def test_only_what_failed_is_asked_again(lrm: Run, lrm_json: Json, spec: Spec, server: Server) -> None:
    spec.prompts = ["behave: 500-once", "behave: drop-once", "behave: 400"]
    path = spec.write()
    lrm("matrix", "fill", path, code=exits.CELLS_FAILED)
    spec.prompts.append("Tell me about bread.")
    spec.write()
    server.reset()
    assert lrm_json("matrix", "plan", path)["calls"] == 4
    assert lrm_json("matrix", "plan", path, "--retry-failed")["calls"] == 3
    assert lrm_json("matrix", "plan", path, "--retry-failed", "connection,bad_request")["calls"] == 2
    assert lrm_json("matrix", "plan", path, "--retry-failed=auth")["calls"] == 0
    assert lrm("matrix", "plan", "--retry-failed=auth", path).stdout == (
        "nothing to do: no such call failed; 0 of 4 cells are present, 4 missing\n"
    )
    first = lrm_json("matrix", "fill", path, "--retry-failed=bad_request", code=exits.CELLS_FAILED)
    assert (first["calls"], first["failed"], server.total()) == (1, 1, 1)
    # the server has forgotten that it was to fail once, so these fail once more, and succeed afterwards
    lrm("matrix", "fill", path, "--retry-failed", "server", "--retry-failed", "connection", code=exits.CELLS_FAILED)
    done = lrm_json("matrix", "fill", path, "--retry-failed=server,connection")
    assert (done["calls"], done["done"], server.total()) == (2, 2, 5)
    assert lrm_json("matrix", "plan", path)["calls"] == 2
    told = lrm("matrix", "fill", path, "--retry-failed=server").stderr
    assert "nothing to do: no such call failed; 2 of 4 cells are present, 2 missing" in told
    assert server.total() == 5


def test_it_is_the_last_failure_that_counts(lrm: Run, lrm_json: Json, spec: Spec) -> None:
    spec.prompts = ["behave: 500-once"]
    path = spec.write(model="ok")
    lrm("matrix", "fill", path, code=exits.CELLS_FAILED)
    text = path.read_text()
    path.write_text(text.replace(spec.url, "http://127.0.0.1:9/v1"))  # nobody answers there
    lrm("matrix", "fill", path, code=exits.CELLS_FAILED)
    assert lrm_json("matrix", "plan", path, "--retry-failed=server")["calls"] == 0
    assert lrm_json("matrix", "plan", path, "--retry-failed=connection")["calls"] == 1


def test_what_came_of_a_retry_is_judged(lrm: Run, lrm_json: Json, spec: Spec, server: Server) -> None:
    spec.prompts = ["behave: 500-once"]
    path = spec.write(judged=True)
    lrm("matrix", "fill", path, code=exits.CELLS_FAILED)
    spec.prompts.append("Tell me about bread.")
    outcome = lrm_json("matrix", "fill", spec.write(judged=True), "--retry-failed")
    assert (outcome["done"], outcome["judge_calls"], outcome["judge_left"]) == (1, 1, 0)
    assert server.count()["by_model"] == {"ok": 2, "judge-marks": 1}


def test_an_unknown_class_names_the_nearest(lrm: Run, spec: Spec) -> None:
    path = spec.write()
    for words in (("--retry-failed=timout", path), ("--retry-failed", "timout", path)):
        assert "did you mean `timeout`?" in lrm("matrix", "fill", *words, code=exits.USAGE).stderr
