"""Bad input: the API server refuses it and the message names the field."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.api.kinds import KINDS, Kind
from e2e.testbed import TestbedError
from tests.api import documents
from tests.api.apiserver import ApiServer, Kubectl

pytestmark = pytest.mark.cluster

MODEL = {"name": "resnet", "source": {"uri": "image:///opt/models/resnet"}}
URI = ("spec", "models", 0, "source", "uri")
TARGET = ("spec", "objectives", "latency", "target")
PERCENTILE = ("spec", "objectives", "latency", "percentile")
PRICE = ("spec", "pricePerHour")
ADDED = {"maxNodes": 4, "unitsPerNode": 8}
WATTS = ("spec", "watts")
PLACEMENT = ("spec", "placement")
ACCELERATORS = ("spec", "placement", "accelerators")
TOLERATIONS = ("spec", "placement", "tolerations")
SCALING = ("spec", "scaling")
SCHEDULE = {"name": "morning", "cron": "0 7 * * 1-5", "duration": "3h", "minReplicas": 4}
AT_SITES = {
    "models": [MODEL],
    "objectives": {"latency": {"target": "100ms"}},
    "placement": {"sites": ["oslo", "rome"], "minReplicasPerSite": 1},
}

REFUSED: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("name too long", ("metadata", "name"), "a" * 47, "metadata.name: it names a Service too"),
    ("name starts with a digit", ("metadata", "name"), "1st", "metadata.name: it names a Service"),
    ("name with a dot", ("metadata", "name"), "a.b", "metadata.name: it names a Service too"),
    ("name in capitals", ("metadata", "name"), "Resnet", "metadata.name"),
    ("no models", ("spec", "models"), [], "spec.models"),
    ("wrong type", ("spec", "models"), "resnet", "spec.models"),
    ("65 models", ("spec", "models"), [{**MODEL, "name": f"m{i}"} for i in range(65)],
     "spec.models: Too many: 65: must have at most 64 items"),
    ("two models of one name", ("spec", "models"), [MODEL, MODEL],
     'spec.models[1]: Duplicate value: {"name":"resnet"}'),
    ("model name with a slash", ("spec", "models", 0, "name"), "a/b", "spec.models[0].name"),
    ("model name is ..", ("spec", "models", 0, "name"), "..", "spec.models[0].name"),
    ("model name too long", ("spec", "models", 0, "name"), "m" * 64, "spec.models[0].name"),
    ("other scheme", URI, "ftp://host/m", "source.uri: must start with s3://, https://, pvc://"),
    ("http", URI, "http://host/m", "source.uri: must start with s3://, https://, pvc://"),
    ("file", URI, "file:///etc/passwd", "source.uri: must start with s3://, https://, pvc://"),
    ("spaces", URI, "s3://models/my model", "source.uri: must not hold spaces"),
    ("newline", URI, "s3://models/my\nmodel", "source.uri: must not hold spaces"),
    ("credentials", URI, "https://user:pass@host/m.zip", "source.uri: must not hold credentials"),
    ("user name", URI, "https://user@host/m.zip", "source.uri: must not hold credentials"),
    ("s3 keys", URI, "s3://key:secret@bucket/m", "source.uri: must not hold credentials"),
    ("no bucket", URI, "s3:///m", "source.uri: must name a bucket"),
    ("no host", URI, "https:///m.zip", "source.uri: must name a host and an archive"),
    ("no archive", URI, "https://host", "source.uri: must name a host and an archive"),
    ("no claim", URI, "pvc:///m", "source.uri: must name a PersistentVolumeClaim"),
    ("claim in capitals", URI, "pvc://Store/m", "source.uri: must name a PersistentVolumeClaim"),
    (".. in a pvc path", URI, "pvc://store/../m", "source.uri: must not hold a path segment '..'"),
    (".. ends a pvc path", URI, "pvc://store/m/..", "source.uri: must not hold a path segment"),
    (".. in an image path", URI, "image:///opt/../m", "source.uri: must not hold a path segment"),
    ("relative image path", URI, "image://opt/m", "source.uri: must start with"),
    ("URI too long", URI, "s3://models/" + "m" * 1024, "spec.models[0].source.uri: Too long"),
    ("secretRef on pvc://", URI[:-1], {"uri": "pvc://store/m", "secretRef": {"name": "s"}},
     "source.secretRef: only s3:// and https:// take credentials"),
    ("secretRef on image://", URI[:-1], {"uri": "image:///m", "secretRef": {"name": "s"}},
     "source.secretRef: only s3:// and https:// take credentials"),
    ("secret name", URI[:-1], {"uri": "s3://bucket/m", "secretRef": {"name": "a/../b"}},
     "spec.models[0].source.secretRef.name"),
    ("digest", (*URI[:-1], "digest"), "md5:1234", "spec.models[0].source.digest"),
    ("negative batch", ("spec", "models", 0, "config"), {"maxBatchSize": -1},
     "spec.models[0].config.maxBatchSize"),
    ("no instances", ("spec", "models", 0, "config"), {"instances": 0},
     "spec.models[0].config.instances"),
    ("one batch size twice", ("spec", "models", 0, "config", "dynamicBatching"),
     {"preferredBatchSizes": [4, 4]}, "preferredBatchSizes[1]: Duplicate value: 4"),
    ("runtime name", ("spec", "runtime"), "Triton!", "spec.runtime"),
    ("zero target", TARGET, "0ms", "objectives.latency.target: must be more than zero"),
    ("negative target", TARGET, "-5ms", "spec.objectives.latency.target"),
    ("target without a unit", TARGET, "100", "spec.objectives.latency.target"),
    ("target as a number", TARGET, 100, "spec.objectives.latency.target"),
    ("endless target", TARGET, "999999h", "objectives.latency.target: must be more than zero and"),
    ("percentile 0", PERCENTILE, 0, "spec.objectives.latency.percentile"),
    ("percentile 100", PERCENTILE, 100, "spec.objectives.latency.percentile"),
    ("negative percentile", PERCENTILE, -1, "spec.objectives.latency.percentile"),
    ("percentile as text", PERCENTILE, "p99", "spec.objectives.latency.percentile"),
    ("an unknown capacity type", PLACEMENT, {"capacityTypes": ["Reserved"]},
     "spec.placement.capacityTypes[0]: Unsupported value"),
    ("one capacity type twice", PLACEMENT, {"capacityTypes": ["Spot", "Spot"]},
     "placement.capacityTypes: the same one twice"),
    ("on demand without a choice", PLACEMENT, {"minOnDemand": 1},
     "placement.minOnDemand: capacityTypes must allow both"),
    ("on demand where only spot is allowed", PLACEMENT,
     {"capacityTypes": ["Spot"], "minOnDemand": 1},
     "placement.minOnDemand: capacityTypes must allow both"),
    ("none on demand", PLACEMENT, {"capacityTypes": ["Spot", "OnDemand"], "minOnDemand": 0},
     "spec.placement.minOnDemand"),
    ("no capacity type", PLACEMENT, {"capacityTypes": []}, "spec.placement.capacityTypes"),
    ("one site twice", PLACEMENT, {"sites": ["oslo", "oslo"]},
     'spec.placement.sites[1]: Duplicate value: "oslo"'),
    ("a site that is no label", PLACEMENT, {"sites": ["Oslo, Norway"]},
     "spec.placement.sites[0]"),
    ("a minimum of sites without sites", PLACEMENT, {"minReplicasPerSite": 1},
     "placement.minReplicasPerSite: only with placement.sites"),
    ("no replica per site", PLACEMENT, {"sites": ["oslo"], "minReplicasPerSite": 0},
     "spec.placement.minReplicasPerSite"),
    ("more at the sites than there may be", PLACEMENT,
     {"sites": ["oslo", "rome"], "minReplicasPerSite": 6},
     "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
     "scaling.maxReplicas"),
    ("more at the sites than a schedule allows", ("spec",),
     {**AT_SITES, "scaling": {"schedules": [{**SCHEDULE, "minReplicas": 1, "maxReplicas": 1}]}},
     "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
     "scaling.maxReplicas, nor that of a schedule"),
    ("fewer than one at each site", ("spec",),
     {**AT_SITES, "scaling": {"mode": "Fixed", "replicas": 1}},
     "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
     "scaling.replicas"),
    ("to zero with a minimum at each site", ("spec",),
     {**AT_SITES, "scaling": {"minReplicas": 0, "idle": {"toZeroAfter": "15m"}}},
     "placement.minReplicasPerSite, siteMinReplicas: not for a service that may go to zero"),
    ("a minimum of a site that is not named", PLACEMENT,
     {"sites": ["oslo"], "siteMinReplicas": {"rome": 1}},
     "placement.siteMinReplicas: only of sites that placement.sites names"),
    ("a minimum of a site without sites", PLACEMENT, {"siteMinReplicas": {"rome": 1}},
     "placement.siteMinReplicas: only of sites that placement.sites names"),
    ("minima of sites and of what is on demand", PLACEMENT,
     {"sites": ["oslo"], "siteMinReplicas": {"oslo": 1}, "minOnDemand": 1,
      "capacityTypes": ["Spot", "OnDemand"]},
     "placement.siteMinReplicas: not with minOnDemand"),
    ("more at one site than there may be", PLACEMENT,
     {"sites": ["oslo", "rome", "bonn"], "minReplicasPerSite": 1, "siteMinReplicas": {"rome": 9}},
     "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
     "scaling.maxReplicas"),
    ("fewer than one site needs", ("spec",),
     {**AT_SITES, "placement": {"sites": ["oslo"], "siteMinReplicas": {"oslo": 2}},
      "scaling": {"mode": "Fixed", "replicas": 1}},
     "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
     "scaling.replicas"),
    ("negative at a site", PLACEMENT, {"sites": ["oslo"], "siteMinReplicas": {"oslo": -1}},
     "spec.placement.siteMinReplicas.oslo"),
    ("an unknown aim", PLACEMENT, {"optimise": "Luck"},
     "spec.placement.optimise: Unsupported value"),
    ("priority as a number", PLACEMENT, {"priorityClassName": 5},
     "spec.placement.priorityClassName"),
    ("a queue that is no label", PLACEMENT, {"queueName": "a b"}, "spec.placement.queueName"),
    ("min > max", SCALING, {"minReplicas": 3, "maxReplicas": 2},
     "scaling.minReplicas: must not exceed scaling.maxReplicas"),
    ("min > the default max", SCALING, {"minReplicas": 11},
     "scaling.minReplicas: must not exceed scaling.maxReplicas"),
    ("negative min", SCALING, {"minReplicas": -1}, "spec.scaling.minReplicas"),
    ("zero max", SCALING, {"minReplicas": 0, "maxReplicas": 0}, "spec.scaling.maxReplicas"),
    ("to zero in mode Latency", SCALING, {"minReplicas": 0},
     "scaling.minReplicas: 0 needs scaling.idle in mode Latency"),
    ("idle above zero", SCALING, {"minReplicas": 1, "idle": {"toZeroAfter": "15m"}},
     "scaling.idle: only for mode Latency with scaling.minReplicas: 0"),
    ("idle in mode External", SCALING,
     {"mode": "External", "replicas": 1, "minReplicas": 0, "idle": {"toZeroAfter": "15m"}},
     "scaling.idle: only for mode Latency with scaling.minReplicas: 0"),
    ("idle at once", SCALING, {"minReplicas": 0, "idle": {"toZeroAfter": "1s"}},
     "scaling.idle.toZeroAfter: must be 10s to 720h"),
    ("replicas in mode Latency", SCALING, {"replicas": 3},
     "scaling.replicas: Conch chooses it in mode Latency; remove it"),
    ("no replicas in mode Fixed", SCALING, {"mode": "Fixed"},
     "scaling.replicas: required in mode Fixed"),
    ("no replicas in mode External", SCALING, {"mode": "External"},
     "scaling.replicas: required in mode External, as the number to start with"),
    ("schedules in mode Fixed", SCALING,
     {"mode": "Fixed", "replicas": 1, "schedules": [SCHEDULE]},
     "scaling.schedules: not for mode Fixed"),
    ("a carbon ceiling in mode Fixed", SCALING,
     {"mode": "Fixed", "replicas": 1, "carbonCeilings": [{"above": 1, "maxReplicas": 1}]},
     "scaling.carbonCeilings: not for mode Fixed"),
    ("a carbon ceiling below the minimum", SCALING,
     {"minReplicas": 3, "carbonCeilings": [{"above": 400, "maxReplicas": 2}]},
     "scaling.carbonCeilings: every maxReplicas must be scaling.minReplicas or more"),
    ("a schedule above the maximum", SCALING, {"maxReplicas": 3, "schedules": [SCHEDULE]},
     "scaling.schedules: every minReplicas must fit below scaling.maxReplicas"),
    ("a schedule that caps below the minimum", SCALING,
     {"minReplicas": 5, "schedules": [{**SCHEDULE, "maxReplicas": 4}]},
     "and every maxReplicas above scaling.minReplicas"),
    ("a schedule's min > max", SCALING,
     {"schedules": [{**SCHEDULE, "maxReplicas": 2}]},
     "scaling.schedules.minReplicas: must not exceed the schedule's maxReplicas"),
    ("a schedule of a moment", SCALING, {"schedules": [{**SCHEDULE, "duration": "59s"}]},
     "scaling.schedules.duration: must be 1m to 168h"),
    ("a schedule without an end", SCALING, {"schedules": [{**SCHEDULE, "duration": "169h"}]},
     "scaling.schedules.duration: must be 1m to 168h"),
    ("a cron with seconds", SCALING, {"schedules": [{**SCHEDULE, "cron": "0 0 7 * * 1-5"}]},
     "spec.scaling.schedules[0].cron"),
    ("a cron in words", SCALING, {"schedules": [{**SCHEDULE, "cron": "@daily"}]},
     "spec.scaling.schedules[0].cron"),
    ("a time zone that is a path", SCALING,
     {"schedules": [{**SCHEDULE, "timezone": "../../etc/passwd"}]},
     "spec.scaling.schedules[0].timezone"),
    ("two schedules of one name", SCALING, {"schedules": [SCHEDULE, SCHEDULE]},
     "spec.scaling.schedules[1]: Duplicate value"),
    ("33 schedules", SCALING, {"schedules": [{**SCHEDULE, "name": f"s{i}"} for i in range(33)]},
     "spec.scaling.schedules: Too many: 33: must have at most 32 items"),
    ("rejectLate as text", ("spec", "objectives", "latency", "rejectLate"), "yes",
     "spec.objectives.latency.rejectLate"),
    ("unknown mode", SCALING, {"mode": "Magic"}, 'spec.scaling.mode: Unsupported value: "Magic"'),
    ("0 accelerators, no CPU", ACCELERATORS, {"count": 0},
     "placement.accelerators.count: must be 1 or more unless allowCPU is true"),
    ("17 accelerators", ACCELERATORS, {"count": 17}, "spec.placement.accelerators.count"),
    ("class name", ACCELERATORS, {"classes": ["NVIDIA L4"]},
     "spec.placement.accelerators.classes[0]"),
    ("zero accelerator memory", ACCELERATORS, {"minMemory": "0Gi"},
     "spec.placement.accelerators.minMemory"),
    ("negative memory", ("spec", "resources", "memory"), "-1Gi", "spec.resources.memory"),
    ("negative memory as a number", ("spec", "resources", "memory"), -1,
     "spec.resources.memory: Invalid value: -1: must be more than zero"),
    ("memory without a number", ("spec", "resources", "memory"), "lots", "spec.resources.memory"),
    ("fraction as a number", ("spec", "resources", "cpu"), 0.5, "spec.resources.cpu"),
    ("zero cpu", ("spec", "resources", "cpu"), 0, "spec.resources.cpu: Invalid value: 0: must be"),
    ("negative shared memory", ("spec", "resources", "sharedMemory"), "-1",
     "spec.resources.sharedMemory"),
    ("label key", ("spec", "placement", "nodeSelector"), {"no spaces": "x"},
     "spec.placement.nodeSelector: Invalid value: every key must be a label name"),
    ("label value", ("spec", "placement", "nodeSelector"), {"zone": "no spaces"},
     "spec.placement.nodeSelector.zone"),
    ("Exists with a value", TOLERATIONS, [{"key": "a", "operator": "Exists", "value": "b"}],
     "tolerations.value: operator Exists takes no value"),
    ("Equal without a key", TOLERATIONS, [{"value": "b"}],
     "tolerations.key: required with operator Equal"),
    ("paused as text", ("spec", "paused"), "yes", "spec.paused"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [pytest.param(path, value, message, id=name) for name, path, value, message in REFUSED],
)
def test_refused(server: ApiServer, path: tuple[str | int, ...], value: Any, message: str) -> None:
    document = documents.changed(documents.minimal(names.INFERENCE_SERVICE), path, value)
    answer = server.create(document)
    assert answer.status == 422, answer.body
    assert message in answer.message


@pytest.mark.parametrize("path", [("spec",), ("spec", "models"), ("spec", "objectives"), TARGET])
def test_what_is_required_must_be_there(server: ApiServer, path: tuple[str | int, ...]) -> None:
    document = documents.without(documents.minimal(names.INFERENCE_SERVICE), path)
    answer = server.create(document)
    assert answer.status == 422
    assert f"{'.'.join(map(str, path))}: Required value" in answer.message


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("s3://models", False),
        ("s3://models/resnet/v7", True),
        ("https://host/m.tar.gz", True),
        ("https://host:8443/a/m.zip?version=3&sig=a@b", False),
        ("https://[2001:db8::1]:443/m.tar", False),
        ("pvc://store", False),
        ("pvc://store.v2/a/..b/c", False),
        ("image:///opt/models/resnet", False),
    ],
)
def test_good_uris(server: ApiServer, uri: str, secret: bool) -> None:
    source = {"uri": uri, "secretRef": {"name": "s"}} if secret else {"uri": uri}
    document = documents.changed(documents.minimal(names.INFERENCE_SERVICE), URI[:-1], source)
    answer = server.create(document)
    assert answer.status == 201, answer.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "name"), "a" * 46),
        (("spec", "models"), [{**MODEL, "name": f"m{i}"} for i in range(64)]),
        (SCALING, {"mode": "External", "replicas": 1, "minReplicas": 0}),
        (SCALING, {"mode": "Fixed", "replicas": 0}),
        (SCALING, {"minReplicas": 4, "maxReplicas": 4}),
        (SCALING, {"minReplicas": 0, "idle": {"toZeroAfter": "10s"}}),
        (PERCENTILE, 99.99),
        (TARGET, "1.5ms"),
        (TARGET, "1h"),
        (ACCELERATORS, {"count": 0, "allowCPU": True}),
        (("spec", "resources"), {"cpu": "1.5", "memory": 1073741824, "sharedMemory": "1500M"}),
        (TOLERATIONS, [{"operator": "Exists"}]),
        (("spec", "placement", "nodeSelector"), {"nvidia.com/gpu.product": "NVIDIA-L4", "a": ""}),
    ],
)
def test_the_edge_of_what_is_allowed(
    server: ApiServer, path: tuple[str | int, ...], value: Any
) -> None:
    document = documents.changed(documents.minimal(names.INFERENCE_SERVICE), path, value)
    answer = server.create(document)
    assert answer.status == 201, answer.message


def test_the_largest_service_is_within_the_rules_budget(server: ApiServer) -> None:
    """The API server stops evaluating rules that cost too much: even this must not."""
    spec = {
        "models": [
            {
                "name": f"{i:m>63}",
                "source": {"uri": "https://h/" + "a." * 507, "secretRef": {"name": "s"}},
            }
            for i in range(64)
        ],
        "objectives": {"latency": {"target": "999999.999999us"}},
        "placement": {
            "nodeSelector": {f"{'d' * 250}.{i:02}/{'k' * 63}": "v" * 63 for i in range(16)},
            "tolerations": [{"key": f"{'d' * 250}.{i:02}/{'k' * 63}"} for i in range(16)],
        },
    }
    document = documents.changed(documents.minimal(names.INFERENCE_SERVICE), ("spec",), spec)
    answer = server.create(document)
    assert answer.status == 201, answer.message


@pytest.mark.parametrize("meta", KINDS, ids=lambda meta: meta.kind)
def test_unknown_fields_are_refused_everywhere(server: ApiServer, meta: Kind) -> None:
    document = documents.full(meta.kind)
    objects = [
        path
        for path in documents.leaves(document["spec"], ("spec",))
        if path[-1] not in ("nodeSelector", "nodeLabels") and isinstance(_at(document, path), dict)
    ]
    assert len(objects) >= 1
    for path in objects:
        answer = server.create(documents.changed(document, (*path, "unheardOf"), 1))
        assert answer.status == 400, path
        assert 'unheardOf"' in answer.message


def test_kubectl_names_the_unknown_field(kubectl: Kubectl) -> None:
    document = """
