"""How well the miss of a deadline is forecast: Brier score, reliability and lead time, on runs that were held back.

The histories are made, since a public one with tasks, queues and deadlines could not be had: pipelines of 4 to 40 tasks
in layers, lognormal lengths, days that are slow as a whole and follow one another, waits in a queue, and now and then a
task that takes several times its length. Each run of the last 40 % is forecast at nine moments between its expected
start and its deadline, from the thirty runs before it. Yardsticks on the same questions: the share of misses so far
(what is known without looking at the run), and the mean of what is left (as Airflow's average runtime: yes or no).
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, Options, Skipped, say
from rules.forecast import Past, Standing, forecast
from watchtower.model.timing import RUNS

SEED = 20_261_130
DAY_S = 86_400.0
SHARE_HELD_BACK = 0.4
MOMENTS = tuple(step / 10 for step in range(1, 10))
ALERT = 0.7


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put to all: will this run miss its deadline? left: share of the allowed time that was left."""

    missed: bool
    ours: float
    base: float
    mean: float
    lead_s: float
    run: tuple[int, int]


def forecasts(options: Options) -> Sequence[Figure | Skipped]:
    pipelines = 60 if options.full else 20
    began = time.process_time()
    asked = [one for pipeline in range(pipelines) for one in _asked(pipeline)]
    spent = (time.process_time() - began) / len(asked)
    ours, base, mean = (_brier(asked, name) for name in ("ours", "base", "mean"))
    for said, was, count in _reliability(asked):
        say(f"  said {said:.2f}, was {was:.2f} {'#' * round(was * 40):<40} {count:,} times")
    found, false, lead = _alerts(asked)
    misses = len({one.run for one in asked if one.missed})
    note = f"{len(asked):,} questions on {pipelines} pipelines, {misses} missed deadlines, seed {SEED}"
    told = f"{found:.0%} of misses told of beforehand, {false:.0%} of alerts false, median lead {lead / 60:.0f} min"
    return [
        Figure("forecast of a miss, Brier score / share of misses so far", ours, base, "", "lower", 0.8, note=note),
        Figure("forecast of a miss, Brier score / mean of what is left", ours, mean, "", "lower", 0.8, note=told),
        Figure("said chance − share that was missed, mean / 0.05", _error(asked), 0.05, "", "lower", 1.0),
        Figure("one forecast, CPU / 50 ms", spent * 1e3, 50.0, "ms", "lower", 1.0, note="4 to 40 tasks, 30 past runs"),
    ]


def _asked(pipeline: int) -> Iterator[Asked]:
    dice = random.Random(f"{SEED} {pipeline}")
    runs = _history(dice, 150)
    first = int(len(runs) * (1 - SHARE_HELD_BACK))
    lengths = sorted(run.ended - run.meant for run in runs[:first])
    allowed = lengths[int(dice.uniform(0.8, 0.97) * len(lengths))]
    for index in range(first, len(runs)):
        run, past = runs[index], runs[index - RUNS : index]
        due, missed = run.meant + allowed, run.ended - run.meant > allowed
        base = (sum(one.ended - one.meant > allowed for one in runs[:index]) + 0.5) / (index + 1)
        for share in MOMENTS:
            now = run.meant + share * allowed
            if run.ended <= now:
                break
            ours = forecast(_standing(run, now), past, now).chance_after(due)
            mean = sum(one.ended - one.began for one in past) / len(past)
            expected = max(now, run.began if run.began <= now else now) + max(0.0, mean - max(0.0, now - run.began))
            yield Asked(missed, ours, base, float(expected > due), due - now, (pipeline, index))


def _standing(run: Past, now: float) -> Standing:
    tasks = {
        name: (began, ended if ended <= now else None) for name, (began, ended) in run.tasks.items() if began <= now
    }
    return Standing(run.meant, run.began if run.began <= now else None, tasks)


def _history(dice: random.Random, count: int) -> list[Past]:
    """A day apart, oldest first."""
    layers = [dice.randint(1, 6) for _ in range(dice.randint(3, 8))]
    names = [[f"t{layer}_{number}" for number in range(width)] for layer, width in enumerate(layers)]
    usual = {name: dice.lognormvariate(5.5, 1.0) for layer in names for name in layer}
    spread = {name: dice.uniform(0.08, 0.45) for name in usual}
    waits_for = {
        name: dice.sample(names[layer - 1], dice.randint(1, len(names[layer - 1]))) if layer else []
        for layer, some in enumerate(names)
        for name in some
    }
    queue_s, tempo, runs = dice.uniform(2, 60), 0.0, list[Past]()
    for day in range(count):
        tempo = 0.6 * tempo + dice.gauss(0, 0.15)
        meant = day * DAY_S
        began = meant + dice.expovariate(1 / 20)
        tasks: dict[str, tuple[float, float]] = {}
        for name in (name for layer in names for name in layer):
            ready = max((tasks[each][1] for each in waits_for[name]), default=began)
            start = ready + dice.expovariate(1 / queue_s)
            odd = dice.uniform(2, 6) if dice.random() < 0.01 else 1.0
            tasks[name] = (start, start + usual[name] * 2.718 ** (tempo + dice.gauss(0, spread[name])) * odd)
        runs.append(Past(meant, began, max(end for _, end in tasks.values()) + dice.uniform(1, 5), tasks))
    return runs


def _brier(asked: Sequence[Asked], name: str) -> float:
    return sum((getattr(one, name) - one.missed) ** 2 for one in asked) / len(asked)


def _reliability(asked: Sequence[Asked]) -> Iterator[tuple[float, float, int]]:
    """For each tenth of chances: the mean chance said, the share that was missed, and how many questions."""
    for tenth in range(10):
        some = [one for one in asked if min(9, int(one.ours * 10)) == tenth]
        if some:
            yield sum(one.ours for one in some) / len(some), sum(one.missed for one in some) / len(some), len(some)


def _error(asked: Sequence[Asked]) -> float:
    return sum(abs(said - was) * count for said, was, count in _reliability(asked)) / len(asked)


def _alerts(asked: Sequence[Asked]) -> tuple[float, float, float]:
    """Shares of misses that were alerted of and of alerts that came to nothing, and the median lead in seconds."""
    alerted: dict[tuple[int, int], float] = {}
    for one in asked:
        if one.ours >= ALERT:
            alerted[one.run] = max(alerted.get(one.run, 0.0), one.lead_s)
    missed = {one.run for one in asked if one.missed}
    leads = sorted(lead for run, lead in alerted.items() if run in missed)
    return (
        len(missed & alerted.keys()) / max(1, len(missed)),
        len(alerted.keys() - missed) / max(1, len(alerted)),
        leads[len(leads) // 2] if leads else 0.0,
    )
