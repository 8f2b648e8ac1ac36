{{/*
A sidecar's container, from (list . NAME VALUES PORT ARGUMENTS): a program of the Kubernetes project that calls the
driver's socket. It ends itself when it loses its Lease or the driver, and is started again; so no probe watches it.
*/}}
{{- define "lunette.csi.sidecar" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $values := index . 2 }}
{{- $port := index . 3 -}}
- name: {{ $name }}
  image: {{ include "lunette.image" (list $root $values.image "registry.k8s.io") }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args:
    - --csi-address=/csi/csi.sock
    - --http-endpoint=:{{ $port }}
    - --leader-election
    - --leader-election-namespace={{ $root.Release.Namespace }}
    # Its own defaults would keep fifty volumes at once waiting, and a failed one for five minutes.
    - --kube-api-qps=50
    - --kube-api-burst=100
    - --retry-interval-max=1m
    {{- range index . 4 }}
    - {{ . }}
    {{- end }}
    {{- range $values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  {{- if eq $name "csi-provisioner" }}
  env:
    # Who owns the capacities that it publishes.
    - name: NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
  {{- end }}
  ports:
    - name: {{ $name | trimPrefix "csi-" }}
      containerPort: {{ $port }}
  {{- with $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: socket
      mountPath: /csi
{{- end }}
