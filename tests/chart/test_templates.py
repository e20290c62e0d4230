"""What the chart renders: privileges, pod security, high availability, missing values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conch import __version__, settings
from conch.api import names
from conch.telemetry import dashboard
from conch.telemetry.alerts import ALERTS
from tests.chart.conftest import CHART, Render, of_kind, part

MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "single": {"replicas": 1, "networkPolicy": {"enabled": False}},
    "ha": {"replicas": 3, "priorityClassName": "system-cluster-critical"},
    "digest": {"image": {"digest": "sha256:" + "a" * 64}},
    "bring-your-own": {
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "crds": {"install": False},
    },
    "everything": {
        "commonLabels": {"team": "ml"},
        "podAnnotations": {"a": "b"},
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"operator": "Exists"}],
        "fullnameOverride": "operator",
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}], "apiServerPorts": [16443]},
        "scrape": {
            "source": "Prometheus",
            "prometheusUrl": "https://prometheus.monitoring:9091",
            "prometheusTo": [{"ipBlock": {"cidr": "10.0.0.7/32"}}],
            "prometheusPort": 9095,
            "tokenSecret": "prometheus-token",
            "caConfigMap": "prometheus-ca",
        },
        "carbon": {
            "source": "ElectricityMaps",
            "tokenSecret": "maps-token",
            "zones": {"eu-central-1": "DE", "*": "FR"},
            "pue": 1.15,
            "port": 8443,
        },
        "podMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
        "prometheusRule": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "without": ["ConchCostJump"],
            "runbookUrl": "https://runbooks.local/conch",
        },
        "dashboard": {"enabled": True},
    },
    # What --reuse-values from an older chart looks like: whole parents are gone.
    "nothing": dict.fromkeys(
        (
            "image", "runtime", "serviceAccount", "rbac", "crds", "networkPolicy",
            "podDisruptionBudget", "resources", "replicas", "watchNamespaces", "allowedSources",
            "activator", "scrape", "carbon", "logLevel", "logFormat", "commonLabels",
            "podAnnotations", "imagePullSecrets", "podMonitor", "prometheusRule",
            "dashboard",
        )
    ),
}  # fmt: skip


@pytest.fixture(params=MATRIX)
def objects(request: pytest.FixtureRequest, render: Render) -> list[dict[str, Any]]:
    return render(MATRIX[request.param])


COMPONENTS = ("operator", "activator")


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_meet_the_restricted_standard(objects: list[dict[str, Any]], component: str) -> None:
    pod = part(objects, "Deployment", component)["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for volume in pod["volumes"]:
        assert {"projected", "emptyDir", "secret", "configMap"} & set(volume)
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("component", COMPONENTS)
def test_selectors_match_the_pods(objects: list[dict[str, Any]], component: str) -> None:
    def of_component(kind: str) -> list[dict[str, Any]]:
        label = "app.kubernetes.io/component"
        return [o for o in of_kind(objects, kind) if o["metadata"]["labels"][label] == component]

    deployment = part(objects, "Deployment", component)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [o["spec"]["selector"] for o in of_component("Service")]
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        selectors += [o["spec"][field]["matchLabels"] for o in of_component(kind)]
    (other,) = (c for c in COMPONENTS if c != component)
    others = part(objects, "Deployment", other)["spec"]["template"]["metadata"]["labels"]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= others.items()


@pytest.mark.parametrize("component", COMPONENTS)
def test_neither_is_ever_taken_for_a_service_pod(
    objects: list[dict[str, Any]], component: str
) -> None:
    labels = part(objects, "Deployment", component)["spec"]["template"]["metadata"]["labels"]
    assert (names.LABEL_ACTIVATOR in labels) == (component == "activator")
    assert labels[names.LABEL_MANAGED_BY] != names.MANAGED_BY
    assert names.LABEL_SERVICE not in labels


def test_ports_are_named_where_they_are_used(objects: list[dict[str, Any]]) -> None:
    (container,) = part(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    environment = {e["name"]: e.get("value") for e in container["env"]}
    assert environment["CONCH_PROBE_PORT"] == str(ports["probes"])
    assert environment["CONCH_METRICS_PORT"] == str(ports["metrics"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_no_rule_touches_secrets_or_wildcards(objects: list[dict[str, Any]]) -> None:
    for role in of_kind(objects, "ClusterRole") + of_kind(objects, "Role"):
        for rule in role["rules"]:
            assert not {"secrets", "*", "pods/exec", "serviceaccounts/token"} & set(
                rule["resources"]
            )
            assert "*" not in rule["verbs"] + rule["apiGroups"]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_bindings_name_roles_and_accounts_that_exist(objects: list[dict[str, Any]]) -> None:
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        for binding in of_kind(objects, kind):
            component = binding["metadata"]["labels"]["app.kubernetes.io/component"]
            deployment = part(objects, "Deployment", component)
            account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
            reference = binding["roleRef"]
            role = [
                o for o in of_kind(objects, reference["kind"])
                if o["metadata"]["name"] == reference["name"]
                and o["metadata"].get("namespace") == binding["metadata"].get("namespace")
            ]  # fmt: skip
            assert len(role) == 1
            assert [s["name"] for s in binding["subjects"]] == [account]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team"]}], ids=["cluster", "one"])
def test_the_activator_may_only_look_at_endpoint_slices(
    render: Render, values: dict[str, Any]
) -> None:
    roles = [
        role
        for kind in ("ClusterRole", "Role")
        for role in of_kind(render(values), kind)
        if role["metadata"]["labels"]["app.kubernetes.io/component"] == "activator"
    ]
    rule = {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    }
    assert [role["rules"] for role in roles] == [[rule]]


def test_the_activator_is_reached_on_the_ports_that_the_operator_gives_out(render: Render) -> None:
    objects = render({"activator": {"firstPort": 30000, "ports": 10}})
    ports = part(objects, "NetworkPolicy", "activator")["spec"]["ingress"][0]["ports"]
    assert ports == [{"protocol": "TCP", "port": 30000, "endPort": 30009}]
    for component in COMPONENTS:
        (container,) = part(objects, "Deployment", component)["spec"]["template"]["spec"][
            "containers"
        ]
        environment = {e["name"]: e.get("value") for e in container["env"]}
        assert environment["CONCH_ACTIVATOR_FIRST_PORT"] == "30000"
        assert environment["CONCH_ACTIVATOR_PORTS"] == "10"
        settings.from_environment({k: v for k, v in environment.items() if v is not None})


def test_the_operator_asks_on_the_port_that_the_activator_has(render: Render) -> None:
    (container,) = part(render(), "Deployment", "activator")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["ports"] == [{"name": "control", "containerPort": names.PORT_ACTIVATOR}]
    rules = part(render(), "NetworkPolicy")["spec"]["egress"]
    assert {"protocol": "TCP", "port": names.PORT_ACTIVATOR} in rules[-1]["ports"]


def test_there_may_be_no_activator(render: Render) -> None:
    objects = render({"activator": {"replicas": 0}})
    assert not [o for o in objects if "activator" in o["metadata"]["name"]]


def test_namespaced_grants_children_only_where_it_watches(render: Render) -> None:
    objects = render(MATRIX["namespaced"])
    (wide,) = (
        o for o in of_kind(objects, "ClusterRole")
        if not o["metadata"]["name"].endswith(("-view", "-edit"))
    )  # fmt: skip
    assert wide["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
    assert {verb for rule in wide["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    roles = {o["metadata"]["namespace"] for o in of_kind(objects, "Role")}
    assert roles == {"team-a", "team-b", "conch-system"}


def test_a_budget_exists_only_above_one_replica(render: Render) -> None:
    names_of = [
        o["metadata"]["name"] for o in of_kind(render(MATRIX["single"]), "PodDisruptionBudget")
    ]
    assert names_of == ["demo-conch-activator"]
    assert part(render(MATRIX["ha"]), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_switches_switch(render: Render) -> None:
    assert of_kind(render(MATRIX["single"]), "NetworkPolicy") == []
    kinds = {o["kind"] for o in render(MATRIX["bring-your-own"])}
    assert kinds == {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}


def test_crds_stay_by_default(render: Render) -> None:
    def policies(values: dict[str, Any]) -> set[str | None]:
        crds = of_kind(render(values), "CustomResourceDefinition")
        assert len(crds) == 3
        return {c["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for c in crds}

    assert policies({}) == {"keep"}
    assert policies({"crds": {"keep": False}}) == {None}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, f"ghcr.io/conch-dev/conch:{__version__}"),
        ({"tag": "dev"}, "ghcr.io/conch-dev/conch:dev"),
        (
            {"repository": "r.local/c", "tag": "dev", "digest": "sha256:" + "a" * 64},
            "r.local/c@sha256:" + "a" * 64,
        ),
    ],
)
def test_image(render: Render, image: dict[str, str], expected: str) -> None:
    deployment = part(render({"image": image}), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == expected


def test_two_releases_do_not_share_cluster_objects(helm: Any, render: Render) -> None:
    def wide(*options: str) -> set[str]:
        values = {"crds": {"install": False}}
        objects = render(values, *options)
        return {o["metadata"]["name"] for o in objects if "namespace" not in o["metadata"]}

    assert not wide("-n", "one") & wide("-n", "two")


def test_a_prometheus_is_named_reached_and_trusted(render: Render) -> None:
    objects = render(MATRIX["everything"])
    pod = part(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found = settings.from_environment(
        {e["name"]: e["value"] for e in container["env"] if "value" in e}
    )
    assert (found.scrape_source, found.prometheus_url) == (
        "Prometheus",
        "https://prometheus.monitoring:9091",
    )
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert found.prometheus_token_file == mounts["prometheus-token"] + "/token"
    assert volumes["prometheus-token"]["secret"]["secretName"] == "prometheus-token"
    assert found.prometheus_ca_file == mounts["prometheus-ca"] + "/ca.crt"
    assert volumes["prometheus-ca"]["configMap"]["name"] == "prometheus-ca"
    assert {
        "ports": [{"protocol": "TCP", "port": 9095}],
        "to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}],
    } in part(objects, "NetworkPolicy")["spec"]["egress"]


def test_a_source_of_grid_intensity_is_named_and_reached(render: Render) -> None:
    objects = render(MATRIX["everything"])
    pod = part(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found = settings.from_environment(
        {e["name"]: e["value"] for e in container["env"] if "value" in e}
    )
    assert found.carbon_source == "ElectricityMaps"
    assert found.carbon_zone_map == {"eu-central-1": "DE", "*": "FR"}
    assert found.pue == 1.15
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert found.carbon_token_file == mounts["carbon-token"] + "/token"
    assert volumes["carbon-token"]["secret"]["secretName"] == "maps-token"
    egress = part(objects, "NetworkPolicy")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 8443}]} in egress


def test_static_intensities_need_no_way_out(render: Render) -> None:
    carbon = {"source": "Static", "intensity": {"*": 475, "DE": 350.5}, "kind": "Average"}
    objects = render({"carbon": carbon})
    (container,) = part(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    found = settings.from_environment(
        {e["name"]: e["value"] for e in container["env"] if "value" in e}
    )
    assert found.carbon_intensity_map == {"*": 475.0, "DE": 350.5}
    ports = str(part(objects, "NetworkPolicy")["spec"]["egress"])
    assert ports == str(part(render(), "NetworkPolicy")["spec"]["egress"])


def test_without_a_prometheus_nothing_of_it_is_there(render: Render) -> None:
    assert "prometheus" not in str(part(render(), "Deployment")).lower()
    assert "9090" not in str(part(render(), "NetworkPolicy")["spec"]["egress"])


def test_what_is_measured_is_scraped_under_its_own_labels(render: Render) -> None:
    objects = render(MATRIX["everything"])
    (monitor,) = of_kind(objects, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    endpoints = monitor["spec"]["podMetricsEndpoints"]
    for component, port in (("operator", "metrics"), ("activator", "control")):
        template = part(objects, "Deployment", component)["spec"]["template"]
        assert selector <= template["metadata"]["labels"].items()
        (container,) = template["spec"]["containers"]
        ports = {p["name"] for p in container["ports"]}
        assert [e["port"] for e in endpoints if e["port"] in ports] == [port]
    for endpoint in endpoints:
        # Or namespace and service of what is served would be those of the pods that tell of it.
        assert endpoint["honorLabels"] is True
        assert endpoint["interval"] == "15s"


def test_alerts_are_the_catalogues_with_a_runbook(render: Render) -> None:
    (made,) = of_kind(render(MATRIX["everything"]), "PrometheusRule")
    assert made["metadata"]["labels"]["release"] == "prometheus"
    rules = {rule["alert"]: rule for group in made["spec"]["groups"] for rule in group["rules"]}
    assert list(rules) == [alert.name for alert in ALERTS if alert.name != "ConchCostJump"]
    for alert in ALERTS[:2]:
        assert rules[alert.name] == {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity.value},
            "annotations": {
                "summary": alert.summary,
                "runbook_url": f"https://runbooks.local/conch#{alert.name.lower()}",
            },
        }


def test_the_dashboard_is_where_grafana_looks(render: Render) -> None:
    (made,) = of_kind(render(MATRIX["everything"]), "ConfigMap")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["conch.json"]) == json.loads(dashboard.model())


def test_an_alert_that_does_not_exist_cannot_be_left_out(helm: Any) -> None:
    options = ("--set", "prometheusRule.enabled=true", "--set", "prometheusRule.without={ConchNo}")
    result = helm("template", "demo", str(CHART), *options)
    assert result.returncode != 0
    assert "there is no alert ConchNo" in result.stderr
