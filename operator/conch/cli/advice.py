"""What to do about each reason: the one catalogue behind `conch why` and docs/troubleshooting.md.

A condition's message says what is wrong, with numbers; this says what a person does next. None:
nothing is to be done.
"""

from __future__ import annotations

from typing import Final

from conch.api.conditions import Reason

ADVICE: Final[dict[Reason, str | None]] = {
    Reason.READY: None,
    Reason.PROGRESSING: None,
    Reason.PAUSED: "Set spec.paused to false when Conch should act again.",
    Reason.SETTLED: None,
    Reason.OPERATIONAL: None,
    Reason.STEP_ERROR: (
        "Look at the operator's log (kubectl logs -l app.kubernetes.io/component=operator "
        "--all-containers -n NAMESPACE-OF-CONCH) and report it with the traceback; Conch retries."
    ),
    Reason.ACCEPTED: None,
    Reason.INVALID_SPEC: (
        "Correct the field that the message names, with kubectl edit infs NAME; it was stored "
        "before the CRD of this version checked it."
    ),
    Reason.RUNTIME_NOT_FOUND: (
        "Create that TritonRuntime, or correct spec.runtime; kubectl get tritonruntimes lists "
        "what exists. Without spec.runtime the cluster's default is used."
    ),
    Reason.INVALID_RUNTIME: "Correct the TritonRuntime's field that the message names.",
    Reason.CLASS_NOT_FOUND: (
        "Correct placement.accelerators.classes: the message lists the classes the cluster has. "
        "A class that is not discovered from node labels is declared as an AcceleratorClass."
    ),
    Reason.SECRET_NOT_FOUND: (
        "Create the Secret in the service's own namespace, or correct source.secretRef; the pods "
        "start by themselves once it exists."
    ),
    Reason.SOURCE_NOT_ALLOWED: (
        "Move the model to an allowed place, or ask whoever runs Conch to add the prefix to the "
        "chart's allowedSources; for a private address, to set its allowPrivateHosts."
    ),
    Reason.PLACED: None,
    Reason.MOVING: None,
    Reason.MOVING_BACK: None,
    Reason.WAITING_FOR_NODE: (
        "Nothing for as long as the message says: then the next class is tried. If no node comes, "
        "kubectl describe pod shows why the node autoscaler adds none: labels of nodeSelector that "
        "its node group or NodePool does not promise, taints, limits, quota of the cloud."
    ),
    Reason.NO_CAPACITY: (
        "Add a node of a class that fits, free one, or allow another class in "
        "placement.accelerators.classes. Conch places the service as soon as a unit is free."
    ),
    Reason.NOTHING_FITS: (
        "Lower placement.accelerators.minMemory or count, allow another class, relax "
        "nodeSelector or add the missing toleration: the message says what each class lacks. "
        "Memory that is estimated is overruled by a minMemory of yours."
    ),
    Reason.APPLIED: None,
    Reason.NAME_COLLISION: (
        "Delete or rename the object that the message names, or recreate the service under "
        "another name. Conch never takes over what it did not make."
    ),
    Reason.APPLY_REFUSED: (
        "The message is the API server's: raise the quota, correct the policy, or lower what the "
        "service asks for. Conch tries again by itself."
    ),
    Reason.AVAILABLE: None,
    Reason.PODS_STARTING: None,
    Reason.ROLLING_OUT: None,
    Reason.NODE_LEAVING: None,
    Reason.SCALED_TO_ZERO: "Raise spec.scaling.replicas to serve again.",
    Reason.UNSCHEDULABLE: (
        "The message is kube-scheduler's. Usually other pods took the room: add a node, free one, "
        "or lower spec.resources. A PersistentVolumeClaim that it does not find has to be in the "
        "service's own namespace."
    ),
    Reason.IMAGE_PULL: (
        "Correct the image in the TritonRuntime (or the chart's image values), or give it "
        "imagePullSecrets that exist in this namespace."
    ),
    Reason.FETCH_FAILED: (
        "Check that the model's URI can be reached from the service's namespace and that the "
        "credentials may read it. An object store on a private address needs the chart's "
        "allowPrivateHosts. Conch keeps trying."
    ),
    Reason.MODEL_NOT_FOUND: "Correct the model's source.uri, or upload the model to it.",
    Reason.DIGEST_MISMATCH: (
        "Find out who changed the model. If the change is wanted, set source.digest to the new "
        "value (conch digest DIR, or sha256sum of the archive)."
    ),
    Reason.MODEL_INVALID: (
        "The message is Triton's: correct the model or its config.pbtxt and upload it, or use a "
        "TritonRuntime that has the backend it needs."
    ),
    Reason.OUT_OF_MEMORY: "Raise spec.resources.memory (host memory; sharedMemory is on top).",
    Reason.CRASH_LOOP: (
        "Read the container's log: kubectl logs POD -c CONTAINER --previous. The message has its "
        "last words."
    ),
    Reason.CONFIG_ERROR: "Create what the message says is missing; the pod starts by itself.",
    Reason.EVICTED: (
        "The pod is replaced by itself. If it happens again, look at the node: kubectl describe "
        "node NODE."
    ),
    Reason.WITHIN_OBJECTIVE: None,
    Reason.OBJECTIVE_MISSED: (
        "More replicas are asked for slowly, as measured lateness lasts. Find what the counters do "
        "not show: requests that cost more than usual, a replica that counts too few of them, "
        "somebody else on the same accelerator, or work outside the batches."
    ),
    Reason.SCALE_UP: None,
    Reason.SCALE_DOWN: None,
    Reason.HOLDING_DOWN: None,
    Reason.AT_MAXIMUM: (
        "The target is at risk. Raise spec.scaling.maxReplicas, relax the target, or make the "
        "model faster (batching, instances)."
    ),
    Reason.AT_MINIMUM: None,
    Reason.NO_METRICS: (
        "Check that the operator may reach ports 8000 and 8002 of the pods (NetworkPolicies) and "
        "that Triton answers there. The number of replicas is held meanwhile."
    ),
    Reason.NO_TRAFFIC: None,
    Reason.LEARNING: None,
    Reason.TARGET_UNREACHABLE: (
        "More replicas cannot help: relax objectives.latency.target, use a faster accelerator, or "
        "a faster model."
    ),
    Reason.NO_ROOM: (
        "Add a node of the chosen class, or free an accelerator; the replicas start by themselves."
    ),
    Reason.FROM_ZERO: None,
    Reason.NO_ACTIVATOR: (
        "Install the activator (the chart's activator.replicas), or set scaling.minReplicas to 1. "
        "Is one running? kubectl get pods -A -l app.kubernetes.io/component=activator."
    ),
    Reason.FOREIGN_SCALER: (
        "Delete the autoscaler on the Deployment, or let it target the InferenceService with "
        "scaling.mode External (examples/external-hpa.yaml)."
    ),
    Reason.INVALID_SCHEDULE: (
        "Correct spec.scaling.schedules; the other schedules and the scaler work on without it."
    ),
    Reason.FIXED: None,
    Reason.EXTERNAL: None,
    Reason.SERVING: None,
    Reason.NOT_ANSWERING: (
        "The model loaded but hangs. Read Triton's log (kubectl logs POD -c triton), and delete "
        "the pod if the model itself is sound."
    ),
    Reason.FAILING: (
        "Read Triton's log (kubectl logs POD -c triton) for why requests fail; usual causes are "
        "inputs of another shape or type than the model's, and an accelerator out of memory."
    ),
    Reason.IDLE: None,
}

UNSEEN: Final = (
    "No operator has looked at it. Is one running? kubectl get pods -A -l "
    "app.kubernetes.io/component=operator,app.kubernetes.io/part-of=conch. If Conch serves only "
    "some namespaces, this must be one of them (the chart's watchNamespaces)."
)


def advice(reason: str) -> str | None:
    """What to do about a condition's reason; None for nothing, or a reason unknown here."""
    known = next((r for r in Reason if r.value == reason), None)
    return None if known is None else ADVICE[known]
