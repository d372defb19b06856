"""Log parsing questions: each line is printed from a known statement, so its template is known exactly.

Distractors keep a run-time value (under-abstraction), star a fixed word (over-abstraction) or do both.
How many of each is drawn, so neither the longest nor the shortest option is a safe guess.
"""

import re

from jobs.sample_generator.drafts import Dice, Draft, draft
from jobs.sample_generator.statements import STATEMENTS, fill

ASKS = (
    "A log parser turns each run-time value, and nothing else, into <*>. What becomes of this: {lines}?",
    "Given {lines}: choose the event template. Fixed text of the statement stays, parameters become <*>.",
    "Ignoring the header and masking only variable fields by <*>, which template do you derive from {lines}?",
    "Take {lines}. Which message template does the program most likely contain (<*> = variable)?",
    "Template extraction. Input: {lines}. Mask just the dynamic tokens of the message as <*>. Result?",
    "Which option masks precisely the variables of the message in {lines}, no fewer and no more (mask: <*>)?",
)
HOSTS = ("web-03", "db1", "ip-10-0-7-21", "store07", "kubenode4", "mx2", "gw-east")


def log_parsing(dice: Dice, statements: list[int]) -> Draft:
    """Draw one question about the next unused statement."""
    header, body = STATEMENTS[statements.pop()]
    pieces = re.split(r"\{(\w+)\}", body)
    fixed, kinds = pieces[::2], pieces[1::2]
    count = dice.pick((1, 1, 2, 3))
    drawn = _draw(dice, kinds, count)
    lines = [f"{_head(dice, header)} {_join(fixed, values)}" for values in drawn]
    stem = dice.pick(ASKS).format(lines=_quote(dice, lines))
    right = _join(fixed, ["<*>"] * len(kinds))
    wrong = _distractors(dice, fixed, drawn[0], right)
    values = ", ".join(drawn[0])
    return draft(
        stem[0].upper() + stem[1:],
        right,
        wrong,
        f"Only {values} are run-time values; the rest is fixed text.",
    )


def _draw(dice: Dice, kinds: list[str], count: int) -> list[list[str]]:
    """Draw the fields of several lines; no field may repeat its value, or it would look like fixed text."""
    columns = []
    for kind in kinds:
        values: list[str] = []
        while len(values) < count:
            value = fill(dice, kind)
            values += [value] * (value not in values)
        columns.append(values)
    return [list(line) for line in zip(*columns, strict=True)]


def _join(fixed: list[str], values: list[str]) -> str:
    return "".join(part + value for part, value in zip(fixed, [*values, ""], strict=True))


def _quote(dice: Dice, lines: list[str]) -> str:
    if len(lines) == 1:
        return dice.pick(("the line `{}`", "this record: `{}`", "the raw entry `{}`")).format(lines[0])
    listed = " ".join(f"({number}) `{line}`" for number, line in enumerate(lines, 1))
    return f"these {len(lines)} lines of one statement: {listed}"


def _head(dice: Dice, header: str) -> str:
    clock = f"{dice.below(24):02d}:{dice.below(60):02d}:{dice.below(60):02d}"
    day, month = dice.between(10, 28), dice.between(1, 12)
    return header.format(
        syslog=f"{('Jan', 'Mar', 'May', 'Aug', 'Oct', 'Dec')[month % 6]} {day} {clock} {dice.pick(HOSTS)}",
        iso=f"2024-{month:02d}-{day}T{clock}.{dice.below(1000):03d}Z",
        plain=f"2024-{month:02d}-{day} {clock},{dice.below(1000):03d}",
        pid=dice.between(300, 32000),
        uptime=f"{dice.between(100, 99999)}.{dice.below(1000000):06d}",
    )


def _distractors(dice: Dice, fixed: list[str], values: list[str], right: str) -> list[str]:
    under = dice.below(4)
    # "both" counts as keeping a value: that, not the starred word, decides length and likeness to the line.
    moves = [dice.pick(("under", "under", "both")) for _ in range(under)] + ["over"] * (3 - under)
    wrong: list[str] = []
    while len(wrong) < 3:
        option = _spoil(dice, fixed, values, moves[len(wrong)])
        if option not in (right, *wrong):
            wrong.append(option)
    return wrong


def _spoil(dice: Dice, fixed: list[str], values: list[str], move: str) -> str:
    """Build a wrong template."""
    shown = ["<*>"] * len(values)
    if move in ("under", "both"):
        # Two kept values only now and then: one is the likelier slip of a real parser.
        for place in dice.sample(range(len(values)), dice.pick((1, 1, 2))):
            shown[place] = values[place]
    if move == "under":
        return _join(fixed, shown)
    words = [(k, hit.span()) for k, part in enumerate(fixed) for hit in re.finditer(r"\b[A-Za-z]{4,}\b", part)]
    spoilt = list(fixed)
    part, (start, end) = dice.pick(words)
    spoilt[part] = spoilt[part][:start] + "<*>" + spoilt[part][end:]
    return _join(spoilt, shown)
