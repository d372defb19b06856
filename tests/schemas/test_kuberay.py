"""The manifests in deploy/ against KubeRay's and Kubernetes' own schemas, and against the other deployment files."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # its stubs are a package of their own
from packaging.requirements import Requirement
from ray.serve.schema import ServeDeploySchema

from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT
from tests.schemas.kubernetes import KUBERAY, kuberay_validator, kubernetes_validator
from tests.test_deployment_files import OF_A_CLUSTER

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = ["rayservice.yaml", "rayjob.yaml", "shared.yaml"]


def objects(name: str) -> list[dict[str, Any]]:
    """The Kubernetes objects in a file of deploy/."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def error(manifest: dict[str, Any]) -> str | None:
    """What is wrong with a manifest, and where."""
    validator = kuberay_validator if manifest["apiVersion"] == "ray.io/v1" else kubernetes_validator
    worst = best_match(validator(manifest["kind"]).iter_errors(manifest))
    return worst and f"{worst.json_path}: {worst.message}"


@pytest.fixture
def service() -> dict[str, Any]:
    (only,) = objects("rayservice.yaml")
    return only


@pytest.fixture
def served(service: dict[str, Any]) -> dict[str, Any]:
    """The Serve configuration inside the RayService."""
    content: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    return content


@pytest.fixture
def job() -> dict[str, Any]:
    (only,) = objects("rayjob.yaml")
    return only


@pytest.fixture(params=["rayservice.yaml", "rayjob.yaml"])
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The Ray cluster of each of the two manifests."""
    (only,) = objects(request.param)
    spec: dict[str, Any] = only["spec"].get("rayClusterConfig") or only["spec"]["rayClusterSpec"]
    return spec


def templates(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]


def containers(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for template in templates(cluster):
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


def init_containers(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of the head, by name."""
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    return {container["name"]: container for container in head["initContainers"]}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_of_their_schemas(name: str) -> None:
    assert {manifest["kind"]: error(manifest) for manifest in objects(name)} == {
        manifest["kind"]: None for manifest in objects(name)
    }


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda spec: spec.update(upgradeStrategie={}), "upgradeStrategie"),
        (lambda spec: spec.update(upgradeStrategy={"type": "Rolling"}), "Rolling"),
        (lambda spec: spec["rayClusterConfig"].update(auth={}), "auth"),
        (lambda spec: spec["rayClusterConfig"].pop("headGroupSpec"), "headGroupSpec"),
        (lambda spec: spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}), "0"),
        (lambda spec: next(containers(spec["rayClusterConfig"])).update(imagee="x"), "imagee"),
        (lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].pop("groupName"), "groupName"),
    ],
)
def test_a_spoiled_manifest_is_seen(service: dict[str, Any], spoil: Any, message: str) -> None:
    spoil(service["spec"])
    assert message in (error(service) or "")


def test_the_service_serves_the_application_of_the_serve_file(served: dict[str, Any]) -> None:
    ServeDeploySchema.model_validate(served)
    alone = yaml.safe_load((DEPLOY / "serve.yaml").read_text(encoding="utf-8"))
    alone["proxy_location"] = "EveryNode"
    alone["http_options"]["host"] = "0.0.0.0"
    alone["applications"][0]["args"]["profile"] = "gpu"
    assert served == alone


