"""The same job done by `lrm`, by Curator and by Inspect AI, side by side in one run against one local server.

    make bench-peers                                           makes an environment for each, and runs this
    python benchmarks/peers.py [--calls 5000] [--in-flight 64] [--only NAME]

The job: so many prompts asked of a model at a server with no latency and a reply of 3.6 kB, all kept. Each client has one
core, the same number in flight, and a home of its own for all that it writes, with the logs and caches that its users
have; displays are off where that can be set, and telemetry is. Calls a second leave out what a job of a single call takes;
whole processes do not. Memory is that of all processes of a client. The second run finds that nothing is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from job import AIOHTTP, CLIENT, SERVER, bare, fill, write_prompts, write_spec
from measuring import Run, bytes_below, pin_to, publish, run
from servers import Server, serving

HERE = Path(__file__).parent / "peers"
Do = Callable[[Path, Server, int, int], Run]
"""Do the job in a folder: first time or again."""


@dataclass(frozen=True, slots=True)
class Client:
    """One of those that are compared."""

    name: str
    do: Do
    package: str | None = None
    """Where its environment and its job lie; None for ours."""
    extra: int = 0
    """Requests beside the calls that it makes each time: Curator asks once what the rate limits are."""
    keeps: bool = True


@dataclass(frozen=True, slots=True)
class Figures:
    """What a client took."""

    version: str
    calls: int
    calls_per_s: float
    of_bare_aiohttp: float
    whole_process_s: float
    peak_mb: float
    on_disk_mb: float | None
    nothing_missing_s: float | None
    asked_again: int | None
    """Calls that the second run made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--only", help="one client, beside the bare one")
    options = parser.parse_args()
    figures: dict[str, dict[str, object]] = {}
    unmeasured: list[dict[str, str]] = []
    print(
        f"{'client':<22} {'version':<10} {'calls/s':>8} {'of aiohttp':>11} {'whole s':>8} {'peak MB':>8} {'disk MB':>8}"
        f" {'again s':>8} {'asked again':>12}"
    )
    base = 0.0
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        pin_to(server.process.pid, SERVER)
        for client in CLIENTS:
            if base and options.only and options.only.lower() not in client.name.lower():
                continue
            try:
                version = version_of(client)
                at = Path(folder) / client.name.replace(" ", "-")
                one = measured(client, version, at, server, options.calls, options.in_flight)
            except (RuntimeError, OSError) as error:
                reason = str(error).strip().splitlines()[-1]
                print(f"{client.name:<22} could not be measured: {reason}", flush=True)
                unmeasured.append({"client": client.name, "reason": reason})
                continue
            base = base or one.calls_per_s
            one = replace(one, of_bare_aiohttp=one.calls_per_s / base)
            figures[client.name] = {name: getattr(one, name) for name in one.__dataclass_fields__}
            show(client.name, one)
    publish(
        "peers", {"in_flight": options.in_flight, **figures, **({"not measured": unmeasured} if unmeasured else {})}
    )


def measured(client: Client, version: str, folder: Path, server: Server, calls: int, width: int) -> Figures:
    """Do a job of one call, then the whole job, then the whole job again. Raises RuntimeError when a job fails."""
    start = client.do(folder / "one", server, 1, width)
    server.reset()
    first = client.do(folder / "all", server, calls, width)
    made = server.total() - client.extra
    if made != calls:
        raise RuntimeError(f"it made {made:,} calls for a job of {calls:,}")
    kept = again = asked = None
    if client.keeps:
        kept = (bytes_below(folder / "all") - bytes_below(folder / "all" / "job")) / 2**20
        server.reset()
        again = client.do(folder / "all", server, calls, width).wall_s
        asked = server.total() - client.extra
    rate = calls / (first.wall_s - start.wall_s)
    return Figures(version, calls, rate, 0.0, first.wall_s, first.peak_mb, kept, again, asked)


def show(name: str, one: Figures) -> None:
    """Print one row."""
    kept = "-" if one.on_disk_mb is None else f"{one.on_disk_mb:,.1f}"
    again = "-" if one.nothing_missing_s is None else f"{one.nothing_missing_s:.2f}"
    asked = "-" if one.asked_again is None else f"{one.asked_again:,}"
    print(
        f"{name:<22} {one.version:<10} {one.calls_per_s:>8,.0f} {one.of_bare_aiohttp:>11.3f} {one.whole_process_s:>8.2f}"
        f" {one.peak_mb:>8.0f} {kept:>8} {again:>8} {asked:>12}",
        flush=True,
    )


