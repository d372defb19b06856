"""The files that people deploy with, against the schemas of the installed Ray and against the code they name."""

import json
import re
import subprocess
import tomllib
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from coe_ray.cli.main import ENVIRONMENT
from coe_ray.cluster.health import APPLICATION, hosted_model_names
from coe_ray.cluster.hosted import deployment_name
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.loading import shipped_profiles
from coe_ray.profile.models import ApiModel, VllmModel
from coe_ray.profile.profile import Profile, load_profile, patch_profile
from coe_ray.serve.app import AppArgs
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT
from coe_ray.serve.hosting.retriever import RetrieverDeployment
from coe_ray.serve.ingress import Ingress

ROOT = Path(__file__).parent.parent
SECRET = re.compile(
    r"""sk-[\w-]{16,} | hf_\w{20,} | gh[pousr]_\w{20,} | AKIA[0-9A-Z]{16} | -----BEGIN
    | (?i:key|token|secret|password)["']?\s*[:=]\s*["']?[\w+/-]{16,}
    | ://[^/\s:@]+:[^/\s@]+@""",
    re.VERBOSE,
)
SERVE_FILE = ROOT / "deploy" / "serve.yaml"
LOCKS = ["requirements.lock", "torch.lock"]
DEPLOYED = [ROOT / "cluster.yaml", *sorted((ROOT / "deploy").iterdir()), *shipped_profiles().values()]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def ray_environment() -> dict[str, str]:
    """What `coe-ray` sets for every Ray that it starts, and so does everything else that starts one."""
    return WANTED_ENVIRONMENT | ENVIRONMENT


@pytest.fixture
def cluster() -> dict[str, Any]:
    return read(ROOT / "cluster.yaml")


@pytest.fixture
def gpu() -> Profile:
    return load_profile("gpu")


