{{/*
Names are fixed: Lunette's kinds are the cluster's, and a node has one target, so there is one Lunette in a cluster.
The accounts of operator, agents and CSI controller, as the API server names whoever asks.
*/}}
{{- define "lunette.operator.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:lunette-operator
{{- end }}
{{- define "lunette.node.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:lunette-node
{{- end }}
{{- define "lunette.csi.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:lunette-csi
{{- end }}

{{/* What every object carries; `name` after it where there is a part to name. */}}
{{- define "lunette.labels" -}}
app.kubernetes.io/part-of: lunette
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
The reference of an image, from (list . image registry): its digest goes before its tag, its own registry before the global
one, and that before the one given here.
*/}}
{{- define "lunette.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $registry := $image.registry | default $root.Values.global.imageRegistry | default (index . 2) }}
{{- $name := empty $registry | ternary $image.repository (printf "%s/%s" $registry $image.repository) }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name ($image.tag | default $root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* imagePullSecrets of a pod, where there are any. */}}
{{- define "lunette.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What pods here may reach: the API server, and names. */}}
{{- define "lunette.egress" -}}
# The API server, which has no labels to choose it by.
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
    {{- end }}
# Names.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
{{- end }}

{{/* The class of the volume that `helm test` tries; empty: there is none to try. */}}
{{- define "lunette.test.class" -}}
{{- if .Values.csi.enabled }}
{{- .Values.test.storageClass | default (get (first .Values.storageClasses | default dict) "name") }}
{{- end }}
{{- end }}
