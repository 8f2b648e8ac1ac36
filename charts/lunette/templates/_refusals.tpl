{{/* What no schema can refuse: agents in a namespace whose Pod Security level would keep them out in silence. */}}
{{- define "lunette.refusals" -}}
{{- $live := lookup "v1" "Namespace" "" .Release.Namespace }}
{{- $level := dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "privileged" $live }}
{{- if and (ne $level "privileged") (not .Values.namespace.create) }}
{{- fail (printf "namespace %s enforces the Pod Security level %s, under which no agent could start: run `kubectl label --overwrite namespace %s pod-security.kubernetes.io/enforce=privileged` first, or choose another namespace" .Release.Namespace $level .Release.Namespace) }}
{{- end }}
{{- end }}