def version_of(client: Client) -> str:
    """Return a client's version. Raises RuntimeError when it has no environment, with the reason."""
    if client.package is None:
        from importlib.metadata import version

        return version("aiohttp" if client.do is with_aiohttp else "lrm")
    home = HERE / client.package / ".venv"
    if not (home / ".stamp-peer").is_file():
        log = home / "install.log"
        said = log.read_text(encoding="utf-8").strip() if log.is_file() else ""
        raise RuntimeError(said or "it has no environment: `make bench-peers` makes it")
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    return run([str(home / "bin/python"), "-c", code, DISTRIBUTION[client.package]]).stdout.strip()


def with_aiohttp(_folder: Path, server: Server, calls: int, width: int) -> Run:
    """Ask with the bare client, which keeps nothing."""
    return bare(AIOHTTP, server, calls, width, watch=ignore)


def with_lrm(folder: Path, server: Server, calls: int, width: int) -> Run:
    """Fill a matrix."""
    spec = folder / "home" / "bench.toml"
    if not spec.exists():
        write_spec(spec.parent, server, calls, width)
        (folder / "job").mkdir()
        (spec.parent / "prompts.jsonl").rename(folder / "job" / "prompts.jsonl")
        spec.write_text(spec.read_text().replace("'prompts.jsonl'", "'../job/prompts.jsonl'"))
    return fill(spec, watch=ignore)


def with_curator(folder: Path, server: Server, calls: int, width: int) -> Run:
    """Ask with Curator."""
    return peer("curator", folder, server, calls, width)


def with_inspect(folder: Path, server: Server, calls: int, width: int) -> Run:
    """Ask with an eval set of Inspect AI's, whose logs are what it resumes from."""
    return peer("inspect_ai", folder, server, calls, width, "set")


def with_inspect_cache(folder: Path, server: Server, calls: int, width: int) -> Run:
    """Ask with an eval of Inspect AI's that has its cache of generations on."""
    return peer("inspect_ai", folder, server, calls, width, "cache")


def peer(package: str, folder: Path, server: Server, calls: int, width: int, *arguments: str) -> Run:
    """Run a peer's job by the Python of its environment. All that it writes of its own goes below `folder/home`."""
    prompts, home = folder / "job" / "prompts.jsonl", folder / "home"
    if not prompts.exists():
        prompts.parent.mkdir(parents=True)
        home.mkdir()
        write_prompts(prompts, calls)
    python = HERE / package / ".venv" / "bin" / "python"
    command = [str(python), str(HERE / package / "job.py"), server.url, str(prompts), str(home / "out"), str(width)]
    env = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_DATA_HOME": str(home / "data")}
    return run([*command, *arguments], core=CLIENT, cwd=home, watch=ignore, env=env | QUIET | encodings(python))


def encodings(python: Path) -> dict[str, str]:
    """Return where tiktoken finds the encoding that litellm brings along; it would fetch it from the network else."""
    found = next(python.parents[1].glob("lib/python*/site-packages/litellm/litellm_core_utils/tokenizers"), None)
    return {} if found is None else {"TIKTOKEN_CACHE_DIR": str(found)}


def ignore(_at_s: float, _mb: float) -> None:
    """Have memory watched for its peak only."""


DISTRIBUTION = {"curator": "bespokelabs-curator", "inspect_ai": "inspect-ai"}
QUIET = {
    "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True", "CURATOR_DISABLE_RICH_DISPLAY": "1", "NO_COLOR": "1",
}  # fmt: skip
"""Nothing is sent home, and no display is drawn."""
CLIENTS = (
    Client("aiohttp, bare", with_aiohttp, keeps=False),
    Client("lrm", with_lrm),
    Client("Curator", with_curator, "curator", extra=1),
    Client("Inspect AI, eval set", with_inspect, "inspect_ai"),
    Client("Inspect AI, cache", with_inspect_cache, "inspect_ai"),
)


if __name__ == "__main__":
    main()
