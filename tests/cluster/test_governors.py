"""The governors' actor: named by the code that it runs, and ended when other code has taken its place."""

import sys
import time
import types
from pathlib import Path

import pytest

from coe_ray.cluster import governors
from coe_ray.cluster.governors import CODE, GOVERNORS, NAMESPACE, PREFIX, UNUSED_S, actor_name, has_others
from coe_ray.ratelimit import governor


def module_of(path: Path, content: str) -> types.ModuleType:
    path.write_text(content)
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    return module


def test_the_name_changes_with_the_code_alone(tmp_path: Path) -> None:
    one, same, other = (
        module_of(tmp_path / f"{name}.py", content)
        for name, content in (("a", "x = 1"), ("b", "x = 1"), ("c", "x = 2"))
    )
    assert actor_name((one,)) == actor_name((same,)) != actor_name((other,))
    assert GOVERNORS == actor_name() != actor_name((one,))
    assert GOVERNORS.startswith(PREFIX)


def test_the_name_covers_every_module_of_ratelimit_that_the_governor_imports() -> None:
    used = {name for name in vars(governor).values() if isinstance(name, type)}
    rooms = {sys.modules[each.__module__] for each in used if each.__module__.startswith("coe_ray.ratelimit")}
    assert rooms <= set(CODE)
    assert {"aimd", "fair_share", "governor", "rate_budget", "token_bucket"} == {
        module.__name__.rpartition(".")[2] for module in CODE
    }


@pytest.mark.parametrize(
    ("actors", "replaced"),
    [
        ([], False),
        ([(NAMESPACE, GOVERNORS)], False),
        ([(NAMESPACE, GOVERNORS), (NAMESPACE, f"{PREFIX}0123")], True),
        ([(NAMESPACE, GOVERNORS), ("another", f"{PREFIX}0123"), (NAMESPACE, "history")], False),
    ],
)
def test_only_governors_of_other_code_replace_it(
    actors: list[tuple[str, str]], replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [{"namespace": namespace, "name": name} for namespace, name in actors]
    monkeypatch.setattr(governors, "list_named_actors", lambda *, all_namespaces: listed)
    assert has_others(GOVERNORS) is replaced


@pytest.mark.parametrize(
    ("idle_s", "others", "ends"),
    [(UNUSED_S + 1, True, True), (UNUSED_S - 1, True, False), (UNUSED_S + 1, False, False)],
)
def test_it_ends_only_where_it_is_unused_and_replaced(
    idle_s: float, others: bool, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits: list[bool] = []
    monkeypatch.setattr(governors, "has_others", lambda name: others)
    monkeypatch.setattr("ray.actor.exit_actor", lambda: exits.append(True))
    actor = governors.GovernorActor.__new__(governors.GovernorActor)  # without the thread, which needs Ray
    actor._reported_at = time.monotonic() - idle_s
    actor.end_if_replaced()
    assert bool(exits) is ends
