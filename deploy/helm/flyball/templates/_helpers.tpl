{{- define "flyball.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "flyball" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-flyball" (.Release.Name | trunc 32 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What objects are found by. A selector can't be changed later, so nothing in it comes from values. */}}
{{- define "flyball.selector" -}}
app.kubernetes.io/name: flyball
{{- if not .Values.plainLabels }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- end -}}

{{- define "flyball.labels" -}}
{{ include "flyball.selector" . }}
app.kubernetes.io/part-of: flyball
{{- if not .Values.plainLabels }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flyball.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The controllers of this release, each with its name and the namespace that it looks at; empty: all. */}}
{{- define "flyball.controllers" -}}
{{- $name := include "flyball.fullname" . -}}
{{- $all := list -}}
{{- range .Values.watchNamespaces -}}
{{- $one := printf "%s-%s" $name . -}}
{{- if gt (len $one) 63 -}}
{{- /* Two that begin alike must not become one. */ -}}
{{- $one = printf "%s-%s" (trunc 54 $one | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- end -}}
{{- $all = append $all (dict "name" $one "scope" .) -}}
{{- else -}}
{{- $all = append $all (dict "name" $name "scope" "") -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* Who the controllers are, as a list in CEL. */}}
{{- define "flyball.users" -}}
{{- $release := .Release.Namespace -}}
{{- $users := list -}}
{{- range (include "flyball.controllers" . | fromJsonArray) -}}
{{- $users = append $users (printf "'system:serviceaccount:%s:%s'" $release .name) -}}
{{- end -}}
{{- join ", " $users -}}
{{- end -}}

{{- define "flyball.isController" -}}
{{- if .Values.watchNamespaces -}}
request.userInfo.username in [{{ include "flyball.users" . }}]
{{- else -}}
request.userInfo.username == {{ include "flyball.users" . }}
{{- end -}}
{{- end -}}

{{/* Where the admission policies hold: a controller of another release is none of their business. */}}
{{- define "flyball.inScope" -}}
{{- with .Values.watchNamespaces -}}
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ toJson . }}
{{- end -}}
{{- end -}}

{{/* What a controller may do in the namespaces that it looks at, and nothing more. */}}
{{- define "flyball.rules" -}}
{{- $write := not .Values.observeOnly -}}
{{- $levers := .Values.rbac.levers -}}
{{- $everywhere := empty .Values.watchNamespaces -}}
# What people ask for, and what is reported to them.
- apiGroups: [flyball.dev]
  resources: [feedbackpolicies{{ if $everywhere }}, metricsources{{ end }}]
  verbs: [get, list, watch]
- apiGroups: [flyball.dev]
  resources: [feedbackpolicies/status{{ if $everywhere }}, metricsources/status{{ end }}]
  verbs: [update, patch]
# The journal. Closed Changes beyond the number that is kept are deleted.
- apiGroups: [flyball.dev]
  resources: [changes]
  verbs: [get, list, watch, create, delete]
- apiGroups: [flyball.dev]
  resources: [changes/status]
  verbs: [update]
# The targets. `patch` writes the stamp and the lines of a runtime's knobs. Another kind is named in rbac.scaleTargets.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch{{ if and $write (or $levers.replicas $levers.runtime) }}, patch{{ end }}]
{{- if $levers.replicas }}
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get{{ if $write }}, update{{ end }}]
{{- end }}
{{- range .Values.rbac.scaleTargets }}
- apiGroups: [{{ .group }}]
  resources: [{{ .resource }}]
  verbs: [get, list, watch{{ if and $write (or $levers.replicas $levers.runtime) }}, patch{{ end }}]
{{- if $levers.replicas }}
- apiGroups: [{{ .group }}]
  resources: [{{ .resource }}/scale]
  verbs: [get{{ if $write }}, update{{ end }}]
{{- end }}
{{- end }}
{{- if $levers.weights }}
# The routes whose weights are moved. `patch` writes the stamp and the weights; an admission policy holds it to those.
{{- range (include "flyball.routes" . | fromJsonArray) }}
- apiGroups: [{{ .group }}]
  resources: [{{ join ", " .resources }}]
  verbs: [get, list, watch{{ if $write }}, patch{{ end }}]
{{- end }}
# Whether a backend that is out has ready endpoints again.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
{{- end }}
# Who else moves the replicas.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, watch]
# The rules that policies refer to. Without this right such a policy decides nothing, and says so.
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules]
  verbs: [get, list, watch]
