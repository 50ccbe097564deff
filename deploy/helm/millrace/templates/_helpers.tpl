{{/* Names, labels, and what the pods of both roles share. */}}

{{- define "millrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "millrace.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "millrace.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "millrace.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ include "millrace.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "millrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "millrace.selector" . }}
{{- end -}}

{{- define "millrace.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "millrace.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A dict of `image` and `version` */}}
{{- define "millrace.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end -}}
{{- end -}}

{{- define "millrace.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "millrace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end -}}

{{/* A dict of `root` and `role`, a part of values.nats */}}
{{- define "millrace.env" -}}
{{- $nats := .root.Values.nats -}}
{{- $role := index $nats .role -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: MILLRACE_NATS_INBOX
  value: {{ $role.inbox | quote }}
{{- with $role.logsApi }}
- name: MILLRACE_NATS_LOGS_API
  value: {{ . | quote }}
{{- end }}
{{- if eq $nats.auth "user" }}
- name: MILLRACE_NATS_USER
  valueFrom: { secretKeyRef: { name: {{ $role.existingSecret | quote }}, key: user } }
- name: MILLRACE_NATS_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ $role.existingSecret | quote }}, key: password } }
{{- else if eq $nats.auth "token" }}
- name: MILLRACE_NATS_TOKEN
  valueFrom: { secretKeyRef: { name: {{ $role.existingSecret | quote }}, key: token } }
{{- else if eq $nats.auth "nkey" }}
- name: MILLRACE_NATS_NKEY
  value: /etc/millrace/nats/nkey
{{- else if eq $nats.auth "creds" }}
- name: MILLRACE_NATS_CREDS
  value: /etc/millrace/nats/creds
{{- end }}
{{- if $nats.tls.existingSecret }}
- name: MILLRACE_NATS_CA
  value: /etc/millrace/nats-tls/ca.crt
{{- if $nats.tls.clientCertificate }}
- name: MILLRACE_NATS_CERT
  value: /etc/millrace/nats-tls/tls.crt
- name: MILLRACE_NATS_KEY
  value: /etc/millrace/nats-tls/tls.key
{{- end }}
{{- end }}
{{- with .root.Values.store.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: { secretKeyRef: { name: {{ . | quote }}, key: AWS_ACCESS_KEY_ID } }
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: { secretKeyRef: { name: {{ . | quote }}, key: AWS_SECRET_ACCESS_KEY } }
{{- end }}
{{- if .root.Values.telemetry.otlpEndpoint }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .root.Release.Namespace }},k8s.pod.name=$(POD_NAME)
{{- end }}
{{- end -}}

{{/* A dict of `root` and `role` */}}
{{- define "millrace.mounts" -}}
{{- $nats := .root.Values.nats -}}
- { name: cache, mountPath: /cache }
- { name: tmp, mountPath: /tmp }
{{- if has $nats.auth (list "nkey" "creds") }}
- { name: nats, mountPath: /etc/millrace/nats, readOnly: true }
{{- end }}
{{- if $nats.tls.existingSecret }}
- { name: nats-tls, mountPath: /etc/millrace/nats-tls, readOnly: true }
{{- end }}
{{- end -}}

{{/* A dict of `root`, `role` and `sizeLimit` */}}
{{- define "millrace.volumes" -}}
{{- $nats := .root.Values.nats -}}
- name: cache
  emptyDir: { sizeLimit: {{ .sizeLimit | quote }} }
- name: tmp
  emptyDir: {}
{{- if has $nats.auth (list "nkey" "creds") }}
- name: nats
  secret:
    secretName: {{ (index $nats .role).existingSecret | quote }}
    defaultMode: 0440
    items: [{ key: {{ $nats.auth }}, path: {{ $nats.auth }} }]
{{- end }}
{{- if $nats.tls.existingSecret }}
- name: nats-tls
  secret: { secretName: {{ $nats.tls.existingSecret | quote }}, defaultMode: 0440 }
{{- end }}
{{- end -}}

{{/* Fails where a value is missing that only the whole can tell. */}}
{{- define "millrace.check" -}}
{{- $_ := required "nats.url is required: where NATS is, nats://host:port or tls://host:port" .Values.nats.url -}}
{{- $_ := required "store.url is required: s3://bucket/prefix" .Values.store.url -}}
{{- $_ := required "coordinator.http.tokensSecret is required: a Secret with tokens.json (see `millrace token`)" .Values.coordinator.http.tokensSecret -}}
{{- if ne .Values.nats.auth "none" -}}
{{- $_ := required "nats.coordinator.existingSecret is required with this nats.auth" .Values.nats.coordinator.existingSecret -}}
{{- $_ := required "nats.worker.existingSecret is required with this nats.auth" .Values.nats.worker.existingSecret -}}
{{- end -}}
{{- if .Values.serviceMonitor.enabled -}}
{{- $_ := required "serviceMonitor.tokenSecret is required: a Secret with a viewer's access token in the key token" .Values.serviceMonitor.tokenSecret -}}
{{- end -}}
{{- end -}}
