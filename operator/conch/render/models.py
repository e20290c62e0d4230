"""How models get into a pod: the init containers and volumes that stage them.

A model baked into the runtime's image is copied out by that image itself; everything else, and the
checks and overrides of all, is the work of one ``conch fetch``. Credentials are files that only
that container sees. Triton mounts the result read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from conch.api import names, v1alpha1
from conch.fetch.request import FetchRequest, ModelRequest
from conch.kube.views import Object
from conch.render.options import RenderOptions
from conch.render.security import container_security
from conch.triton.arguments import HISTOGRAMS, parse_release

MODELS_VOLUME = "models"
BAKED = f"{names.MODEL_REPOSITORY}/.baked-"  # on the same volume: the puller renames, not copies
SOURCES = "/sources"
SECRETS = "/secrets"
SECRET_MODE = 0o440  # root:fsGroup; the puller is in the group


@dataclass(frozen=True, slots=True)
class Staging:
    """Init containers in the order they run, and the volumes they need."""

    init_containers: list[Object]
    volumes: list[Object]


def staging(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    options: RenderOptions,
) -> Staging:
    """Everything that runs before Triton does."""
    bakes: list[Object] = []
    requests: list[ModelRequest] = []
    mounts: list[Object] = [{"name": MODELS_VOLUME, "mountPath": names.MODEL_REPOSITORY}]
    # One volume per claim and per secret: a pod that names one claim twice may never start.
    volumes: dict[str, Object] = {MODELS_VOLUME: {"name": MODELS_VOLUME, "emptyDir": {}}}
    claims: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for index, model in enumerate(service.spec.models):
        uri = urlsplit(model.source.uri)
        source_dir = secret_dir = ""
        if uri.scheme == "image":
            source_dir = f"{BAKED}{index}"
            bakes.append(_bake(index, uri.path, source_dir, runtime))
        elif uri.scheme == "pvc":
            source_dir = f"{SOURCES}/{index}"
            volume = claims.setdefault(uri.netloc, f"source-{index}")
            claim = {"claimName": uri.netloc, "readOnly": True}
            volumes[volume] = {"name": volume, "persistentVolumeClaim": claim}
            mounts.append({"name": volume, "mountPath": source_dir, "readOnly": True})
        if model.source.secret_ref is not None:
            secret_dir = f"{SECRETS}/{index}"
            secret_name = model.source.secret_ref.name
            volume = secrets.setdefault(secret_name, f"secret-{index}")
            secret = {"secretName": secret_name, "defaultMode": SECRET_MODE}
            volumes[volume] = {"name": volume, "secret": secret}
            mounts.append({"name": volume, "mountPath": secret_dir, "readOnly": True})
        requests.append(_request(model, source_dir, secret_dir, runtime, options))
    fetch = _fetch(requests, mounts, options)
    return Staging([*bakes, fetch], list(volumes.values()))


def overrides(model: v1alpha1.Model) -> dict[str, Any]:
    """What the service sets of a model's configuration, as the puller is told."""
    return model.config.model_dump(by_alias=True, exclude_none=True) if model.config else {}


def _request(
    model: v1alpha1.Model,
    source_dir: str,
    secret_dir: str,
    runtime: v1alpha1.TritonRuntimeSpec,
    options: RenderOptions,
) -> ModelRequest:
    return ModelRequest(
        name=model.name,
        uri=model.source.uri,
        digest=model.source.digest or "",
        config=overrides(model),
        secret_dir=secret_dir,
        source_dir=source_dir,
        reject_after_us=options.queue_limit.wait_us if options.queue_limit else 0,
        stream_buckets=HISTOGRAMS.known_to(parse_release(runtime.release)),
    )


def _bake(index: int, path: str, target: str, runtime: v1alpha1.TritonRuntimeSpec) -> Object:
    """Copies a directory of the runtime's image; -L, so that no link leads out of the copy.

    -f, so that a second run (a new sandbox runs init containers again) replaces read-only files.
    """
    return {
        "name": f"{names.CONTAINER_BAKE}{index}",
        "image": runtime.image,
        "imagePullPolicy": runtime.image_pull_policy,
        "command": ["cp"],
        "args": ["-RLf", literal(f"{path.rstrip('/')}/."), target],
        "resources": _resources(),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": MODELS_VOLUME, "mountPath": names.MODEL_REPOSITORY}],
    }


def _fetch(requests: list[ModelRequest], mounts: list[Object], options: RenderOptions) -> Object:
    request = FetchRequest(
        models=tuple(requests),
        repository=names.MODEL_REPOSITORY,
        allowed_sources=options.allowed_sources,
        allow_private_hosts=options.allow_private_hosts,
        max_bytes=options.fetch_max_bytes,
    )
    return {
        "name": names.CONTAINER_FETCH,
        "image": options.fetch_image,
        "imagePullPolicy": options.fetch_image_pull_policy,
        "command": ["conch", "fetch"],
        "args": [literal(argument) for argument in request.arguments()],
        "resources": _resources(),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _resources() -> Object:
    return {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def literal(argument: str) -> str:
    """``argument`` as the kubelet must read it: it expands ``$(NAME)`` and folds ``$$``."""
    return argument.replace("$", "$$")