apiVersion: conch.dev/v1alpha1
kind: InferenceService
metadata: {name: typo}
spec:
  models: [{name: resnet, source: {uri: "image:///opt/models/resnet"}}]
  objectives: {latency: {target: 400ms, percentil: 95}}
"""
    with pytest.raises(TestbedError) as refusal:
        kubectl("apply", "--validate=strict", "-f", "-", stdin=document)
    assert 'unknown field "spec.objectives.latency.percentil"' in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        (names.TRITON_RUNTIME, ("spec", "image"), "no spaces", "spec.image"),
        (names.TRITON_RUNTIME, ("spec", "release"), "2.51.0", "spec.release"),
        (names.TRITON_RUNTIME, ("spec", "release"), 24.1, "spec.release"),
        (names.TRITON_RUNTIME, ("spec", "security"), {"runAsUser": 0}, "spec.security.runAsUser"),
        (names.TRITON_RUNTIME, ("spec", "resources"), {"memory": "-1"}, "spec.resources.memory"),
        (names.TRITON_RUNTIME, ("spec", "backendDirectory"), "b", "spec.backendDirectory"),
        (names.ACCELERATOR_CLASS, ("spec", "memory"), "0", "spec.memory"),
        (names.ACCELERATOR_CLASS, ("spec", "nodeSelector"), {}, "spec.nodeSelector"),
        (names.ACCELERATOR_CLASS, ("spec", "resourceName"), "gpu", "spec.resourceName"),
        (names.ACCELERATOR_CLASS, ("spec", "computeCapability"), "sm_89", "computeCapability"),
        (names.ACCELERATOR_CLASS, ("spec",), {"memory": "24Gi"}, "nodeSelector: required, unless"),
        (
            names.ACCELERATOR_CLASS,
            ("spec",),
            {
                "memory": "1Gi",
                "deviceClassName": "gpu.nvidia.com",
                "resourceName": "nvidia.com/gpu",
            },
            "resourceName: pods request it or claim from deviceClassName, not both",
        ),
        (
            names.ACCELERATOR_CLASS,
            ("spec", "deviceSelectors"),
            ["true"],
            "deviceSelectors: only with deviceClassName",
        ),
        (names.ACCELERATOR_CLASS, ("spec", "deviceClassName"), "GPU!", "spec.deviceClassName"),
        (
            names.ACCELERATOR_CLASS,
            ("spec",),
            {"deviceClassName": "gpu.nvidia.com", "memory": "24Gi", "provisioning": ADDED},
            "provisioning: not with deviceClassName",
        ),
        (
            names.ACCELERATOR_CLASS,
            ("spec", "provisioning"),
            {**ADDED, "nodeLabels": {"nvidia.com/gpu.product": "Tesla-T4"}},
            "provisioning.nodeLabels: must not contradict nodeSelector",
        ),
        (
            names.ACCELERATOR_CLASS,
            ("spec", "provisioning"),
            {**ADDED, "waitFor": "5s"},
            "provisioning.waitFor: must be between 30s and 24h",
        ),
        (
            names.ACCELERATOR_CLASS,
            ("spec", "provisioning"),
            {**ADDED, "maxNodes": 0},
            "spec.provisioning.maxNodes",
        ),
        (
            names.ACCELERATOR_CLASS,
            ("spec", "provisioning"),
            {"maxNodes": 4},
            "spec.provisioning.unitsPerNode",
        ),
        (names.ACCELERATOR_CLASS, PRICE, {"onDemand": -1}, "spec.pricePerHour.onDemand"),
        (names.ACCELERATOR_CLASS, PRICE, {"spot": 1001}, "should be less than or equal to 1000"),
        (names.ACCELERATOR_CLASS, PRICE, {"onDemand": "0.8 EUR"}, "spec.pricePerHour.onDemand"),
        (names.ACCELERATOR_CLASS, PRICE, {}, "pricePerHour: must name onDemand, spot, or both"),
        (
            names.ACCELERATOR_CLASS,
            PRICE,
            {"onDemand": 1, "spot": 2},
            "pricePerHour.spot: must not exceed pricePerHour.onDemand",
        ),
        (names.ACCELERATOR_CLASS, WATTS, {"idle": -1}, "spec.watts.idle"),
        (names.ACCELERATOR_CLASS, WATTS, {"max": 0}, "spec.watts.max"),
        (names.ACCELERATOR_CLASS, WATTS, {"max": 70000}, "should be less than or equal to 5000"),
        (names.ACCELERATOR_CLASS, WATTS, {}, "watts: must name idle, max, or both"),
        (
            names.ACCELERATOR_CLASS,
            WATTS,
            {"idle": 80, "max": 72},
            "watts.idle: must not exceed watts.max",
        ),
        (names.ACCELERATOR_CLASS, ("spec", "carbonZone"), "the north", "spec.carbonZone"),
        (names.ACCELERATOR_CLASS, ("metadata", "name"), "a" * 64, "metadata.name: it becomes a"),
    ],
)
def test_other_kinds(
    server: ApiServer, kind: str, path: tuple[str | int, ...], value: Any, message: str
) -> None:
    answer = server.create(documents.changed(documents.minimal(kind), path, value))
    assert answer.status == 422, answer.body
    assert message in answer.message


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document
