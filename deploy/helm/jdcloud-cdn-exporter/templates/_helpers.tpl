{{/* Names, labels and what several manifests share. */}}

{{- define "jdcloud.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* 50 characters: a StatefulSet's pods carry its name and 11 more in a label of at most 63. */}}
{{- define "jdcloud.fullname" -}}
{{- $name := include "jdcloud.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "jdcloud.selector" -}}
app.kubernetes.io/name: {{ include "jdcloud.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jdcloud.labels" -}}
{{ include "jdcloud.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "jdcloud.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* What the template knows of the web configuration; "true" or nothing. */}}
{{- define "jdcloud.web" -}}
{{- if or .Values.web.config .Values.web.existingSecret -}}true{{- end -}}
{{- end }}
{{- define "jdcloud.tls" -}}
{{- if or .Values.web.tls .Values.web.config.tls_server_config -}}true{{- end -}}
{{- end }}
{{/* A probe has no password and no certificate of a client. */}}
{{- define "jdcloud.auth" -}}
{{- $tls := .Values.web.config.tls_server_config | default dict -}}
{{- if or .Values.web.auth .Values.web.config.basic_auth_users $tls.client_ca_file $tls.client_auth_type -}}true{{- end -}}
{{- end }}

{{/* Values that are good by themselves and not together, each with what to do. The schema has the rest. */}}
{{- define "jdcloud.refuse" -}}
{{- if and (gt (int .Values.shards) 1) (gt (int .Values.replicas) 1) -}}
{{- fail "shards and replicas: one of the two must be 1; for every shard twice, install a second release" -}}
{{- end -}}
{{- if and .Values.demo (gt (int .Values.shards) 1) -}}
{{- fail "shards: the demo is one exporter; set shards to 1, or demo to false" -}}
{{- end -}}
{{- if and .Values.existingSecret .Values.secretKeys -}}
{{- fail "existingSecret and secretKeys: only one of them can hold the keys; remove the other" -}}
{{- end -}}
{{- if and .Values.web.existingSecret .Values.web.config -}}
{{- fail "web.existingSecret and web.config: only one of them can hold the web configuration; remove the other" -}}
{{- end -}}
{{- if and (or .Values.web.tls .Values.web.auth .Values.web.tlsSecret) (not (include "jdcloud.web" .)) -}}
{{- fail "web: tls, auth and tlsSecret say something about a web configuration, and there is none; set web.config or web.existingSecret" -}}
{{- end -}}
{{- end }}

{{/*
The exporter's configuration. Accounts without a secret of their own are told where theirs is mounted, and shards are
told of each other; what cannot work is refused here rather than by a pod that does not start.
*/}}
{{- define "jdcloud.config" -}}
{{- $values := .Values -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.accounts -}}
{{- fail "config.accounts: list at least one account with its domains; or set demo to true, which needs none" -}}
{{- end -}}
{{- $mounted := dict -}}
{{- range $account := $config.accounts -}}
{{- $name := $account.name | default $account.username -}}
{{- if hasKey $account "secret_key" -}}
{{- fail (printf "config.accounts: the secret_key of %s would stand in a ConfigMap, for everybody to read; use existingSecret or secretKeys.%s" $name $name) -}}
{{- end -}}
{{- if not (or $account.secret_key_file $account.secret_key_env) -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+$" $name) -}}
{{- fail (printf "config.accounts: a Secret can have no key called %q; give the account a name of letters, digits, '-', '_' and '.', or a secret_key_file" $name) -}}
{{- end -}}
{{- if not (or $values.existingSecret (hasKey $values.secretKeys $name)) -}}
{{- fail (printf "config.accounts: no secret key for %s; set existingSecret to a Secret that has the key %s, or secretKeys.%s" $name $name $name) -}}
{{- end -}}
{{- $_ := set $mounted $name true -}}
{{- $_ := set $account "secret_key_file" (printf "/run/secrets/jdcloud-cdn/%s" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $values.secretKeys -}}
{{- if not (hasKey $mounted $name) -}}
{{- fail (printf "secretKeys.%s: no account without a secret_key_file has this name; the names are %s" $name (keys $mounted | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.shards) 1 -}}
{{- $fullname := include "jdcloud.fullname" . -}}
{{- $shards := list -}}
{{- range $ordinal := until (int .Values.shards) -}}
{{- $shards = append $shards (printf "%s-%d.%s.%s.svc:10530" $fullname $ordinal $fullname $.Release.Namespace) -}}
{{- end -}}
{{- $_ := set $config "shards" $shards -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* The names of the Secrets in use; nothing where there is none. */}}
{{- define "jdcloud.secretName" -}}
{{- if .Values.existingSecret -}}
{{- .Values.existingSecret -}}
{{- else if .Values.secretKeys -}}
{{- include "jdcloud.fullname" . -}}
{{- end -}}
{{- end }}
{{- define "jdcloud.webSecretName" -}}
{{- .Values.web.existingSecret | default (printf "%s-web" (include "jdcloud.fullname" .)) -}}
{{- end }}

{{- define "jdcloud.environment" -}}
# Gives freed memory back to the system early: about 2 MB less resident.
- name: MALLOC_TRIM_THRESHOLD_
  value: "131072"
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Folders, not single files, so that the pod sees a change of the ConfigMap or Secret. */}}
{{- define "jdcloud.mounts" -}}
{{- if not .Values.demo }}
- name: config
  mountPath: /etc/jdcloud-cdn-exporter
  readOnly: true
{{- if include "jdcloud.secretName" . }}
- name: secret-keys
  mountPath: /run/secrets/jdcloud-cdn
  readOnly: true
{{- end }}
{{- end }}
{{- if include "jdcloud.web" . }}
- name: web
  mountPath: /run/web/config
  readOnly: true
{{- end }}
{{- if .Values.web.tlsSecret }}
- name: tls
  mountPath: /run/web/tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "jdcloud.volumes" -}}
{{- if not .Values.demo }}
- name: config
  configMap:
    name: {{ include "jdcloud.fullname" . }}
{{- with include "jdcloud.secretName" . }}
- name: secret-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- if include "jdcloud.web" . }}
- name: web
  secret:
    secretName: {{ include "jdcloud.webSecretName" . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.web.tlsSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the exporter's pods and the test's have in common. */}}
{{- define "jdcloud.pod" -}}
automountServiceAccountToken: false
# Without the environment that Kubernetes makes of the namespace's Services: our own variables begin alike.
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "jdcloud.volumes" . | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "jdcloud.container" -}}
image: {{ include "jdcloud.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "jdcloud.mounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Called with a dict of root and path. */}}
{{- define "jdcloud.probe" -}}
{{- if include "jdcloud.auth" .root -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if include "jdcloud.tls" .root }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}
