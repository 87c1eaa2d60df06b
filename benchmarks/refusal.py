"""Agreement of the refusal detector with the human labels of XSTest, beside the two judges published with them.

    python benchmarks/refusal.py [DATA]

DATA is the folder that holds `xstest/`; by default `shared/data` beside the checkout. Prints accuracy and Cohen's kappa for
three classes and for two (a refusal of any kind against compliance), the confusion tables, and the time for a text of 3.6 kB.
Writes the numbers, and no text, to `benchmarks/results/refusal.json`.
"""

from __future__ import annotations

import csv
import sys
import timeit
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from measuring import publish
from sklearn.metrics import accuracy_score, cohen_kappa_score

from lrm.judges.refusal import VERSION, Part, classify

ROOT = Path(__file__).resolve().parents[1]
LABELS = {"1": "compliance", "2": "full_refusal", "3": "partial_refusal"}
ORDER = ("compliance", "full_refusal", "partial_refusal")
MODELS = {"llama2orig": "development", "gpt4": "not read"}
DETECTOR, STRING_MATCH, GPT4 = "rules (this project)", "string match (XSTest)", "GPT-4 judge (XSTest)"

PROSE = (
    "The valley was settled in the ninth century by farmers who came over the pass with their herds. They built low houses of "
    "stone and kept the snow off with steep roofs of larch. Trade began with salt and cheese, and a market was held twice a "
    "year beside the bridge. Later a road was cut along the river, and the first inns opened for travellers on their way south. "
    "You can still see the old mill, which could not run in dry summers and was rebuilt in 1840. Most of its wheels are new, "
    "but the frame is original, and the guide will show you how the stones were dressed. "
)
TIMED: dict[str, tuple[Part, str]] = {
    "prose": ("answer", (PROSE * 8)[:3600]),
    "prose with one misleading cue": ("answer", ("I cannot stress enough how steep it is. " + PROSE * 8)[:3600]),
    "refusal, then prose": ("answer", ("I can't help with that. " + PROSE * 8)[:3600]),
    "thinking": (
        "thinking",
        (("Okay, the user asks about the valley. Let me think about what I can say. " + PROSE) * 8)[:3600],
    ),
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def label(value: str) -> str:
    return LABELS[value[0]]


def agreement(human: list[str], judged: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {"n": len(human)}
    for classes in (3, 2):
        pair = [human, judged] if classes == 3 else [[str(x == "compliance") for x in side] for side in (human, judged)]
        result[f"accuracy_{classes}"] = round(float(accuracy_score(*pair)), 4)
        result[f"kappa_{classes}"] = round(float(cohen_kappa_score(*pair)), 4)
    return result


def measure(data: Path) -> list[dict[str, Any]]:
    expected = {f"v2-{row['id']}": row["label"] for row in rows(data / "xstest_prompts.csv")}
    results = []
    for model, role in MODELS.items():
        stem = f"xstest_v2_completions_{model}"
        completions = rows(data / "model_completions" / f"{stem}.csv")
        ids = [row["id"] for row in completions]
        human = [label(row["final_label"]) for row in completions]
        judged: dict[str, list[str]] = {
            DETECTOR: [classify(row["completion"], scope="answer").label for row in completions]
        }
        for name, kind, column in ((STRING_MATCH, "streval", "strmatch_label"), (GPT4, "gpteval", "gpt4_label")):
            published = {
                row["id"]: label(row[column])
                for row in rows(data / "automated_evaluation_labels" / f"{stem}_{kind}.csv")
            }
            judged[name] = [published[ident] for ident in ids]
        for judge, given in judged.items():
            for prompts in ("safe", "unsafe", "all"):
                chosen = [i for i, ident in enumerate(ids) if prompts in {"all", expected[ident]}]
                result = agreement([human[i] for i in chosen], [given[i] for i in chosen])
                confusion = Counter((human[i], given[i]) for i in chosen)
                result |= {"model": model, "role": role, "judge": judge, "prompts": prompts}
                result["confusion"] = {h: {g: confusion[h, g] for g in ORDER} for h in ORDER}
                results.append(result)
    return results


def timings() -> dict[str, float]:
    """Return microseconds for one text of 3.6 kB of each sort: the best of several rounds."""
    best = {}
    for name, (scope, text) in TIMED.items():
        timer = timeit.Timer(partial(classify, text, scope=scope))
        best[name] = round(min(timer.repeat(repeat=15, number=40)) / 40 * 1e6, 1)
    return best


def show(results: list[dict[str, Any]], times: dict[str, float]) -> None:
    print(
        f"{'model':<11}{'role':<13}{'prompts':<8}{'judge':<23}{'n':>4}{'acc 3':>8}{'kappa 3':>9}{'acc 2':>8}{'kappa 2':>9}"
    )
    for r in results:
        print(
            f"{r['model']:<11}{r['role']:<13}{r['prompts']:<8}{r['judge']:<23}{r['n']:>4}"
            f"{r['accuracy_3']:>8.3f}{r['kappa_3']:>9.3f}{r['accuracy_2']:>8.3f}{r['kappa_2']:>9.3f}"
        )
    for r in results:
        if r["prompts"] == "all" and r["judge"] == DETECTOR:
            print(f"\n{r['model']}, human label in rows, detector in columns")
            print(" " * 18 + "".join(f"{name:>17}" for name in ORDER))
            for human in ORDER:
                print(f"{human:<18}" + "".join(f"{r['confusion'][human][given]:>17}" for given in ORDER))
    print("\nmicroseconds for one text of 3600 characters")
    for name, microseconds in times.items():
        print(f"{name:<32}{microseconds:>9.1f}")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    data = folder / "xstest"
    if not data.is_dir():
        sys.exit(f"no folder xstest in {folder}; give the folder that holds it as the argument")
    results, times = measure(data), timings()
    show(results, times)
    publish("refusal", {"detector_version": VERSION, "agreement": results, "microseconds": times})


if __name__ == "__main__":
    main()
