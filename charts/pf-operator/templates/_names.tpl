{{- define "pf-operator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "pf-operator.selector" -}}
app.kubernetes.io/name: pf-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pf-operator.labels" -}}
{{ include "pf-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pf-operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "pf-operator.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pf-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What Prometheus' operator calls the targets of the two monitors, for the alerts. */}}
{{- define "pf-operator.operatorTarget" -}}
job="{{ include "pf-operator.name" . }}-metrics", namespace="{{ .Release.Namespace }}"
{{- end }}

{{- define "pf-operator.workerTarget" -}}
job="{{ .Release.Namespace }}/{{ include "pf-operator.name" . }}-workers"
{{- end }}
