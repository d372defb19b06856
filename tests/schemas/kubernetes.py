"""Kubernetes' own types as JSON schemas, and with them those of KubeRay.

The types are lightkube-models', generated from Kubernetes' OpenAPI document. An unknown field is an error here, where
the API server would drop it without a word.
"""

import functools
from pathlib import Path
from typing import Any

import msgspec
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are a package of their own
from lightkube.models import core_v1, meta_v1, networking_v1
from referencing import Registry
from referencing.jsonschema import DRAFT202012

KUBERAY = "1.6.2"
TYPES = (
    core_v1.EnvFromSource,
    core_v1.EnvVar,
    core_v1.EnvVarSource,
    core_v1.PersistentVolumeClaim,
    core_v1.PodTemplateSpec,
    core_v1.ResourceRequirements,
    core_v1.SecurityContext,
    core_v1.Service,
    core_v1.VolumeMount,
    meta_v1.ObjectMeta,
    networking_v1.NetworkPolicy,
)


def kubernetes_validator(kind: str) -> Any:
    """Of one of Kubernetes' own kinds, such as `NetworkPolicy`."""
    return _validator({"$ref": f"kubernetes:{kind}"})


def kuberay_validator(kind: str) -> Any:
    """Of `RayService` or `RayJob`."""
    path = Path(__file__).with_name(f"kuberay-{KUBERAY}.yaml")
    return _validator(yaml.safe_load(path.read_text(encoding="utf-8")) | {"$ref": f"#/$defs/{kind}"})


def _validator(schema: dict[str, Any]) -> Any:
    resources = [(name, DRAFT202012.create_resource(content)) for name, content in _strict_types().items()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator(schema, registry=registry)


@functools.cache
def _strict_types() -> dict[str, dict[str, Any]]:
    _, components = msgspec.json.schema_components(TYPES, ref_template="kubernetes:{name}")
    for component in components.values():
        component["additionalProperties"] = False
    return {f"kubernetes:{name}": component for name, component in components.items()}
