"""The manifests as far as they can be judged without a cluster."""
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
LABELS = {"app.kubernetes.io/name": "loopsight"}


def resources(folder):
    """By kind, those that the folder's kustomization names."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    documents = [yaml.safe_load((folder / name).read_text()) for name in kustomization["resources"]]
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


@pytest.fixture(scope="module")
def manifests():
    return resources(FOLDER)


@pytest.fixture(scope="module")
def pod(manifests):
    return manifests["DaemonSet"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (one,) = pod["containers"]
    return one


def test_every_file_is_part_of_a_kustomization():
    for folder in (FOLDER, FOLDER / "operator"):
        text = (folder / "kustomization.yaml").read_text()
        for path in folder.glob("*.yaml"):
            assert path.name == "kustomization.yaml" or path.name in text
    kinds = ["Namespace", "ServiceAccount", "DaemonSet", "Service", "NetworkPolicy"]
    assert list(resources(FOLDER)) == kinds


def test_names_and_labels_are_the_same_everywhere(manifests):
    for kind, manifest in manifests.items():
        metadata = manifest["metadata"]
        assert metadata["name"] == "loopsight"
        assert kind == "Namespace" or metadata["namespace"] == "loopsight"
        assert LABELS.items() <= metadata["labels"].items()
    daemon_set = manifests["DaemonSet"]["spec"]
    assert daemon_set["selector"]["matchLabels"] == LABELS
    assert daemon_set["template"]["metadata"]["labels"] == LABELS
    assert manifests["Service"]["spec"]["selector"] == LABELS
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS


def test_ports_lead_to_the_daemon(manifests, container):
    (port,) = container["ports"]
    address = container["args"][container["args"].index("--web.listen-address") + 1]
    assert address.endswith(":%d" % port["containerPort"])
    (service,) = manifests["Service"]["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (port["containerPort"], port["name"])
    (rule,) = manifests["NetworkPolicy"]["spec"]["ingress"]
    assert [one["port"] for one in rule["ports"]] == [port["name"]]
    paths = {"startupProbe": "ready", "readinessProbe": "ready", "livenessProbe": "healthy"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": "/-/" + path, "port": port["name"]}


def test_it_has_the_least_privileges(manifests, pod, container):
    context = container["securityContext"]
    assert context["privileged"] is False and context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert context["capabilities"]["drop"] == ["ALL"]
    assert "SYS_ADMIN" not in context["capabilities"]["add"]
    text = (FOLDER / "daemonset.yaml").read_text()
    for capability in context["capabilities"]["add"]:
        assert re.search(r"- %s +# \w+" % capability, text), "why %s?" % capability
    assert pod["hostPID"] is True
    assert "hostNetwork" not in pod and "hostIPC" not in pod
    assert pod["automountServiceAccountToken"] is False
    assert manifests["ServiceAccount"]["automountServiceAccountToken"] is False
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert manifests["NetworkPolicy"]["spec"]["egress"] == []
    assert {"requests", "limits"} == set(container["resources"])


def test_the_image_is_a_placeholder(container):
    assert container["image"] == "loopsight"


@pytest.mark.parametrize(
    "file, endpoints",
    [("servicemonitor.yaml", "endpoints"), ("podmonitor.yaml", "podMetricsEndpoints")],
)
def test_the_operators_monitors_find_the_pods(manifests, file, endpoints):
    monitor = yaml.safe_load((FOLDER / "operator" / file).read_text())
    assert monitor["kind"].lower() + ".yaml" == file
    assert monitor["spec"]["selector"]["matchLabels"] == LABELS
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == ["loopsight"]
    (endpoint,) = monitor["spec"][endpoints]
    (port,) = manifests["Service"]["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    # The alerts and dashboards go by this job.
    assert {"targetLabel": "job", "replacement": "loopsight"} in endpoint["relabelings"]


def test_a_measured_pod_becomes_labels():
    monitor = yaml.safe_load((FOLDER / "operator" / "servicemonitor.yaml").read_text())
    rules = monitor["spec"]["endpoints"][0]["metricRelabelings"]
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "kubernetes.yml").read_text())
    plain = config["scrape_configs"][0]["metric_relabel_configs"]
    labels = {}
    for rule, other in zip(rules, plain):
        assert (rule["regex"], rule["targetLabel"], rule["replacement"]) == (
            other["regex"], other["target_label"], other["replacement"])  # fmt: skip
        found = re.fullmatch(rule["regex"], "prod/shop/web")
        labels[rule["targetLabel"]] = found[int(rule["replacement"][1:])]
    assert labels == {
        "workload_namespace": "prod",
        "workload_owner": "shop",
        "workload_container": "web",
    }
