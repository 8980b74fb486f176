"""What is deployed, read as data: the files of compose and of Kubernetes, and what Kustomize would make of the latter.

The merge is a small part of Kustomize's, as much as our files use: a patch for all Deployments, lists of named things merged by name,
common labels. Where `kubectl` is installed a test compares it with the real one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml

from infrastructure.settings import Settings
from workers.cli.commands import app

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kubernetes" / "base"
EXAMPLE = ROOT / "deploy" / "kubernetes" / "overlays" / "example"
PODS = ("Deployment", "Job")

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kustomization(folder: Path) -> Document:
    (found,) = documents(folder / "kustomization.yaml")
    return found


def base() -> list[Document]:
    """The base as it is applied."""
    settings = kustomization(BASE)
    patches = [document for patch in settings["patches"] for document in documents(BASE / patch["path"])]
    (labels,) = [entry["pairs"] for entry in settings["labels"]]
    found = [document for name in settings["resources"] for document in documents(BASE / name)]
    return [_labelled(_patched(document, patches), labels) for document in found]


def _patched(document: Document, patches: list[Document]) -> Document:
    """By each patch that names it, or all of its kind."""
    for patch in patches:
        if document["kind"] == patch["kind"] and patch["metadata"]["name"] in {"any", document["metadata"]["name"]}:
            document = {**merge(document, patch), "metadata": document["metadata"]}
    return document


def _labelled(document: Document, labels: dict[str, str]) -> Document:
    metadata = document["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    spec = document.get("spec", {})
    if "template" in spec:
        spec["template"]["metadata"]["labels"] |= labels
    if "matchLabels" in spec.get("selector", {}):
        spec["selector"]["matchLabels"] |= labels
    return document


def merge(below: Any, above: Any) -> Any:
    """What is above wins; maps are merged, and so are lists of named things."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: merge(below.get(key), above.get(key, below.get(key))) for key in [*below, *above]}
    if _named(below) and _named(above):
        names = dict.fromkeys(one["name"] for one in [*below, *above])
        return [merge(_of(below, name), _of(above, name) or _of(below, name)) for name in names]
    return above


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def _of(values: list[Document], name: str) -> Document | None:
    return next((one for one in values if one["name"] == name), None)


def containers(document: Document) -> Iterator[Document]:
    """Those that run, and those that run before them."""
    pod = document["spec"]["template"]["spec"]
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def is_command(words: list[str]) -> bool:
    """There is such a command of ours, and it has these options."""
    here: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and rest[0] in getattr(here, "commands", {}):
        here = here.commands[rest.pop(0)]
    options = {name for parameter in here.params for name in parameter.opts}
    return not getattr(here, "commands", {}) and all(word in options for word in rest if word.startswith("--"))


def is_setting(variable: str) -> bool:
    """There is such a setting of ours."""
    name = variable.removeprefix("ORDERWRIGHT_").lower()
    return (
        variable.startswith("ORDERWRIGHT_") and {name, name.removesuffix("_file")} & set(Settings.model_fields) != set()
    )