OF_A_CLUSTER = {
    "COE_RAY_HOME": "/shared/coe_ray",
    "HF_HOME": "/shared/huggingface",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
"""What is set on every node, where there are several."""


@pytest.fixture
def application() -> ServeApplicationSchema:
    (only,) = ServeDeploySchema.model_validate(read(SERVE_FILE)).applications
    return only


def test_cluster_file_is_of_rays_own_schema(cluster: dict[str, Any]) -> None:
    schema = json.loads((resources.files("ray.autoscaler") / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate(cluster | {"workers": 3}, schema)


def test_the_launcher_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["max_workers"] == sum(kind["max_workers"] for kind in prepared["available_node_types"].values())


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_ray_starts_with_what_the_endpoint_wants(cluster: dict[str, Any], commands: str, tmp_path: Path) -> None:
    (start,) = [command for command in cluster[commands] if "ray start" in command]
    script = start.partition("ulimit")[0] + " env -0"
    said = subprocess.run(
        ["bash", "-c", script], env={"HOME": str(tmp_path)}, capture_output=True, check=True, text=True
    )
    exported = dict(line.split("=", 1) for line in said.stdout.split("\0") if line)
    assert {name: value for name, value in exported.items() if name.startswith(("RAY_", "HF_", "COE_"))} == (
        ray_environment() | RAY_ENVIRONMENT | OF_A_CLUSTER
    )


def test_what_the_cluster_file_copies_is_here(cluster: dict[str, Any]) -> None:
    ours = [local for local in cluster["file_mounts"].values() if not local.startswith("~")]
    assert {"pyproject.toml", "requirements.lock", "coe_ray", "jobs"} <= set(ours)
    assert [local for local in ours if not (ROOT / local).exists()] == []


def test_the_gpu_profile_fits_on_the_cluster(cluster: dict[str, Any], gpu: Profile) -> None:
    nodes = cluster["available_node_types"]["gpu-worker"]
    hosted = [model for model in gpu.models.values() if isinstance(model, VllmModel)]
    assert {model.placement_strategy for model in hosted} == {"STRICT_PACK"}
    for resource, of_a_node in nodes["resources"].items():
        of_a_replica = [sum(bundle[resource] for bundle in model.bundles) for model in hosted]
        assert max(of_a_replica) <= of_a_node
        most = sum(model.scaling.max_replicas * size for model, size in zip(hosted, of_a_replica, strict=True))
        assert most <= nodes["max_workers"] * of_a_node


def test_serve_file_names_the_application_that_jobs_look_for(application: ServeApplicationSchema) -> None:
    assert application.name == APPLICATION
    assert application.import_path == "coe_ray.serve.app:build"


def test_serve_file_overrides_deployments_that_exist(application: ServeApplicationSchema) -> None:
    profile = load_profile(AppArgs.model_validate(application.args).profile)
    hosted = {deployment_name(model) for model in hosted_model_names(profile)}
    assert {"ingress", "retriever"} <= set(application.deployment_names)
    own: list[Any] = [Ingress, RetrieverDeployment]  # classes to mypy, deployments after their decorator
    assert set(application.deployment_names) <= {deployment.name for deployment in own} | hosted
    assert hosted == {f"model-{name}" for name in hosted_model_names(profile)}


def test_serve_file_opens_no_door_to_strangers_and_waits_for_the_deadline(application: ServeApplicationSchema) -> None:
    http = ServeDeploySchema.model_validate(read(SERVE_FILE)).http_options
    deadline = load_profile(application.args["profile"]).routing.deadline_s
    assert http.host == "127.0.0.1"
    assert http.request_timeout_s is not None
    assert http.request_timeout_s > deadline


def test_the_hot_change_in_the_serve_file_is_one(
    application: ServeApplicationSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SERVE_FILE.read_text(encoding="utf-8")
    shown = text.partition("# For instance:\n")[2].partition("      - name:")[0]
    change = yaml.safe_load(re.sub(r"(?m)^ *# ?", "", shown))["user_config"]
    before = load_profile(application.args["profile"])
    after = patch_profile(before, change)
    assert set(after.experts) - set(before.experts) == set(change["models"])
    assert set(before.experts) - set(after.experts) == {"timeseries"}
    assert after.leaderboard_file == Path(change["leaderboard"]["path"])
    monkeypatch.setenv(change["models"]["ministral"]["key_env"], "a key of this test")
    assert set(change["models"]) <= set(make_local_models(after))


def test_the_serve_file_keeps_a_line_for_hot_changes(application: ServeApplicationSchema) -> None:
    (ingress,) = [deployment for deployment in application.deployments if deployment.name == "ingress"]
    assert ingress.user_config == {}


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.name)
def test_no_secret_in_a_shipped_file(path: Path) -> None:
    assert SECRET.search(path.read_text(encoding="utf-8")) is None


@pytest.mark.parametrize(
    "line",
    [
        "key: sk-or-v1-0123456789abcdef0123",
        "api_key=0123456789abcdef",
        "https://me:secret@host/v1",
        'token: "a1b2c3d4e5f6a7b8"',
    ],
)
def test_a_secret_would_be_seen(line: str) -> None:
    assert SECRET.search(line)


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_load(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert len(profile.experts) >= 2


def test_the_profiles_that_the_documents_name_are_shipped() -> None:
    assert {"local-cpu", "api", "gpu"} <= set(shipped_profiles())


def test_api_profile_asks_for_one_key_and_closes_no_reply() -> None:
    profile = load_profile("api")
    models = profile.models.values()
    assert {model.key_env for model in models if isinstance(model, ApiModel)} == {"OPENROUTER_API_KEY"}
    assert hosted_model_names(profile) == ()
    assert profile.classifier.decoding == "free"
    assert len(profile.experts) == 3


def test_gpu_profile_has_a_bundle_for_each_worker(gpu: Profile) -> None:
    sizes = {}
    for name, model in gpu.models.items():
        assert isinstance(model, VllmModel)
        assert model.bundles == [{"GPU": 1.0, "CPU": 1.0}] * len(model.bundles)
        sizes[name] = len(model.bundles)
        assert sizes[name] == prod(model.engine.get(f"{axis}_parallel_size", 1) for axis in ("tensor", "pipeline"))
    assert sizes == {"deepseek-r1-7b": 2, "qwen2-7b": 1, "internlm2_5-7b": 1, "mathstral-7b": 1}


def test_gpu_profile_leaves_the_classifier_room_to_reason(gpu: Profile) -> None:
    assert gpu.classifier.decoding == "free"
    assert (gpu.classifier.settings.max_tokens or 0) >= 1024


def test_the_lock_pins_every_dependency_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in [*project["dependencies"], *extras["cpu"], *extras["dev"], *extras["gpu"]]]
    locked = [Requirement(pin) for lock in LOCKS for pin, _ in locked_files(lock)]
    pins: dict[str, list[str]] = {}
    for pin in locked:
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        pins.setdefault(canonicalize_name(pin.name), []).append(specifier.version)
    for requirement in wanted:
        (version,) = pins.get(canonicalize_name(requirement.name), ["none"])
        assert requirement.specifier.contains(version), f"{requirement}: locked is {version}"
    assert [name for name, versions in pins.items() if len(versions) > 1] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_file_has_a_hash_which_installation_checks(lock: str) -> None:
    entries = locked_files(lock)
    assert entries
    assert [pin for pin, rest in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", rest)] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in makefile.splitlines() if f"-r {lock}" in line]
    assert installs
    assert all(line.count("--require-hashes") == line.count(f"-r {lock}") for line in installs)


def locked_files(name: str) -> list[tuple[str, str]]:
    """The pins of a lock file, each with the lines that belong to it."""
    entries = re.findall(
        r"(?m)^([a-z]\S*==[^\s\\]+(?: ; [^\\\n]+)?)((?:.*\n[ \t]+--hash\S+)*)", (ROOT / name).read_text("utf-8")
    )
    return [(pin.strip(), rest) for pin, rest in entries]


@pytest.mark.parametrize("target", ["demo", "test", "serve", "check", "lock"])
def test_makefile_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_what_the_page_on_clusters_names_is_here() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    files = set(re.findall(r"\b(?:jobs|deploy|docs)/[\w.-]+\w|\bcluster\.yaml\b", page))
    files |= {f"docs/{link}" for link in re.findall(r"\]\((?!http|#)([^)#]+)\)", page)}
    assert {"cluster.yaml", "deploy/rayservice.yaml", "jobs/bench.py"} <= files
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    headings = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"(?m)^## (.*)$", page)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= headings


def test_the_page_on_clusters_sets_what_the_files_set() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    set_there = re.findall(r"\b((?:RAY_(?:SERVE|AUTH|USAGE)|HF)_\w+|COE_RAY_HOME)=(\S+)", page)
    wanted = ray_environment() | {"COE_RAY_HOME": "/shared/coe_ray", "HF_HOME": "/shared/huggingface"}
    assert {name for name, _ in set_there} >= set(WANTED_ENVIRONMENT)
    assert [(name, value.strip("`")) for name, value in set_there if value.strip("`") != wanted.get(name)] == []
