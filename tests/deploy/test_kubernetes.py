"""The manifests for Kubernetes, without a cluster: their schemas, their references, and what they say about our own program."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from infrastructure.settings import Settings
from tests.deploy.manifests import (
    BASE,
    EXAMPLE,
    PODS,
    base,
    containers,
    documents,
    is_command,
    is_setting,
    kustomization,
)

DOCUMENTS = base()
WITH_PODS = [document for document in DOCUMENTS if document["kind"] in PODS]
ROLES = {"worker", "relay", "projector", "intake", "keeper"}


def name_of(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document["kind"] == kind]


def labels_of(document: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = document["spec"]["template"]["metadata"]["labels"]
    return labels


def test_every_file_is_part_of_its_kustomization() -> None:
    for folder in (BASE, EXAMPLE):
        named = {*kustomization(folder)["resources"], *(patch["path"] for patch in kustomization(folder)["patches"])}
        assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == named - {"../../base"}
    assert (EXAMPLE / "../../base").resolve() == BASE


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if "keda" not in d["apiVersion"]], ids=name_of)
def test_every_document_follows_the_schema_of_kubernetes(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(document, "1.31", strict=True)


def test_names_are_used_once() -> None:
    names = [name_of(document) for document in DOCUMENTS]
    assert len(names) == len(set(names))


def test_every_role_is_deployed_and_keeps_one_when_a_node_is_emptied() -> None:
    assert {labels_of(document)["app.kubernetes.io/component"] for document in of_kind("Deployment")} == ROLES
    protected = [budget["spec"]["selector"]["matchLabels"] for budget in of_kind("PodDisruptionBudget")]
    for document in of_kind("Deployment"):
        assert sum(wanted.items() <= labels_of(document).items() for wanted in protected) == 1


@pytest.mark.parametrize("document", of_kind("Deployment"), ids=name_of)
def test_a_deployment_selects_its_own_pods_and_no_others(document: dict[str, Any]) -> None:
    wanted = document["spec"]["selector"]["matchLabels"].items()
    assert [other for other in WITH_PODS if wanted <= labels_of(other).items()] == [document]


@pytest.mark.parametrize("document", WITH_PODS, ids=name_of)
def test_pods_run_commands_that_exist_with_settings_that_exist(document: dict[str, Any]) -> None:
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind("ConfigMap")}
    for container in containers(document):
        assert is_command(container["args"]), container["args"]
        for source in container["envFrom"]:
            assert all(is_setting(name) for name in maps[source["configMapRef"]["name"]])


@pytest.mark.parametrize("document", WITH_PODS, ids=name_of)
def test_pods_have_no_rights_and_mount_what_they_have(document: dict[str, Any]) -> None:
    pod = document["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert pod["serviceAccountName"] in {account["metadata"]["name"] for account in of_kind("ServiceAccount")}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in containers(document):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("document", of_kind("Deployment"), ids=name_of)
def test_roles_are_asked_by_our_probes_and_may_finish_what_they_began(document: dict[str, Any]) -> None:
    pod = document["spec"]["template"]["spec"]
    (role,) = pod["containers"]
    assert role["livenessProbe"]["exec"]["command"] == ["orderwright", "health", "live"]
    assert role["readinessProbe"]["exec"]["command"] == ["orderwright", "health", "ready"]
    (settings,) = of_kind("ConfigMap")
    assert pod["terminationGracePeriodSeconds"] > float(settings["data"]["ORDERWRIGHT_GRACE_S"]) + 10
    assert any(mount["mountPath"] == "/run/orderwright" for mount in role["volumeMounts"])


def test_secrets_are_files_and_never_in_the_manifests() -> None:
    assert not of_kind("Secret")
    (settings,) = of_kind("ConfigMap")
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    told = {name.removeprefix("ORDERWRIGHT_").lower(): value for name, value in settings["data"].items()}
    assert not secret & told.keys()
    mounted = {path for name, path in told.items() if name.endswith("_file")}
    assert all(path.startswith("/run/secrets/orderwright/") for path in mounted)


def test_only_the_setup_logs_in_as_the_owner_and_a_projector_as_itself() -> None:
    found = {name_of(document): secret_of(document) for document in WITH_PODS}
    writers = {f"Deployment-orderwright-{role}": "orderwright-writer" for role in ROLES - {"projector"}}
    setup = dict.fromkeys(("Job-orderwright-migrate", "Job-orderwright-broker"), "orderwright-setup")
    assert found == writers | setup | {"Deployment-orderwright-projector": "orderwright-projector"}


def secret_of(document: dict[str, Any]) -> str:
    (found,) = [volume["secret"] for volume in document["spec"]["template"]["spec"]["volumes"] if "secret" in volume]
    return str(found["secretName"])


def test_the_scaler_asks_a_function_that_exists_about_a_deployment_that_exists(empty_database: str) -> None:
    from infrastructure.postgres import migrate

    (scaled,) = of_kind("ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] in {one["metadata"]["name"] for one in of_kind("Deployment")}
    (trigger,) = scaled["spec"]["triggers"]
    (authentication,) = of_kind("TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    import psycopg

    migrate.up(empty_database)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute(trigger["metadata"]["query"]).fetchone() == (0,)


def test_replicas_are_not_fixed_where_a_scaler_decides() -> None:
    (worker,) = [one for one in of_kind("Deployment") if one["metadata"]["name"] == "orderwright-worker"]
    assert "replicas" not in worker["spec"]


def test_the_overlay_names_settings_that_exist() -> None:
    (changed,) = documents(EXAMPLE / "config.yaml")
    assert all(is_setting(name) for name in changed["data"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_itself_makes_the_same_of_the_base() -> None:
    done = subprocess.run(["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True, timeout=60)
    made = {name_of(document): document for document in yaml.safe_load_all(done.stdout)}
    assert made.keys() == {name_of(document) for document in DOCUMENTS}
    for document in of_kind("Deployment"):
        theirs, ours = (one["spec"]["template"]["spec"] for one in (made[name_of(document)], document))
        assert theirs["containers"] == ours["containers"]
        assert theirs["initContainers"] == ours["initContainers"]
        assert {one["name"]: one for one in theirs["volumes"]} == {one["name"]: one for one in ours["volumes"]}
        assert theirs["terminationGracePeriodSeconds"] == ours["terminationGracePeriodSeconds"]
