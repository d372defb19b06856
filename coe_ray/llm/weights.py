"""Model weights on this machine: from the hub at a pinned revision, or from an installed package without a hub.

The file is checked against its published SHA-256 before anything loads it. Weights without a package stay a hub name:
each node's engine downloads those itself.
"""

import hashlib
from functools import cache
from importlib import util
from pathlib import Path

from coe_ray.core.errors import WeightsError
from coe_ray.core.files import make_folder_once
from coe_ray.profile.models import Package, Weights
from coe_ray.profile.profile import home_folder

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def locate_weights(weights: Weights) -> str:
    """A folder (or a hub name) that an engine can load.

    Raises `WeightsError`: neither hub nor package, or a file that is not the published one.
    """
    return weights.hub if weights.package is None else fetch_weights(weights)


def fetch_weights(weights: Weights) -> str:
    """A folder on this machine. Raises `WeightsError` as `locate_weights` does."""
    found = _from_hub(weights)
    if found is None and weights.package is not None:
        found = _from_package(weights.hub, weights.package)
    if found is None:
        raise WeightsError(f"{weights.hub}: no hub in reach; set HF_ENDPOINT / HF_HOME to a hub or cache that holds it")
    return found


def _from_hub(weights: Weights) -> str | None:
    """The snapshot, downloaded now or earlier; `None` where there is none and the hub cannot be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            weights.hub, revision=weights.revision, allow_patterns=_HUB_FILES, local_files_only=not _hub_in_reach()
        )
    except LocalEntryNotFoundError:
        return None
    except HfHubHTTPError as error:
        raise WeightsError(f"{weights.hub}: the hub answered {error}; check name and revision") from error
    if weights.sha256 is not None:
        _check(Path(folder, "model.safetensors"), weights.sha256, weights.hub)
    return folder


@cache
def _hub_in_reach() -> bool:
    """Whether the hub answers one short request; its own client would retry for half a minute on each model."""
    from httpx2 import TransportError
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except TransportError:
        return False
    return True


def _from_package(hub: str, package: Package) -> str:
    spec = util.find_spec(package.module)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"{hub}: no hub in reach and package {package.module!r} is not installed; run `make install`, "
            "or set HF_ENDPOINT / HF_HOME to a hub or cache that holds the model"
        )
    file = Path(spec.origin).parent / package.file
    _check(file, package.sha256, hub)
    return str(_convert_once(file, package) if file.suffix == ".gguf" else file.parent)


def _convert_once(gguf: Path, package: Package) -> Path:
    """A folder in the hub's layout made once from a GGUF file: vLLM loads that, but not this GGUF."""
    folder = home_folder() / "weights" / f"{gguf.stem}-{package.sha256[:12]}"
    make_folder_once(folder, lambda aside: _save_dequantized(gguf, aside))
    return folder


def _save_dequantized(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source)
    # The tensors are ordinary floats by now; these entries would make vLLM look for quantised ones.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


@cache
def _check(file: Path, sha256: str, hub: str) -> None:
    if not file.is_file():
        raise WeightsError(f"{hub}: {file} is missing; install the weights again (make install)")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(f"{hub}: {file} has SHA-256 {found}, published is {sha256}; remove it and install again")
