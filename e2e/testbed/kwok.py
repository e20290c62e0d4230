"""KWOK: fake GPU nodes, and the stages that give pods on them a life. Pure.

A configuration that holds any stage must hold all wanted ones, so all are here:
node up, pod Running, pod Ready (after a cold start when asked for), Job pod done, pod deleted.
Heartbeats and node leases are off: a thousand nodes' leases cost most of a core for nothing,
and the controller-manager is told to be patient instead (`controlplane.controller_manager`).
"""

from __future__ import annotations

import json
from typing import Any

from e2e.testbed import gpus, layout
from e2e.testbed.layout import Layout

COLD_START_ANNOTATION = "conch.test/ready-after"
"""On a pod: a Go duration between Running and Ready, for example "12s"."""
NODE_ANNOTATION = "kwok.x-k8s.io/node"

_NODE_STATUS = """\
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
nodeInfo:
  architecture: amd64
  operatingSystem: linux
  bootID: ""
  machineID: ""
  systemUUID: ""
  osImage: fake
  kernelVersion: fake
  containerRuntimeVersion: {{ printf "kwok://%s" Version }}
  kubeletVersion: {{ printf "kwok-%s" Version }}
  kubeProxyVersion: ""
phase: Running
"""

# The address comes from the pod's UID: KWOK's own pool starts over when KWOK restarts. Three bytes
# of the UID in 10.128.0.0/10; two of a thousand pods share one with a probability of about 0.1.
_POD_ADDRESS = """\
{{ $u := .metadata.uid }}
{{ $second := add 128 (mod (int64 (printf "0x%s" (substr 0 2 $u))) 64) }}
{{ $third := int64 (printf "0x%s" (substr 2 4 $u)) }}
{{ $fourth := int64 (printf "0x%s" (substr 4 6 $u)) }}
{{ $ip := printf "10.%d.%d.%d" $second $third $fourth }}
podIP: {{ $ip | Quote }}
podIPs:
- ip: {{ $ip | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
hostIPs:
- ip: {{ NodeIPWith .spec.nodeName | Quote }}
"""

_INIT_CONTAINERS = """\
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  restartCount: 0
  {{ if eq (or .restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
  {{ else }}
  started: false
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
  {{ end }}
{{ end }}
"""


def _containers(ready: str) -> str:
    return f"""\
containerStatuses:
{{{{ range .spec.containers }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
  imageID: ""
  ready: {ready}
  started: true
  restartCount: 0
  state: {{running: {{startedAt: {{{{ $now | Quote }}}}}}}}
{{{{ end }}}}
"""


def _conditions(ready: str) -> str:
    return f"""\
conditions:
{{{{ range list "PodReadyToStartContainers" "Initialized" }}}}
- {{type: {{{{ . }}}}, status: "True", lastTransitionTime: {{{{ $now | Quote }}}}}}
{{{{ end }}}}
{{{{ range list "ContainersReady" "Ready" }}}}
- {{type: {{{{ . }}}}, status: "{ready}", lastTransitionTime: {{{{ $now | Quote }}}}}}
{{{{ end }}}}
{{{{ range .spec.readinessGates }}}}
- type: {{{{ .conditionType | Quote }}}}
  status: "True"
  lastTransitionTime: {{{{ $now | Quote }}}}
{{{{ end }}}}
"""


_NOW = "{{ $now := Now }}\n"
_RUNNING = (
    _NOW
    + "phase: Running\nstartTime: {{ $now | Quote }}\n"
    + _conditions("False")
    + _containers("false")
    + _INIT_CONTAINERS
    + _POD_ADDRESS
)
_READY = _NOW + _conditions("True") + _containers("true")
_COMPLETE = (
    _NOW
    + """\
phase: Succeeded
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
"""
)

_READY_STATUS = '.status.conditions.[] | select( .type == "Ready" ) | .status'
_DELETED = ".metadata.deletionTimestamp"
_OWNERS = ".metadata.ownerReferences.[].kind"


def _when(key: str, operator: str, *values: str) -> dict[str, Any]:
    expression: dict[str, Any] = {"key": key, "operator": operator}
    return {**expression, "values": list(values)} if values else expression


def _stage(name: str, kind: str, when: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": when},
            **spec,
        },
    }


def stages() -> list[dict[str, Any]]:
    """Every stage of nodes and pods."""
    alive = _when(_DELETED, "DoesNotExist")
    running = _when(".status.phase", "In", "Running")
    cold_start = f'.metadata.annotations["{COLD_START_ANNOTATION}"]'
    return [
        _stage(
            "node-up",
            "Node",
            [_when(_READY_STATUS, "NotIn", "True")],
            next={"statusTemplate": _NODE_STATUS},
        ),
        _stage(
            "pod-running",
            "Pod",
            [alive, _when(".status.phase", "In", "Pending")],
            next={"statusTemplate": _RUNNING},
        ),
        _stage(
            "pod-ready",
            "Pod",
            [alive, running, _when(_READY_STATUS, "NotIn", "True"), _when(_OWNERS, "NotIn", "Job")],
            delay={"durationMilliseconds": 0, "durationFrom": {"expressionFrom": cold_start}},
            next={"statusTemplate": _READY},
        ),
        _stage(
            "pod-complete",
            "Pod",
            [alive, running, _when(_OWNERS, "In", "Job")],
            next={"statusTemplate": _COMPLETE},
        ),
        _stage("pod-delete", "Pod", [_when(_DELETED, "Exists")], next={"delete": True}),
    ]


def config() -> str:
    """The configuration file: one JSON document per YAML document."""
    options = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "metadata": {"name": "kwok"},
        "options": {"podPlayStageParallelism": 16, "nodePlayStageParallelism": 16},
    }
    return "\n---\n".join(json.dumps(document) for document in [options, *stages()])


def arguments(place: Layout) -> list[str]:
    return [
        f"--kubeconfig={place.component_kubeconfig('kwok')}",
        f"--config={place.state}/kwok.yaml",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={NODE_ANNOTATION}=fake",
        f"--node-ip={layout.KWOK_ADDRESS}",
        # Unused (the stages give addresses), but KWOK logs an error for every pod without it.
        "--cidr=10.200.0.0/16",
        "--node-lease-duration-seconds=0",
        "--enable-crds=",
    ]


def nodes(count: int, first: int = 0) -> list[dict[str, Any]]:
    """`count` GPU nodes, numbered from `first`, of the fleet's models in turn."""
    return [_node(index) for index in range(first, first + count)]


def _node(index: int) -> dict[str, Any]:
    model = gpus.FLEET[index % len(gpus.FLEET)]
    name = f"kwok-gpu-{index:04d}"
    amounts = {
        "cpu": "128",
        "memory": "1Ti",
        "pods": "110",
        "ephemeral-storage": "2Ti",
        gpus.RESOURCE: str(model.units),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {NODE_ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": model.machine,
                "topology.kubernetes.io/zone": f"zone-{index % 4}",
                "type": "kwok",
                "conch.test/kind": "fake",
                **gpus.labels(model, model.units),
            },
        },
        "spec": {"taints": [{"key": NODE_ANNOTATION, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": amounts, "allocatable": amounts},
    }
