"""Root-cause questions: a fault is placed in a generated system and the symptoms follow from its structure.

Six incident shapes; in each the cause follows from the printed facts by a rule a human would use, and the
most conspicuous component (loudest, first in the list, largest count) is usually not the cause.
"""

from collections.abc import Callable

from jobs.sample_generator.drafts import Dice, Draft, draft
from jobs.sample_generator.topology import Graph, clock, edges, random_graph

NOISE_SIGNS = (
    "error ratio {a} %",
    "timeouts on {a} % of calls",
    "p99 at {b} ms",
    "{a} failed calls per second",
)
ASKS = (
    "Which component is the most likely root cause?",
    "Where should the responders look first?",
    "What started the incident?",
    "Find the origin of the failure.",
    "Which of the four explains all the facts?",
    "Which is the culprit?",
)
CHANGES = (
    "configuration push",
    "new release",
    "certificate rotation",
    "schema change",
    "library upgrade",
    "scaling change",
    "feature switch",
)
SIGNALS = ("latency", "error ratio", "queue length", "retry rate", "thread-pool usage", "connection count")
PLACES = (
    ("host", "h"),
    ("rack", "r"),
    ("availability zone", "z"),
    ("hypervisor", "hv"),
    ("storage volume", "vol"),
)
SLICES = (
    ("client version", ("5.1", "5.2", "5.3", "5.4")),
    ("region", ("north", "south", "east", "west")),
    ("payment provider", ("Alba", "Brisk", "Corvo", "Dune")),
    ("node pool", ("blue", "green", "amber", "violet")),
    ("database shard", ("s1", "s2", "s3", "s4")),
)


def incident(dice: Dice, number: int) -> Draft:
    """Draw one question; the number selects its shape, so that all are equally frequent."""
    shapes: tuple[Callable[[Dice], Draft], ...] = (_cascade, _change, _placement, _trace, _slice, _onset)
    return shapes[number % len(shapes)](dice)


def _cascade(dice: Dice) -> Draft:
    """Errors climb from callee to caller: the cause is the failing service with only healthy dependencies."""
    graph = random_graph(dice, dice.between(8, 10))
    cause = dice.pick(graph.deep())
    failing = graph.callers(cause)
    healthy = [name for name in graph.names if name not in failing]
    alerts = [
        f"{name}: {dice.pick(NOISE_SIGNS).format(a=dice.between(6, 60), b=dice.between(900, 9000))}"
        for name in dice.shuffled(sorted(failing))
    ]
    opening = dice.pick(("Calls between services", "Who calls whom", "Service map"))
    stem = (
        f"{opening}: {edges(dice, graph)}. Alerts, in no particular order: {'; '.join(alerts)}. "
        f"No alert from {', '.join(dice.shuffled(healthy))}. A failing service makes its callers fail. "
        f"{dice.pick(ASKS)}"
    )
    suspects = dice.sample([n for n in sorted(failing) if n != cause], dice.pick((2, 3)))
    wrong = [*suspects, *dice.shuffled(healthy)][:3]
    return draft(stem, cause, wrong, f"{cause} is the only failing service whose own dependencies are all healthy.")


def _change(dice: Dice) -> Draft:
    """The cause is the last change before the onset among the services the failing one depends on."""
    graph = random_graph(dice, 8)
    victim = dice.pick([name for name in graph.names if len(graph.needs(name)) in (4, 5, 6)] or graph.names[:1])
    inside = dice.shuffled(sorted(graph.needs(victim)))
    outside = dice.shuffled([name for name in graph.names if name not in inside])
    onset = dice.between(600, 1200)
    guilty = (onset - dice.between(4, 15), inside[0])
    facts = [guilty, (onset - dice.between(150, 300), inside[1]), (onset + dice.between(3, 12), inside[2])]
    facts += [(onset - dice.between(1, 3), name) for name in outside[:1]]
    facts += [(onset - dice.between(320, 400), name) for name in inside[3:4] if len(facts) < 4]
    kinds = dice.sample(CHANGES, len(facts))
    named = {f"the {kind} of {name}": at for kind, (at, name) in zip(kinds, facts, strict=True)}
    diary = "; ".join(f"{clock(at)} {label}" for label, at in sorted(named.items(), key=lambda item: item[1]))
    stem = (
        f"Dependencies: {edges(dice, graph)}. {victim} was healthy until {clock(onset)}, "
        f"then its errors rose sharply, under usual load. Change log: {diary}. "
        f"{dice.pick(('Which change', 'Which entry of the log', 'Which of these changes'))} "
        f"{dice.pick(('most likely caused it?', 'should be rolled back first?', 'is the prime suspect?'))}"
    )
    labels = list(named)
    why = f"It is the last change before {clock(onset)} to something {victim} depends on (or to itself)."
    return draft(stem, labels[0], labels[1:4], why)


