"""A spec whose files are texts."""

from __future__ import annotations

from collections.abc import Mapping

from kvmkeep.model.spec import Spec
from kvmkeep.spec.load import load_bytes

DIRECTORY = "/etc/kvmkeep"


def load_text(files: Mapping[str, str], directory: str = DIRECTORY) -> Spec:
    """Return the spec that these texts hold, by their names: `host.yaml`, `guests/web.yaml`.

    A base template is looked up among them too. Raises SpecError.
    """
    encoded = {name: text.encode("utf-8", "surrogatepass") for name, text in files.items()}
    return load_bytes(encoded, directory)
