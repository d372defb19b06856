"""The README says what is so: its profile loads, its commands and files exist."""

import re
from pathlib import Path

from coe_ray.profile.profile import load_profile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_profile_shown_loads(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "shown.yaml"
    path.write_text(shown, encoding="utf-8")
    assert set(load_profile(path).experts) == {"mistral", "timeseries"}


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", README)) <= targets


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_module_stands_in_the_file_tree_below_its_room() -> None:
    tree = README.split("## Files")[1].split("## Test")[0]
    rooms = dict(re.findall(r"(?ms)^  ([a-z]+)/ (.*?)(?=^  [a-z]+/ |\Z)", tree.split("coe_ray/  ", 1)[1]))
    folders = {path.name for path in (ROOT / "coe_ray").iterdir() if (path / "__init__.py").is_file()}
    assert set(rooms) == folders
    lost = []
    for room, text in rooms.items():
        modules = (path for path in (ROOT / "coe_ray" / room).rglob("*.py") if path.name != "__init__.py")
        lost += [str(path) for path in modules if path.name not in text]
        named = set(re.findall(r"[\w/]*?(\w+\.py)\b", text)) - {"__init__.py"}
        lost += [f"{room}: {name}" for name in named if not list((ROOT / "coe_ray" / room).rglob(name))]
    assert lost == []
