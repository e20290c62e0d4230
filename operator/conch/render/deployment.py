"""The Deployment: what a Triton pod needs in order to start, serve, drain and end well.

It never sets ``spec.replicas``: that field belongs to the scaler's own field manager. Everything
under ``spec.template`` restarts the servers when it changes, so nothing volatile may go there.
Facts behind the numbers: docs/design/001-control-loop.md and triton/arguments.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import AcceleratorKind
from conch.render.claim import claim_template
from conch.render.metadata import metadata
from conch.render.models import MODELS_VOLUME, literal, staging
from conch.render.options import PartOptions, RenderOptions
from conch.render.placement import apart, node_affinity, spread, tolerations
from conch.render.resources import memory_sum, server_resources
from conch.render.security import container_security, pod_security
from conch.triton.arguments import arguments

# After SIGTERM Triton closes its doors at once and waits this long for requests in flight. One idle
# HTTP keep-alive connection makes it wait the whole time, so longer only holds the accelerator.
EXIT_TIMEOUT_S = 10
KILL_MARGIN_S = 10
# A leaving pod is out of every node's service rules after about this long.
ENDPOINT_PROPAGATION_S = 3
# Time for image pull and model download on top of the start-up budget, before Kubernetes calls a
# rollout stuck (it only reports; nothing is undone).
STAGING_BUDGET_S = 900


def deployment(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
    options: RenderOptions,
) -> Object:
    """The Deployment of ``service`` on accelerators of ``kind``."""
    selector = names.selector_labels(service.metadata.name)
    accelerator = {names.LABEL_ACCELERATOR: kind.name}
    labels = {**names.service_labels(service.metadata.name), **accelerator}
    queue = service.spec.placement.queue_name
    # Kueue reads it here, and takes it to the pods itself.
    queued = {} if queue is None else {names.LABEL_QUEUE: queue}
    meta = metadata(service, {**accelerator, **queued})
    if options.queue_limit is not None:
        meta["annotations"] = {names.ANNOTATION_QUEUE_LIMIT: options.queue_limit.note}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": selector},
            "strategy": _strategy(options.surge),
            "minReadySeconds": 1,  # a server that dies as it becomes ready stops the rollout
            "progressDeadlineSeconds": options.startup_budget_s + STAGING_BUDGET_S,
            "revisionHistoryLimit": 3,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(service, runtime, kind, options),
            },
        },
    }


def part_deployment(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    part: PartOptions,
    options: RenderOptions,
) -> Object:
    """The Deployment of a part of the replicas: the same servers, on other nodes or fewer.

    Its pods are found by all that finds the service's; only its own selector tells them apart.
    """
    told: Object = {"capacity_types": ["OnDemand"]} if part.on_demand else {}
    if part.site:
        told = {"sites": [part.site], "min_replicas_per_site": None, "site_min_replicas": None}
    if told:
        placement = service.spec.placement.model_copy(update=told)
        spec = service.spec.model_copy(update={"placement": placement})
        service = service.model_copy(update={"spec": spec})
    options = replace(options, surge=part.surge, tiers=part.tiers)
    made = deployment(service, runtime, part.kind, options)
    made["metadata"]["name"] = names.part_name(service.metadata.name, part.name)
    own = {names.LABEL_PART: part.name}
    for labels in (
        made["metadata"]["labels"],
        made["spec"]["selector"]["matchLabels"],
        made["spec"]["template"]["metadata"]["labels"],
    ):
        labels |= own
    return made


def _strategy(surge: int) -> Object:
    """With free accelerators new pods come first; without any an old pod must make room."""
    bounds = {"maxSurge": surge, "maxUnavailable": 0 if surge else 1}
    return {"type": "RollingUpdate", "rollingUpdate": bounds}


def _pod(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
    options: RenderOptions,
) -> Object:
    stage = staging(service, runtime, options)
    shared = service.spec.resources.shared_memory or runtime.resources.shared_memory
    placement = service.spec.placement
    pod: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": options.drain_s + EXIT_TIMEOUT_S + KILL_MARGIN_S,
        "securityContext": pod_security(runtime.security),
        "topologySpreadConstraints": spread(service.metadata.name, placement, options.tiers),
        "tolerations": tolerations(placement, kind),
        "initContainers": stage.init_containers,
        "containers": [_triton(service, runtime, kind, options)],
        "volumes": [
            *stage.volumes,
            {"name": "tmp", "emptyDir": {}},
            {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": memory_sum(shared)}},
        ],
    }
    affinity = {
        **node_affinity(kind, placement, runtime, options.tiers),
        **apart(service.metadata.name, placement),
    }
    if affinity:
        pod["affinity"] = affinity
    if (claim := claim_template(service, kind)) is not None:
        template = {"resourceClaimTemplateName": claim["metadata"]["name"]}
        pod["resourceClaims"] = [{"name": names.CLAIM_ACCELERATOR, **template}]
    if placement.node_selector:
        pod["nodeSelector"] = dict(placement.node_selector)
    if placement.priority_class_name:
        pod["priorityClassName"] = placement.priority_class_name
    if placement.scheduler_name:
        pod["schedulerName"] = placement.scheduler_name
    if runtime.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in runtime.image_pull_secrets]
    return pod


def _triton(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
    options: RenderOptions,
) -> Object:
    flags = arguments(
        runtime.release,
        exit_timeout_s=EXIT_TIMEOUT_S,
        connection_age_s=connection_age_s(options.drain_s),
        percentile=service.spec.objectives.latency.percentile,
        backend_directory=runtime.backend_directory,
    )
    return {
        "name": names.CONTAINER_TRITON,
        "image": runtime.image,
        "imagePullPolicy": runtime.image_pull_policy,
        # No `command`: the entrypoint of NVIDIA's images sets up CUDA compatibility and runs this.
        "args": ["tritonserver", *(literal(flag) for flag in flags)],
        # The image's home is read-only, and Python libraries want to write their caches there.
        "env": [{"name": "HOME", "value": "/tmp"}],
        "ports": [
            _port("http", names.PORT_HTTP),
            _port("grpc", names.PORT_GRPC),
            _port("metrics", names.PORT_METRICS),
        ],
        "resources": server_resources(service, runtime, kind),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": options.drain_s}}},
        # Nothing listens before all models are loaded, so this alone bounds the load time.
        "startupProbe": _probe(
            "/v2/health/live", period_s=1, timeout_s=2, failures=max(1, options.startup_budget_s)
        ),
        # Shares Triton's HTTP threads with requests: generous, so that load never kills a server.
        "livenessProbe": _probe("/v2/health/live", period_s=10, timeout_s=5, failures=6),
        "readinessProbe": _probe(_ready_path(service), period_s=2, timeout_s=2, failures=3),
        "volumeMounts": [
            {"name": MODELS_VOLUME, "mountPath": names.MODEL_REPOSITORY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "dshm", "mountPath": "/dev/shm"},
        ],
    }


def connection_age_s(drain_s: int) -> int:
    """Age at which Triton sends gRPC clients away, in seconds.

    A channel open when its pod starts to leave must have moved before SIGTERM: gRPC adds up to 10 %
    of jitter to the age, and the pod must be out of the service rules when the client reconnects.
    """
    return max(2, math.floor((drain_s - ENDPOINT_PROPAGATION_S) / 1.1))


def _ready_path(service: v1alpha1.InferenceService) -> str:
    if len(service.spec.models) == 1:
        return f"/v2/models/{service.spec.models[0].name}/ready"
    return "/v2/health/ready"


def _probe(path: str, *, period_s: int, timeout_s: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }


def _port(name: str, number: int) -> Object:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
