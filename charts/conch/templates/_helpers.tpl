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

{{- define "conch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "conch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "conch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "conch.selectorLabels" . }}
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
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, watch] # tells transitions; reads why a volume is not mounted
{{- end -}}
