"""Each private part of Ray that the project uses is still there in the installed release, and means what it did."""

import inspect
from typing import Any

import pytest
import ray
from ray import serve
from ray._private.state import GlobalState
from ray.core.generated import autoscaler_pb2
from ray.experimental import internal_kv
from ray.serve import context
from ray.serve._private.client import ServeControllerClient
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeDeploySchema

from coe_ray.cluster import ray_internals
from coe_ray.cluster.ray_internals import NodeGroup


class FakeClient:
    """A `ServeControllerClient` that only has what is used of it."""

    http_config = HTTPOptions(host="127.0.0.2")

    def __init__(self) -> None:
        self.deployed: list[ServeDeploySchema] = []
        self.deleted: list[tuple[list[str], bool]] = []

    def get_serve_details(self) -> dict[str, Any]:
        return {"applications": {"default": {"route_prefix": "/", "deployed_app_config": None}}}

    def deploy_apps(self, config: ServeDeploySchema) -> None:
        self.deployed.append(config)

    def delete_apps(self, names: list[str], blocking: bool) -> None:
        self.deleted.append((names, blocking))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Serve's own `_get_global_client` finds it, as a process that is connected finds its client."""
    fake = FakeClient()
    monkeypatch.setattr(context, "_global_client", None)
    monkeypatch.setattr(context, "_connect", lambda *_: fake)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    for name in ("http_config", "get_serve_details", "deploy_apps", "delete_apps"):
        assert hasattr(ServeControllerClient, name), f"Serve's client has no {name} any more"
    return fake


def test_serve_runs_where_there_is_a_client(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_internals.is_serve_running()
    monkeypatch.setattr(context, "_connect", lambda *_: None)
    assert not ray_internals.is_serve_running()


def test_serve_does_not_run_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert not ray_internals.is_serve_running()


def test_serve_host_is_that_of_its_options(client: FakeClient) -> None:
    assert ray_internals.serve_host() == "127.0.0.2"


def test_applications_are_those_of_the_controllers_details(client: FakeClient) -> None:
    assert ray_internals.serve_applications()["default"]["route_prefix"] == "/"


def test_config_is_handed_to_the_controller(client: FakeClient) -> None:
    config = ServeDeploySchema(applications=[])
    ray_internals.deploy_config(config)
    assert client.deployed == [config]
    assert inspect.signature(ServeControllerClient.deploy_apps).parameters["_blocking"].default is False


def test_deleting_does_not_wait(client: FakeClient) -> None:
    ray_internals.delete_application("models")
    assert client.deleted == [(["models"], False)]


def test_no_client_is_an_error_where_no_serve_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RayServeException("no controller")

    monkeypatch.setattr(context, "_global_client", None)
    monkeypatch.setattr(context, "_connect", refuse)
    with pytest.raises(RayServeException):
        ray_internals.serve_host()


def test_version_of_a_deployment_is_the_given_one() -> None:
    @serve.deployment
    class Anything:
        pass

    named = ray_internals.with_version(Anything, "abc")
    assert (named.name, named.version) == ("Anything", "abc")


def test_node_groups_are_read_from_the_autoscalers_report(monkeypatch: pytest.MonkeyPatch) -> None:
    class Accessor:
        report = b""

        def get_internal_kv(self, *_: bytes) -> bytes:
            return self.report

    accessor = Accessor()
    monkeypatch.setattr(GlobalState, "_connect_and_get_accessor", lambda _: accessor)
    assert ray_internals.autoscaler_node_groups() is None
    groups = [
        autoscaler_pb2.NodeGroupConfig(name="gpu", resources={"GPU": 2, "CPU": 8}, max_count=3),
        autoscaler_pb2.NodeGroupConfig(name="cpu", resources={"CPU": 8}, max_count=-1),
    ]
    accessor.report = autoscaler_pb2.ClusterConfig(node_group_configs=groups).SerializeToString()
    assert ray_internals.autoscaler_node_groups() == (
        NodeGroup("gpu", {"GPU": 2, "CPU": 8}, 3),
        NodeGroup("cpu", {"CPU": 8}, None),
    )


class FakeGcs:
    """The control service's key-value store, with the signatures of `GcsClient`."""

    def __init__(self) -> None:
        self.values: dict[tuple[bytes, bytes], bytes] = {}

    def internal_kv_get(self, key: bytes, namespace: bytes) -> bytes | None:
        return self.values.get((namespace, key))

    def internal_kv_put(self, key: bytes, value: bytes, overwrite: bool, namespace: bytes) -> int:
        assert not overwrite
        added = (namespace, key) not in self.values
        self.values.setdefault((namespace, key), value)
        return int(added)

    def internal_kv_keys(self, prefix: bytes, namespace: bytes) -> list[bytes]:
        return [key for space, key in self.values if space == namespace and key.startswith(prefix)]

    def internal_kv_del(self, key: bytes, by_prefix: bool, namespace: bytes) -> int:
        assert not by_prefix
        return int(self.values.pop((namespace, key), None) is not None)


def test_a_key_is_added_once_listed_read_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internal_kv, "global_gcs_client", FakeGcs())
    store = ray_internals.ClusterStore("space")
    assert store.add("a/1", b"one")
    assert not store.add("a/1", b"two")
    assert store.get("a/1") == b"one"
    assert store.keys("a/") == ["a/1"]
    assert ray_internals.ClusterStore("elsewhere").keys("a/") == []
    store.delete("a/1")
    assert store.get("a/1") is None
