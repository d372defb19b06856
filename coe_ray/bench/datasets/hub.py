"""DevOps-Eval from the Hugging Face hub: one ZIP file at a pinned revision, unpacked while it is read."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import snapshot_download
from huggingface_hub.errors import RevisionResolutionError, XetDownloadError

from coe_ray.core.errors import DataError

REPOSITORY = "codefuse-ai/CodeFuse-DevOps-Eval"
# The last of 19 commits ("Upload devopseval-exam.zip", 30 November 2023), found on
# https://huggingface.co/datasets/codefuse-ai/CodeFuse-DevOps-Eval/tree/main; its card says 5,977 questions.
REVISION = "380148ed13168484698658a0f916d10f9d200136"
_REMEDY = (
    f"check the network and HF_ENDPOINT, or fetch https://huggingface.co/datasets/{REPOSITORY} elsewhere, "
    "unpack its ZIP file and give that folder instead of 'devops-eval'"
)


@contextmanager
def download_dataset() -> Iterator[Path]:
    """Fetch the published files, from the hub's cache if they are there, and unpack them while in use.

    Raises DataError if the hub cannot be reached or the archive cannot be unpacked.
    """
    try:
        patterns = ["*.zip", "*.csv"]
        snapshot = Path(snapshot_download(REPOSITORY, repo_type="dataset", revision=REVISION, allow_patterns=patterns))
    except (OSError, RevisionResolutionError, XetDownloadError) as error:
        # Every error of the hub's client but these last two is an OSError, those of the connection included.
        raise DataError(f"cannot download {REPOSITORY} at {REVISION[:7]}: {error}; {_REMEDY}") from error
    archives = sorted(snapshot.rglob("*.zip"))
    if not archives:
        yield snapshot
        return
    with TemporaryDirectory(prefix="devops-eval-") as folder:
        for archive in archives:
            try:
                with zipfile.ZipFile(archive) as file:
                    file.extractall(folder)
            except (zipfile.BadZipFile, OSError, RuntimeError) as error:
                raise DataError(f"cannot unpack {archive}: {error}; delete the file and load it again") from error
        yield Path(folder)
