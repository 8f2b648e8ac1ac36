{{/*
A hook's annotations, from (list EVENT WEIGHT). What succeeded goes; what failed stays to be read, until the next try.
*/}}
{{- define "lunette.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* The Job that runs `lunette-operator uninstall STEP` as account lunette-uninstall-STEP, from (list . STEP EVENT). */}}
{{- define "lunette.uninstall.job" -}}
{{- $root := index . 0 }}
{{- $step := index . 1 }}
{{- $event := index . 2 }}
{{- with $root -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: lunette-uninstall-{{ $step }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "lunette.labels" . | nindent 4 }}
  annotations:
    {{- include "lunette.hook" (list $event "0") | nindent 4 }}
    helm.sh/hook-output-log-policy: hook-failed
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 240
  template:
    metadata:
      labels:
        app.kubernetes.io/name: lunette-uninstall
        app.kubernetes.io/part-of: lunette
    spec:
      restartPolicy: Never
      serviceAccountName: lunette-uninstall-{{ $step }}
      {{- with include "lunette.pullSecrets" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      {{- with .Values.operator.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.operator.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ $step }}
          image: {{ include "lunette.image" (list . .Values.operator.image "") }}
          imagePullPolicy: {{ .Values.operator.image.pullPolicy }}
          args: [uninstall, {{ $step }}]
          env:
            - name: LUNETTE_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
          resources:
            requests:
              cpu: 10m
              memory: 16Mi
            limits:
              memory: 64Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
{{- end }}
{{- end }}