def test_the_application_finds_the_keys_of_the_secret(
    service: dict[str, Any], served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_RAY_HOME", OF_A_CLUSTER["COE_RAY_HOME"])
    *_, secret, link = init_containers(service)["keys"]["command"]
    assert link == str(load_profile(served["applications"][0]["args"]["profile"]).keys_file)
    for container in containers(service["spec"]["rayClusterConfig"]):
        assert str(Path(secret).parent) in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_an_old_cluster_lives_until_its_requests_are_answered(service: dict[str, Any], served: dict[str, Any]) -> None:
    assert service["spec"]["rayClusterDeletionDelaySeconds"] > served["http_options"]["request_timeout_s"]


def test_the_index_is_built_for_the_profile_that_is_served(service: dict[str, Any], served: dict[str, Any]) -> None:
    index = init_containers(service)["index"]
    assert index["command"][-2:] == ["--profile", served["applications"][0]["args"]["profile"]]


def test_pods_have_the_environment_that_coe_ray_and_the_makefile_set(cluster: dict[str, Any]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^export ((?:RAY|HF)_\w+) = (\S+)$", makefile, re.MULTILINE))
    assert wanted.keys() == {"RAY_USAGE_STATS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"}
    # KubeRay sets the mode, and the token, on every container of Ray's.
    assert cluster["authOptions"] == {"mode": "token", "secretName": "coe-ray-token"}
    wanted |= WANTED_ENVIRONMENT | RAY_ENVIRONMENT | OF_A_CLUSTER
    for container in containers(cluster):
        assert {variable["name"]: variable.get("value") for variable in container["env"]} == wanted


def test_every_pod_has_the_shared_storage_and_is_behind_the_policy(cluster: dict[str, Any]) -> None:
    claim, policy = objects("shared.yaml")
    label = policy["spec"]["podSelector"]["matchLabels"]
    for template in templates(cluster):
        assert template["metadata"]["labels"].items() >= label.items()
        (shared,) = [volume for volume in template["spec"]["volumes"] if volume["name"] == "shared"]
        assert shared["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    for container in containers(cluster):
        assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]


def test_the_policy_opens_the_endpoints_port_alone(served: dict[str, Any]) -> None:
    _, policy = objects("shared.yaml")
    for_all = [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
    assert for_all == [{"ports": [{"port": served["http_options"]["port"]}]}]


def test_secrets_come_from_secrets_alone(cluster: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    made = set(re.findall(r"create secret generic ([\w-]+)", page))
    used = {cluster["authOptions"]["secretName"]}
    for container in containers(cluster):
        assert [set(source) for source in container["envFrom"]] == [{"secretRef"}]
        used |= {source["secretRef"]["name"] for source in container["envFrom"]}
    for template in templates(cluster):
        used |= {volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume}
    assert used <= made
    assert not any(manifest["kind"] == "Secret" for name in MANIFESTS for manifest in objects(name))


def test_one_image_of_one_ray(service: dict[str, Any], job: dict[str, Any]) -> None:
    clusters = [service["spec"]["rayClusterConfig"], job["spec"]["rayClusterSpec"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (ray,) = [requirement for line in project["dependencies"] if (requirement := Requirement(line)).name == "ray"]
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^FROM rayproject/ray:([\d.]+)-py311", dockerfile, re.MULTILINE)
    assert {f"=={base}", *(f"=={cluster['rayVersion']}" for cluster in clusters)} == {str(ray.specifier)}
    (image,) = {container["image"] for cluster in clusters for container in containers(cluster)}
    assert image.endswith(f"/coe-ray:{project['version']}")
    assert f"/coe-ray:{project['version']}" in dockerfile


def test_the_image_installs_by_the_rules_of_the_cluster_file() -> None:
    rule = re.compile(r"sed -nE '/([^/]+)/d; [^']+' requirements\.lock > constraints\.txt")
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (here,) = rule.findall(dockerfile)
    assert [here] == rule.findall((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert len(re.findall(here, lock, re.MULTILINE)) == here.count("|") + 1
    copied = [line.split()[2:-1] for line in dockerfile.splitlines() if line.startswith("COPY")]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []


def test_what_the_pods_run_is_in_the_image(service: dict[str, Any], job: dict[str, Any]) -> None:
    index = init_containers(service)["index"]
    (folder,) = re.findall(r"^WORKDIR (\S+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for script in [index["command"][1], job["spec"]["entrypoint"].split()[1]]:
        assert (ROOT / Path(script).relative_to(folder)).is_file()
    assert job["spec"]["entrypoint"].split()[-1].startswith("/shared/runs/")


def gpus(profile: Profile) -> tuple[float, float]:
    """The largest replica's GPUs, and those of all models at their most."""
    hosted = [model for model in profile.models.values() if isinstance(model, VllmModel)]
    sizes = [sum(bundle["GPU"] for bundle in model.bundles) for model in hosted]
    return max(sizes), sum(model.scaling.max_replicas * size for model, size in zip(hosted, sizes, strict=True))


def test_the_gpu_profile_fits_and_scales_from_nothing(cluster: dict[str, Any]) -> None:
    (group,) = [group for group in cluster["workerGroupSpecs"] if group["groupName"] == "gpu-worker"]
    (worker,) = group["template"]["spec"]["containers"]
    of_a_node = int(worker["resources"]["limits"]["nvidia.com/gpu"])
    largest, most = gpus(load_profile("gpu"))
    assert largest <= of_a_node
    assert most <= group["maxReplicas"] * of_a_node
    assert cluster["enableInTreeAutoscaling"]
    assert group["replicas"] == group["minReplicas"] == 0


def test_the_page_on_clusters_names_the_version_that_is_checked() -> None:
    texts = [ROOT / "docs" / "cluster.md", DEPLOY / "rayservice.yaml", DEPLOY / "rayjob.yaml"]
    for text in texts:
        assert set(re.findall(r"(?i)kuberay (?:operator )?(\d+\.\d+\.\d+)", text.read_text(encoding="utf-8"))) == {
            KUBERAY
        }