def _placement(dice: Dice) -> Draft:
    """The cause is the one location whose tenants are exactly the degraded services."""
    word, prefix = dice.pick(PLACES)
    names = random_graph(dice, 9).names
    spots = [f"{prefix}{number}" for number in dice.sample(range(1, 30), 4)]
    guilty = dice.pick(spots)
    degraded = dice.sample(names, 4)
    tenants = {spot: dice.sample(degraded, dice.between(2, 3)) for spot in spots}
    for spot in spots:
        tenants[spot] = dice.shuffled(tenants[spot] + dice.sample([n for n in names if n not in degraded], 2))
    tenants[guilty] = dice.shuffled(degraded)
    layout = "; ".join(f"{spot} carries {', '.join(tenants[spot])}" for spot in spots)
    fine = [name for name in names if name not in degraded]
    stem = (
        f"Replicas of services are spread over {word}s: {layout}. "
        f"Since {clock(dice.below(1440))} part of the requests to {', '.join(dice.shuffled(degraded))} fail, "
        f"while {', '.join(dice.shuffled(fine))} are fully healthy. "
        f"A single {word} is at fault. {dice.pick(('Which one?', 'Which one must it be?', 'Name it.'))}"
    )
    wrong = [spot for spot in spots if spot != guilty]
    return draft(stem, guilty, wrong, f"All degraded services, and no healthy one, have a replica on {guilty}.")


def _trace(dice: Dice) -> Draft:
    """The cause is the span whose own time (total minus children) grew most; its callers merely wait."""
    names = random_graph(dice, 6).names
    parent = [0, 0, 0, 1, 1, 3]
    usual = [dice.between(8, 60) for _ in names]
    slow = [value + dice.between(0, 8) for value in usual]
    cause = dice.pick((1, 3, 4, 5))
    slow[cause] += dice.between(90, 400)
    own = {name: slow[k] - usual[k] for k, name in enumerate(names)}
    totals = [list(values) for values in (usual, slow)]
    for series in totals:
        for k in range(5, 0, -1):
            series[parent[k]] += series[k]
    spans = dice.shuffled([f"{name} {totals[0][k]} -> {totals[1][k]} ms" for k, name in enumerate(names)])
    calls = ", ".join(f"{names[parent[k]]} calls {names[k]}" for k in range(1, 6))
    ask = dice.pick(("Which span slowed down itself", "Whose own work slowed down", "Where was time really lost"))
    stem = (
        f"One request is traced; calls are made one after another and each caller waits: {calls}. Total time "
        f"per span (waiting for callees included), before and during the incident: {'; '.join(spans)}. {ask}?"
    )
    right = max(own, key=lambda name: own[name])
    wrong = dice.sample([name for name in names if name != right], 3)
    return draft(stem, right, wrong, f"Without its callees, {right} takes {own[right]} ms longer than before.")


def _slice(dice: Dice) -> Draft:
    """The cause is the slice with the raised failure rate, not the one with most failures."""
    word, labels = dice.pick(SLICES)
    guilty = dice.below(4)
    volume = [dice.between(300, 900) * 10 for _ in labels]
    loud = dice.pick([k for k in range(4) if k != guilty])
    volume[loud] *= dice.between(15, 25)
    failed = [size * dice.between(9, 14) // 1000 for size in volume]
    failed[guilty] = volume[guilty] * dice.between(7, 11) // 100
    rows = dice.shuffled([f"{labels[k]}: {volume[k]} requests, {failed[k]} failed" for k in range(4)])
    service = random_graph(dice, 4).names[0]
    stem = (
        f"{service} reports more failed requests since {clock(dice.below(1440))}. Broken down by {word}: "
        f"{'; '.join(rows)}. About 1 % failing is normal here. "
        f"{dice.pick(('Behind which', 'For which', 'With which'))} {word} does the cause lie?"
    )
    wrong = [labels[k] for k in range(4) if k != guilty]
    share = failed[guilty] * 100 // volume[guilty]
    return draft(stem, labels[guilty], wrong, f"{share} % of its requests fail; everywhere else it is about 1 %.")


def _onset(dice: Dice) -> Draft:
    """The cause is the earliest deviation among what the victim needs; an unrelated one came earlier."""
    graph = Graph.chain(dice, 5, aside=2)
    victim, inside, outside = graph.names[0], graph.names[:5], graph.names[5:]
    start = dice.between(120, 1300)
    depth = dice.between(2, 4)
    onset = {name: start + 4 * (depth - k) + dice.below(3) for k, name in enumerate(inside[: depth + 1])}
    onset[outside[0]] = start - dice.between(2, 9)
    onset[outside[1]] = start + dice.between(3, 20)
    lines = [f"{name} {dice.pick(SIGNALS)} from {clock(at)}" for name, at in onset.items()]
    stem = (
        f"Dependencies: {edges(dice, graph)}. Users complain about {victim}. First deviation per "
        f"component: {'; '.join(dice.shuffled(lines))}. Everything else looks normal. {dice.pick(ASKS)}"
    )
    related = {name: at for name, at in onset.items() if name in graph.needs(victim)}
    right = min(related, key=lambda name: related[name])
    others = dice.shuffled([name for name in onset if name not in (right, outside[0])])
    why = f"{right} deviates first ({clock(onset[right])}) among everything {victim} depends on."
    return draft(stem, right, [outside[0], *others[:2]], why)
