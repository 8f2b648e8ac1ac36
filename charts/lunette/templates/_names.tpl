{{/*
Names are fixed: Lunette's kinds are the cluster's, and a node has one target, so there is one Lunette in a cluster.
The operator's account and that of the agents, as the API server names whoever asks.
*/}}
{{- define "lunette.operator.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:lunette-operator
{{- end }}
{{- define "lunette.node.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:lunette-node
{{- end }}

{{/* What every object carries; `name` after it where there is a part to name. */}}
{{- define "lunette.labels" -}}
app.kubernetes.io/part-of: lunette
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The reference of an image, from (list . image): its digest goes before its tag, its registry before the global one. */}}
{{- define "lunette.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $registry := $image.registry | default $root.Values.global.imageRegistry }}
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
