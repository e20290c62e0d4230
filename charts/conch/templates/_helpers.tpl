{{/* A key may be missing at any depth: helm upgrade --reuse-values brings the values of an older
chart. So every read is (.Values.a).b, and whatever may be absent has a default here. */}}

{{- define "conch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "conch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "conch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "conch.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped names carry the namespace: two releases may share a name. */}}
{{- define "conch.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "conch.fullname" .) -}}
{{- end -}}

{{- define "conch.ownLabels" -}}
app.kubernetes.io/name: {{ include "conch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "conch.selectorLabels" -}}
{{ include "conch.ownLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "conch.activatorSelectorLabels" -}}
{{ include "conch.ownLabels" . }}
app.kubernetes.io/component: activator
{{- end -}}

{{- define "conch.labels" -}}
{{ include "conch.selectorLabels" . }}
{{ include "conch.commonLabels" . }}
{{- end -}}

{{- define "conch.activatorLabels" -}}
{{ include "conch.activatorSelectorLabels" . }}
{{ include "conch.commonLabels" . }}
{{- end -}}

{{- define "conch.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/part-of: conch
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "conch.serviceAccountName" -}}
{{- default (include "conch.fullname" .) (.Values.serviceAccount).name -}}
{{- end -}}

{{- define "conch.activatorName" -}}
{{- printf "%s-activator" (include "conch.fullname" .) -}}
{{- end -}}

{{/* One of its own, which may only read EndpointSlices; with accounts made elsewhere, that one. */}}
{{- define "conch.activatorAccountName" -}}
{{- if include "conch.on" (.Values.serviceAccount).create -}}
{{- include "conch.activatorName" . -}}
{{- else -}}
{{- include "conch.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{/* A map as a setting reads it: NAME=VALUE,NAME=VALUE. */}}
{{- define "conch.pairs" -}}
{{- $pairs := list -}}
{{- range $name, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%v" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* A number that may be 0, or absent. */}}
{{- define "conch.activatorReplicas" -}}
{{- $given := (.Values.activator).replicas -}}
{{- if kindIs "invalid" $given }}2{{ else }}{{ int $given }}{{ end -}}
{{- end -}}

{{- define "conch.activatorPorts" -}}
- {name: CONCH_ACTIVATOR_FIRST_PORT, value: {{ int (default 20000 (.Values.activator).firstPort) | quote }}}
- {name: CONCH_ACTIVATOR_PORTS, value: {{ int (default 2000 (.Values.activator).ports) | quote }}}
{{- end -}}

{{- define "conch.image" -}}
{{- $repository := default "ghcr.io/conch-dev/conch" (.Values.image).repository -}}
{{- if (.Values.image).digest -}}
{{- printf "%s@%s" $repository (.Values.image).digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion (.Values.image).tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" unless the value is an explicit false: for switches that are on by default. */}}
{{- define "conch.on" -}}
{{- if ne (toString .) "false" }}true{{ end -}}
{{- end -}}

{{/* What the operator does with namespaced objects: once per watched namespace, or cluster-wide. */}}
{{- define "conch.rules" -}}
- apiGroups: [conch.dev]
  resources: [inferenceservices]
  verbs: [get, list, watch]
- apiGroups: [conch.dev]
  resources: [inferenceservices/status]
  verbs: [patch]
- apiGroups: [conch.dev]
  resources: [inferenceservices/finalizers]
  verbs: [update] # owner references that block deletion, where the admission plugin checks it
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete] # the activator's way in and out of the path
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch] # tells when somebody else scales what Conch scales
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, watch] # tells transitions; reads why a volume is not mounted
{{- end -}}

{{/* What the activator does: it sees which services go to zero, and where their servers are. */}}
{{- define "conch.activatorRules" -}}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}
