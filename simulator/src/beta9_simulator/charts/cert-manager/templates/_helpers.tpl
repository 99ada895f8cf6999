{{- define "cert-manager.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Called with a list: the root context and the component (controller, webhook, cainjector, startupapicheck). */ -}}
{{- define "cert-manager.selector" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
app.kubernetes.io/name: {{ eq $component "controller" | ternary "cert-manager" $component }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ $component }}
{{- end -}}

{{- define "cert-manager.labels" -}}
{{- $root := index . 0 -}}
{{ include "cert-manager.selector" . }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{- /* Called with a list: the root context, the component, its values and its arguments. */ -}}
{{- define "cert-manager.deployment" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
{{- $arguments := index . 3 -}}
{{- $name := include "cert-manager.fullname" $root -}}
{{- if ne $component "controller" -}}{{- $name = printf "%s-%s" $name $component -}}{{- end -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "cert-manager.labels" (list $root $component) | nindent 4 }}
  {{- with (dig "serviceAccount" "annotations" dict $values) }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "cert-manager.labels" (list $root $component) | nindent 4 }}
spec:
  replicas: {{ $values.replicaCount }}
  selector:
    matchLabels: {{- include "cert-manager.selector" (list $root $component) | nindent 6 }}
  template:
    metadata:
      labels: {{- include "cert-manager.labels" (list $root $component) | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - name: cert-manager-{{ $component }}
        image: {{ $values.image.repository }}:{{ $values.image.tag | default $root.Chart.AppVersion }}
        args: {{- toYaml (concat $arguments ($values.extraArgs | default list)) | nindent 8 }}
        {{- with $values.resources }}
        resources: {{- toYaml . | nindent 10 }}
        {{- end }}
{{- end -}}
