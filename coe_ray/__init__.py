"""CoE-Ops on Ray: a DevOps question goes in; its task is named, a leaderboard names the expert, the expert answers.

The names below are public; each is imported when it is first used, because some take seconds.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coe_ray.analysis.charts.output import save_chart
    from coe_ray.analysis.charts.radar import radar_chart
    from coe_ray.analysis.mapping import cross_fitted_map, paper_map
    from coe_ray.analysis.matrix import Matrix
    from coe_ray.analysis.systems import question_oracle
    from coe_ray.analysis.systems import routed as routed_system
    from coe_ray.analysis.tables import format_markdown
    from coe_ray.bench.datasets.load import load_benchmark
    from coe_ray.bench.indexing import open_profile_index
    from coe_ray.core.chat_model import ChatModel, stream_completion
    from coe_ray.core.errors import CallError, CoeError, ConfigError, DataError
    from coe_ray.core.questions import make_question, split_options
    from coe_ray.core.run_folder import RunFolder, read_questions
    from coe_ray.core.types import Call, Completion, Delta, Message, Question, SamplingParams, Task, Usage
    from coe_ray.llm.factory import make_local_models
    from coe_ray.llm.recordings import Recording, count_scores, read_recordings
    from coe_ray.paper.findings import StudyData, analyse
    from coe_ray.paper.paper_figures import draw_figures
    from coe_ray.paper.paper_tables import make_tables
    from coe_ray.profile.profile import Profile, load_profile
    from coe_ray.routing.leaderboard import Leaderboard
    from coe_ray.routing.pipeline import CompositionOfExperts
    from coe_ray.serve.app import AppArgs
    from coe_ray.serve.app import build as build_app

__all__ = [
    "AppArgs",
    "Call",
    "CallError",
    "ChatModel",
    "CoeError",
    "Completion",
    "CompositionOfExperts",
    "ConfigError",
    "DataError",
    "Delta",
    "Leaderboard",
    "Matrix",
    "Message",
    "Profile",
    "Question",
    "Recording",
    "RunFolder",
    "SamplingParams",
    "StudyData",
    "Task",
    "Usage",
    "analyse",
    "build_app",
    "count_scores",
    "cross_fitted_map",
    "draw_figures",
    "format_markdown",
    "load_benchmark",
    "load_profile",
    "make_local_models",
    "make_question",
    "make_tables",
    "open_profile_index",
    "paper_map",
    "question_oracle",
    "radar_chart",
    "read_questions",
    "read_recordings",
    "routed_system",
    "save_chart",
    "split_options",
    "stream_completion",
]


@cache
def _definitions() -> dict[str, tuple[str, str]]:
    """Module and name of each public name, read from the imports above, so that they are listed once."""
    imports = [
        node for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    return {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}


if not TYPE_CHECKING:  # or every name would be valid

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _definitions()[name]
        return getattr(import_module(module), attribute)
