"""What the fields of every kind are made of: their types, and what makes a schema Kubernetes'.

Decides what a duration, a quantity, a name, a label and a model's URI may look like, and what is
read of an object's metadata. Knows no kind.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """Reads what newer versions wrote, never changes after reading, speaks camelCase outside."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )


class ObjectMeta(ApiModel):
    """The part of metadata that Conch reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


def cel(rule: str, message: str) -> dict[str, str]:
    """One ``x-kubernetes-validations`` entry."""
    return {"rule": rule, "message": message}


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """CEL rules, as extra schema of a field or a model."""
    return {"x-kubernetes-validations": list(entries)}


def list_map(*keys: str) -> dict[str, Any]:
    """A list whose items are told apart by ``keys``, as extra schema: appliers merge by them."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_LABEL_KEY = rf"^({DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"

TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})$"
)

# Bounded digits: the longest duration still fits the nanoseconds of CEL and of the API server.
Duration = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?(us|ms|s|m|h)$", max_length=16)]
Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?(m|k|[MGTPE]|[KMGTPE]i)?$",
            "maxLength": 24,
            **rules(
                cel(
                    "type(self) == int ? int(self) > 0 "
                    ": quantity(string(self)).isGreaterThan(quantity('0'))",
                    "must be more than zero, e.g. 500m or 12Gi",
                )
            ),
        }
    ),
]
ObjectName = Annotated[str, Field(pattern=rf"^{DNS_NAME}$", min_length=1, max_length=253)]
ClassName = Annotated[str, Field(pattern=rf"^{DNS_NAME}$", min_length=1, max_length=63)]
LabelKey = Annotated[str, Field(pattern=_LABEL_KEY, max_length=317)]
LabelValue = Annotated[str, Field(pattern=_LABEL_VALUE, max_length=63)]
LabelValueNotEmpty = Annotated[str, Field(pattern=_LABEL_VALUE, min_length=1, max_length=63)]
# Keys have no schema of their own in a structural schema, hence the rule.
_LABEL_KEYS = rules(
    cel(
        "self.all(key, size(key) <= 317 && key.matches("
        "'^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        "every key must be a label name such as nvidia.com/gpu.product",
    )
)
LabelMap = Annotated[dict[str, LabelValue], Field(max_length=16, json_schema_extra=_LABEL_KEYS)]


def _uri(scheme: str, rest: str, message: str) -> dict[str, str]:
    return cel(f"!self.startsWith('{scheme}') || self.matches('^{scheme}{rest}$')", message)


# The pattern is what every URI has in common; what is wrong with one, the rules say in words.
_URI = r"^(s3://|https://|pvc://|image:///)[!-~]+$"
_URI_RULES = rules(
    cel(
        "['s3://', 'https://', 'pvc://', 'image:///'].exists(scheme, self.startsWith(scheme))",
        "source.uri: must start with s3://, https://, pvc:// or image:///",
    ),
    cel(
        "!self.matches('^[a-z0-9]+://[^/]*@')",
        "source.uri: must not hold credentials; put them into a Secret, name it in secretRef",
    ),
    cel("!self.matches('[[:space:]]')", "source.uri: must not hold spaces; write them as %20"),
    cel("!self.matches('(^|/)[.][.](/|$)')", "source.uri: must not hold a path segment '..'"),
    _uri(
        "s3://",
        "[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/.*)?",
        "source.uri: must name a bucket, as in s3://bucket/prefix",
    ),
    _uri(
        "https://",
        "([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?/.+",
        "source.uri: must name a host and an archive, as in https://host/model.tar.gz",
    ),
    _uri(
        "pvc://",
        "[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?",
        "source.uri: must name a PersistentVolumeClaim, as in pvc://claim/path",
    ),
)
ModelUri = Annotated[str, Field(pattern=_URI, max_length=1024, json_schema_extra=_URI_RULES)]