# The pods of a target, by ownerReferences, and what they use. `patch` writes the lines for the agents in them, words for
# applications, and the stamp of one that is relieved; an admission policy holds it to those.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch{{ if and $write (or $levers.runtime $levers.relief) }}, patch{{ end }}]
{{- if and $write $levers.relief }}
# What relieves a pod that runs out of memory: more of it in place, and an eviction. An admission policy holds a resize to more
# memory.
- apiGroups: [""]
  resources: [pods/resize]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- end }}
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
# Room for more of them, and how few are too few. Without one of these the controller goes on, and says what it does not know.
{{- if $everywhere }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
# Whether a namespace was paused.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get{{ if $everywhere }}, list, watch{{ end }}]
- apiGroups: [""]
  resources: [resourcequotas, limitranges]
  verbs: [list]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if $everywhere }}
# Whether the definitions are installed and current.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [feedbackpolicies.flyball.dev, metricsources.flyball.dev, changes.flyball.dev]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* The kinds of routes that may be moved. */}}
{{- define "flyball.routes" -}}
{{- $on := .Values.rbac.providers -}}
{{- $all := list -}}
{{- if $on.gatewayAPI }}{{ $all = append $all (dict "group" "gateway.networking.k8s.io" "resources" (list "httproutes" "grpcroutes")) }}{{ end -}}
{{- if $on.traefik }}{{ $all = append $all (dict "group" "traefik.io" "resources" (list "traefikservices")) }}{{ end -}}
{{- if $on.istio }}{{ $all = append $all (dict "group" "networking.istio.io" "resources" (list "virtualservices")) }}{{ end -}}
{{- if $on.contour }}{{ $all = append $all (dict "group" "projectcontour.io" "resources" (list "httpproxies")) }}{{ end -}}
{{- if $on.linkerd }}{{ $all = append $all (dict "group" "policy.linkerd.io" "resources" (list "httproutes")) }}{{ end -}}
{{- if $on.ingressNginx }}{{ $all = append $all (dict "group" "networking.k8s.io" "resources" (list "ingresses")) }}{{ end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* The names of the leases, as many as there are controllers. */}}
{{- define "flyball.leases" -}}
{{- $names := list -}}
{{- range (include "flyball.controllers" . | fromJsonArray) -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- join ", " $names -}}
{{- end -}}

{{/* The pods of one controller. */}}
{{- define "flyball.selectorOf" -}}
{{- $root := index . 0 -}}
{{- $controller := index . 1 -}}
{{ include "flyball.selector" $root }}
{{- with $controller.scope }}
flyball.dev/watches: {{ . }}
{{- end }}
{{- end -}}

{{/* The spec of a pod that runs one command with the controller's rights, and ends. */}}
{{- define "flyball.podOnce" -}}
{{- $root := .root -}}
serviceAccountName: {{ .controller.name }}
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
{{- with .deadline }}
activeDeadlineSeconds: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
- name: {{ index .args 0 }}
  image: {{ include "flyball.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args:
  {{- range .args }}
  - {{ . }}
  {{- end }}
  resources:
    {{- toYaml $root.Values.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  {{- with .mounts }}
  volumeMounts:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .volumes }}
volumes:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The Secret with the server's certificate; empty: it serves plain HTTP. */}}
{{- define "flyball.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- .Values.tls.secretName | default (printf "%s-tls" (include "flyball.fullname" .)) -}}
{{- else -}}
{{- .Values.tls.secretName -}}
{{- end -}}
{{- end -}}

{{/* The name by which the server is known. */}}
{{- define "flyball.serverName" -}}
{{ include "flyball.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* How a monitor asks a server that shows a certificate. */}}
{{- define "flyball.scrapedByTLS" -}}
scheme: https
tlsConfig:
  serverName: {{ include "flyball.serverName" . }}
  {{- with .Values.tls.caKey }}
  ca:
    secret:
      name: {{ include "flyball.tlsSecret" $ }}
      key: {{ . }}
  {{- end }}
{{- with .Values.metrics.tokenSecret }}
authorization:
  credentials:
    name: {{ . }}
    key: {{ $.Values.metrics.tokenKey }}
{{- end }}
{{- end -}}
