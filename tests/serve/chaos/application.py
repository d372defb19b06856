"""The application under chaos: two replicas of everything, two hosted experts and one behind an API."""

from pathlib import Path
from typing import cast

from ray.serve import Application, Deployment

from coe_ray.core.questions import make_question
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder
from coe_ray.retrieval.index import build_index
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.app import AppArgs
from coe_ray.serve.hosting.retriever import RetrieverDeployment
from coe_ray.serve.hosting.vllm import llm_config, model_deployment
from coe_ray.serve.ingress import Ingress
from tests.serve.chaos.engines import EchoEngine, answer_of
from tests.support.cluster import Cluster
from tests.support.profiles import ENCODER, api, hosted, rule, scripted, write_profile

HOSTED = ("alpha", "beta")
CLOUD = "cloud"
NEXT_BEST = {"alpha": "beta", "beta": "alpha", CLOUD: "alpha"}
"""Each task is named after its best expert; who comes after that one."""

SEATS = {"worker": 10.0, "seat-alpha": 1.0, "seat-beta": 1.0}
"""Resources of a worker node: room for one replica of everything."""

REPLICAS = 2
FAILOVER_AFTER_S = 3.0
DEADLINE_S = 20.0


def question(task: str, number: int, tag: str) -> str:
    """Never asked before: a decision that is remembered would need no retriever."""
    return f"a case of {task} number {tag}.{number}"


def right_answer(expert: str, question: str) -> str:
    """The API says the question itself."""
    return question if expert == CLOUD else answer_of(expert, question)


def write_world(folder: Path, upstream: str) -> Path:
    """Profile, leaderboard and index. Returns the profile's path."""
    ranks = {task: [task, second, *({*NEXT_BEST} - {task, second})] for task, second in NEXT_BEST.items()}
    Leaderboard.from_scores(
        (expert, task, 9 - 4 * place, 10) for task, experts in ranks.items() for place, expert in enumerate(experts)
    ).save(folder / "leaderboard.json")
    encoder = load_profile("local-cpu").retrieval.encoder
    content = {
        "tasks": [{"name": task, "description": f"about {task}"} for task in NEXT_BEST],
        "models": {
            **{name: hosted(REPLICAS, bundle={"CPU": 1, f"seat-{name}": 1}) for name in HOSTED},
            CLOUD: api(upstream, "cloud-9"),
            "sorter": scripted(*[rule(f"Question: a case of {task}", f"**Task: {task}**") for task in NEXT_BEST]),
        },
        "experts": {name: {"model": name} for name in NEXT_BEST},
        # The classifier's reply does not depend on the neighbours, but without them nobody asks it.
        "classifier": {"model": "sorter", "decoding": "free", "k": 2},
        "retrieval": {"encoder": ENCODER, "index": "index"},
        "leaderboard": {"path": "leaderboard.json"},
        "routing": {"deadline_s": DEADLINE_S, "failover_after_s": FAILOVER_AFTER_S},
        "access": {"keys": False},
    }
    path = write_profile(folder / "chaos.yaml", content)
    examples = [make_question(f"What is known about {task}?", task=task) for task in NEXT_BEST]
    build_index(folder / "index", examples, SentenceEncoder(encoder.hub, fetch_weights(encoder)))
    return path


def add_worker(cluster: Cluster, name: str) -> None:
    cluster.add_node(name, SEATS)


def build(args: AppArgs) -> Application:
    """As the shipped builder, but for the engines: those have the real ones' options alone."""
    profile = load_profile(args.profile)
    options = {
        "num_replicas": REPLICAS,
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": 0.5, "resources": {"worker": 1}},
    }
    retriever = cast(Deployment, RetrieverDeployment).options(**options).bind(profile)
    engines = {name: _engine(name, model) for name, model in profile.models.items() if isinstance(model, VllmModel)}
    return cast(Deployment, Ingress).options(**options).bind(profile, retriever, engines, [])


def _engine(name: str, model: VllmModel) -> Application:
    real = model_deployment(name, llm_config(name, model))
    return real.options(func_or_class=EchoEngine, ray_actor_options={"num_cpus": 1}).bind(name)
