{{/* Prefix of all object names. */}}
{{- define "tidemark.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidemark.secret" -}}
{{- .Values.secrets.existing | default (include "tidemark.name" .) -}}
{{- end -}}

{{/* Selector labels of a service. Takes a dict of root and service. */}}
{{- define "tidemark.selector" -}}
app.kubernetes.io/name: tidemark
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end -}}

{{- define "tidemark.labels" -}}
{{ include "tidemark.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "tidemark.webhookUrl" -}}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecret "") -}}
{{- $host := .Values.ingress.hosts.metrics | default (printf "%s-gateway:8080" (include "tidemark.name" .)) -}}
{{- .Values.query.webhookUrl | default (printf "%s://%s/api/webhooks/custom" $scheme $host) -}}
{{- end -}}

{{- define "tidemark.publicUrl" -}}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecret "") -}}
{{- $host := .Values.ingress.hosts.page | default (printf "%s-query:8090" (include "tidemark.name" .)) -}}
{{- .Values.query.publicUrl | default (printf "%s://%s" $scheme $host) -}}
{{- end -}}

{{/* An environment variable from the Secret. Takes a dict of root and name. */}}
{{- define "tidemark.fromSecret" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ include "tidemark.secret" .root }}, key: {{ .name }}}}
{{- end -}}

{{/*
Pod template of a service. Takes a dict of root, service, values (of the service), binary, ops (operations port), port
(client port, or 0), clickhouse (whether the service uses ClickHouse), secrets (names in addition to the shared ones).
*/}}
{{- define "tidemark.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "tidemark.labels" . | nindent 4 }}
  annotations:
    # A change of the settings changes this hash, which starts a rollout.
    tidemark/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
    {{- with .values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidemark.name" $root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $values.shutdown.graceSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidemark.selector" . | nindent 10 }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidemark.selector" . | nindent 10 }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .service }}
      image: {{ printf "%s%s:%s" $values.image.repository .binary ($values.image.tag | default $root.Chart.AppVersion) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      ports:
        {{- if .port }}
        - {name: http, containerPort: {{ .port }}}
        {{- end }}
        - {name: ops, containerPort: {{ .ops }}}
      envFrom:
        - configMapRef: {name: {{ include "tidemark.name" $root }}}
      env:
        - {name: OPS_LISTEN, value: "0.0.0.0:{{ .ops }}"}
        {{- if .port }}
        - {name: LISTEN, value: "0.0.0.0:{{ .port }}"}
        {{- end }}
        {{- include "tidemark.fromSecret" (dict "root" $root "name" "REDIS_URL") | nindent 8 }}
        {{- if hasPrefix "sasl" $values.kafka.security }}
        {{- include "tidemark.fromSecret" (dict "root" $root "name" "KAFKA_PASSWORD") | nindent 8 }}
        {{- end }}
        {{- if and .clickhouse $values.clickhouse.user }}
        {{- include "tidemark.fromSecret" (dict "root" $root "name" "CLICKHOUSE_PASSWORD") | nindent 8 }}
        {{- end }}
        {{- range .secrets }}
        {{- include "tidemark.fromSecret" (dict "root" $root "name" .) | nindent 8 }}
        {{- end }}
        {{- range $name, $value := .values.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      # Allows two minutes for startup.
      startupProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      {{- if .port }}
      # Load balancers need time to remove the pod before it stops accepting requests.
      lifecycle:
        preStop: {sleep: {seconds: {{ $values.shutdown.delaySeconds }}}}
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      {{- if or $values.caConfigMap $values.kafka.clientCertificateSecret }}
      volumeMounts:
        {{- if $values.caConfigMap }}
        - {name: authorities, mountPath: /etc/tidemark/ca, readOnly: true}
        {{- end }}
        {{- if $values.kafka.clientCertificateSecret }}
        - {name: kafka-certificate, mountPath: /etc/tidemark/kafka, readOnly: true}
        {{- end }}
      {{- end }}
  {{- if or $values.caConfigMap $values.kafka.clientCertificateSecret }}
  volumes:
    {{- if $values.caConfigMap }}
    - name: authorities
      configMap: {name: {{ $values.caConfigMap }}, items: [{key: ca.crt, path: ca.crt}]}
    {{- end }}
    {{- if $values.kafka.clientCertificateSecret }}
    - name: kafka-certificate
      secret: {secretName: {{ $values.kafka.clientCertificateSecret }}, defaultMode: 0440}
    {{- end }}
  {{- end }}
{{- end -}}
