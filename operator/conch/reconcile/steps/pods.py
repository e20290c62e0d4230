"""What is wrong with a pod, in the words of whoever knows: kubelet, scheduler, fetcher, Triton."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from conch.api import names
from conch.api.conditions import Reason
from conch.kube.views import ContainerStatus, Pod, Terminated

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_SECRET = re.compile(r'secrets? "([^"]+)" not found')
_TRITON_ERROR = re.compile(r"^(?:E\d{4} \S+ \d+ \S+\] |error: )(.*)$", re.M)
_REASONS = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod does not serve; ``stuck`` when waiting alone will not help."""

    reason: Reason
    message: str
    stuck: bool


def diagnose(pod: Pod, mount_problem: str = "", model_problem: str = "") -> Problem | None:
    """The pod's problem, None when it is fine or simply still starting."""
    if pod.status.phase == "Failed":
        why = pod.status.message or pod.status.reason or "it ended"
        return Problem(Reason.EVICTED, f"Pod {pod.metadata.name}: {_tidy(why)}", stuck=False)
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return Problem(
            Reason.UNSCHEDULABLE, f"kube-scheduler: {_tidy(scheduled.message)}", stuck=False
        )
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        problem = _container(status)
        if problem is not None:
            return problem
    if pod.ready:
        return None
    if mount_problem:
        return _mount(mount_problem)
    if model_problem:
        return Problem(
            Reason.MODEL_INVALID,
            f"Triton: {_tidy(model_problem)} Correct the model in its repository.",
            stuck=True,
        )
    return None


def _container(status: ContainerStatus) -> Problem | None:
    waiting = status.state.waiting
    if waiting is not None and waiting.reason in _PULL:
        return Problem(
            Reason.IMAGE_PULL,
            f"Image {status.image} cannot be pulled: {_tidy(waiting.message or waiting.reason)} "
            "Correct the image, or give the runtime imagePullSecrets.",
            stuck=True,
        )
    if waiting is not None and waiting.reason in _CONFIG:
        return Problem(
            Reason.CONFIG_ERROR,
            f"Container {status.name} cannot start: {_tidy(waiting.message or waiting.reason)}",
            stuck=True,
        )
    ended = status.state.terminated or status.last_state.terminated
    if ended is None or ended.exit_code == 0 or status.ready:
        return None
    # A container that was started again still has the problem it ended with, until it is ready.
    return _ended(status.name, ended)


def _ended(container: str, ended: Terminated) -> Problem:
    if ended.reason == "OOMKilled" and container == names.CONTAINER_FETCH:
        return Problem(  # its limit is ours: no honest model needs more to be unpacked
            Reason.MODEL_INVALID,
            "A model needed more memory to be unpacked than the puller has: it holds too many "
            "files, or absurd headers; pack it anew.",
            stuck=True,
        )
    if ended.reason == "OOMKilled":
        return Problem(
            Reason.OUT_OF_MEMORY,
            f"Container {container} was killed for using more memory than its limit; "
            "raise spec.resources.memory.",
            stuck=True,
        )
    if container.startswith(names.CONTAINER_BAKE):
        return Problem(
            Reason.MODEL_NOT_FOUND,
            f"The runtime's image does not have the model: {_tidy(ended.message)} "
            "Correct source.uri, or use an image that has it.",
            stuck=True,
        )
    # Of the puller alone: what a model prints must not look like a judgement of ours.
    told = _fetcher(ended.message) if container == names.CONTAINER_FETCH else None
    if told is not None:
        return told
    text = ended.message.strip()
    last = _triton_words(text) or (text.splitlines()[-1] if text else "no message")
    return Problem(
        Reason.CRASH_LOOP,
        f"Container {container} ends with code {ended.exit_code}: {_tidy(last)}",
        stuck=True,
    )


def _fetcher(message: str) -> Problem | None:
    """The puller's own report, one JSON object in the termination message."""
    try:
        report = json.loads(message)
        reason = _REASONS[report["reason"]]
        return Problem(reason, _tidy(str(report["message"])), stuck=True)
    except (ValueError, KeyError, TypeError):
        return None


def _triton_words(text: str) -> str:
    """The last error line Triton logged, without its time stamp."""
    lines = [str(line) for line in _TRITON_ERROR.findall(text) if line.strip()]
    return lines[-1].strip() if lines else ""


def _mount(message: str) -> Problem:
    secret = _SECRET.search(message)
    if secret is not None:
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"Secret {secret.group(1)} does not exist in this namespace; create it, or correct "
            "source.secretRef.",
            stuck=True,
        )
    return Problem(Reason.CONFIG_ERROR, f"A volume cannot be mounted: {_tidy(message)}", stuck=True)


def _tidy(text: str) -> str:
    """One line of bounded length that ends like a sentence."""
    line = " ".join(text.split())[:600]
    return line if line.endswith((".", "!", "?")) else line + "."
