{{- define "beta9.name" -}}beta9{{- end -}}

{{- define "beta9.selector" -}}
app.kubernetes.io/name: beta9
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "beta9.labels" -}}
app.kubernetes.io/name: beta9
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The stores that the genuine gateway connects to. */ -}}
{{- define "beta9.connects" -}}
{{- $hosts := list -}}
{{- with dig "database" "postgres" dict .Values.config -}}
{{- if .host -}}{{- $hosts = append $hosts (printf "%s:%v" .host (int .port)) -}}{{- end -}}
{{- end -}}
{{- $hosts = concat $hosts (dig "database" "redis" "addrs" list .Values.config) -}}
{{- join " " $hosts -}}
{{- end -}}

{{- /* Called with a list: the root context, the name, the image, the port, and the values of its one server. */ -}}
{{- define "beta9.database" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $values := index . 4 | default dict -}}
{{- $volume := $values.persistence | default dict -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "beta9.labels" $root | nindent 4 }}
spec:
  selector:
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    app.kubernetes.io/component: {{ $name }}
  ports:
  - name: tcp
    port: {{ index . 3 }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "beta9.labels" $root | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ $root.Release.Name }}
      app.kubernetes.io/component: {{ $name }}
  template:
    metadata:
      labels:
        app.kubernetes.io/instance: {{ $root.Release.Name }}
        app.kubernetes.io/component: {{ $name }}
    spec:
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - name: server
        image: {{ index . 2 }}
        ports:
        - name: tcp
          containerPort: {{ index . 3 }}
        volumeMounts:
        - name: data
          mountPath: /data
  volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with $volume.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ $volume.size | default "1Gi" }}
{{- end -}}
