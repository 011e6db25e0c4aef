package metricsstub

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	custom "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	external "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// defaultWindow is the span of a usage that names none: about what a metrics
// server has with its usual settings.
const defaultWindow = 30 * time.Second

// groups are the APIs that are served, each with its resources. A list must have
// an entry, or clients of discovery complain. Of custom and external metrics it
// names none in particular: the autoscaler asks by name, and a list that changed
// with each value would be fetched anew all the time.
var groups = map[schema.GroupVersion]metav1.APIResource{
	metrics.SchemeGroupVersion: {
		Name: "pods", SingularName: "pod", Namespaced: true, Kind: "PodMetrics", Verbs: metav1.Verbs{"get", "list"},
	},
	custom.SchemeGroupVersion: {
		Name: "custommetrics", Namespaced: true, Kind: "MetricValueList", Verbs: metav1.Verbs{"get"},
	},
	external.SchemeGroupVersion: {
		Name: "externalmetrics", Namespaced: true, Kind: "ExternalMetricValueList", Verbs: metav1.Verbs{"get"},
	},
}

// api answers from a store. What is not set it answers as the real servers do: a
// list without entries of what is known but selects nothing, 404 for a metric
// or a pod that is not known.
type api struct {
	store *Store
	now   func() time.Time
}

// Handler serves the aggregated APIs. Who asks has been authorized by
// kube-apiserver, as with every such server.
func Handler(store *Store, now func() time.Time) http.Handler {
	a := &api{store: store, now: now}
	mux := http.NewServeMux()
	for version, resource := range groups {
		list := metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version.String(),
			APIResources: []metav1.APIResource{resource},
		}
		mux.HandleFunc("GET /apis/"+version.String(), func(out http.ResponseWriter, _ *http.Request) {
			answer(out, http.StatusOK, list)
		})
	}
	serve := func(version schema.GroupVersion, path string, ask func(*http.Request) (any, error)) {
		mux.HandleFunc("GET /apis/"+version.String()+"/namespaces/{namespace}/"+path, respond(ask))
	}
	serve(metrics.SchemeGroupVersion, "pods", a.podList)
	serve(metrics.SchemeGroupVersion, "pods/{name}", a.pod)
	serve(custom.SchemeGroupVersion, "pods/{name}/{metric}", a.customOfPods)
	serve(custom.SchemeGroupVersion, "{resource}/{name}/{metric}", a.customOfObject)
	serve(custom.SchemeGroupVersion, "metrics/{metric}", a.customOfNamespace)
	serve(external.SchemeGroupVersion, "{metric}", a.externalList)
	// Also /apis and /openapi: kube-apiserver then asks for each list above, and
	// goes without a schema.
	mux.HandleFunc("/", respond(func(request *http.Request) (any, error) {
		return nil, notFound("there is nothing at %s", request.URL.Path)
	}))
	return mux
}

func respond(ask func(*http.Request) (any, error)) http.HandlerFunc {
	return func(out http.ResponseWriter, request *http.Request) {
		body, err := ask(request)
		if err != nil {
			status := apierrors.NewInternalError(err).Status()
			if known, ok := err.(apierrors.APIStatus); ok {
				status = known.Status()
			}
			status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			answer(out, int(status.Code), status)
			return
		}
		answer(out, http.StatusOK, body)
	}
}

// notFound is the Status with which adapters say that they have no such metric.
func notFound(format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: fmt.Sprintf(format, args...),
	}}
}

// selector reads a selector out of a query.
func selector(request *http.Request, parameter string) (labels.Selector, error) {
	parsed, err := labels.Parse(request.URL.Query().Get(parameter))
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s: %v", parameter, err))
	}
	return parsed, nil
}

func (a *api) values(request *http.Request) Values {
	values, _ := a.store.Get(request.PathValue("namespace"))
	return values
}

func (a *api) podList(request *http.Request) (any, error) {
	selected, err := selector(request, "labelSelector")
	if err != nil {
		return nil, err
	}
	list := metrics.PodMetricsList{
		TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: metrics.SchemeGroupVersion.String()},
		Items:    []metrics.PodMetrics{},
	}
	pods := a.values(request).Pods
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		if pod := pods[name]; pod.Containers != nil && selected.Matches(labels.Set(pod.Labels)) {
			list.Items = append(list.Items, a.usage(request.PathValue("namespace"), name, pod))
		}
	}
	return list, nil
}

func (a *api) pod(request *http.Request) (any, error) {
	name := request.PathValue("name")
	pod := a.values(request).Pods[name]
	if pod.Containers == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: metrics.GroupName, Resource: "pods"}, name)
	}
	return a.usage(request.PathValue("namespace"), name, pod), nil
}

func (a *api) usage(namespace, name string, pod Pod) metrics.PodMetrics {
	found := metrics.PodMetrics{
		TypeMeta:   metav1.TypeMeta{Kind: "PodMetrics", APIVersion: metrics.SchemeGroupVersion.String()},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: pod.Labels},
		Timestamp:  metav1.NewTime(a.now()),
		Window:     metav1.Duration{Duration: defaultWindow},
		Containers: []metrics.ContainerMetrics{},
	}
	if pod.Timestamp != nil {
		found.Timestamp = *pod.Timestamp
	}
	if pod.Window != nil {
		found.Window = *pod.Window
	}
	for _, container := range slices.Sorted(maps.Keys(pod.Containers)) {
		found.Containers = append(found.Containers, metrics.ContainerMetrics{Name: container, Usage: pod.Containers[container]})
	}
	return found
}

// customOfPods answers for one pod, or for "*", all that are selected.
func (a *api) customOfPods(request *http.Request) (any, error) {
	metric, name, values := request.PathValue("metric"), request.PathValue("name"), a.values(request)
	selected, err := selector(request, "labelSelector")
	if err != nil {
		return nil, err
	}
	ofPods, known := values.Custom[metric]
	if !known {
		return nil, notFound("the server could not find the metric %s for pods", metric)
	}
	found := map[string]resource.Quantity{}
	for pod, value := range ofPods {
		if name == pod || name == custom.AllObjects && selected.Matches(labels.Set(values.Pods[pod].Labels)) {
			found[pod] = value
		}
	}
	if len(found) == 0 && name != custom.AllObjects {
		return nil, notFound("the server could not find the metric %s for pods %s", metric, name)
	}
	return a.customList(request, corev1.ObjectReference{Kind: "Pod", APIVersion: "v1"}, found)
}

func (a *api) customOfObject(request *http.Request) (any, error) {
	return a.customOf(request, request.PathValue("resource"), request.PathValue("name"))
}

func (a *api) customOfNamespace(request *http.Request) (any, error) {
	return a.customOf(request, "namespaces", request.PathValue("namespace"))
}

// customOf answers for one object. All that the request tells of its kind is the
// resource, so that is what the answer names.
func (a *api) customOf(request *http.Request, kind, name string) (any, error) {
	metric := request.PathValue("metric")
	value, known := a.values(request).Objects[metric][kind+"/"+name]
	if !known {
		return nil, notFound("the server could not find the metric %s for %s %s", metric, kind, name)
	}
	return a.customList(request, corev1.ObjectReference{Kind: kind}, map[string]resource.Quantity{name: value})
}

// customList makes the answer. These metrics have no labels of their own, so a
// selector that asks for one finds nothing.
func (a *api) customList(request *http.Request, of corev1.ObjectReference, values map[string]resource.Quantity) (any, error) {
	ofMetric, err := selector(request, "metricLabelSelector")
	if err != nil {
		return nil, err
	}
	list := custom.MetricValueList{
		TypeMeta: metav1.TypeMeta{Kind: "MetricValueList", APIVersion: custom.SchemeGroupVersion.String()},
		Items:    []custom.MetricValue{},
	}
	if !ofMetric.Matches(labels.Set{}) {
		return list, nil
	}
	of.Namespace = request.PathValue("namespace")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		of.Name = name
		list.Items = append(list.Items, custom.MetricValue{
			DescribedObject: of, Metric: custom.MetricIdentifier{Name: request.PathValue("metric")},
			Timestamp: metav1.NewTime(a.now()), Value: values[name],
		})
	}
	return list, nil
}

func (a *api) externalList(request *http.Request) (any, error) {
	metric := request.PathValue("metric")
	selected, err := selector(request, "labelSelector")
	if err != nil {
		return nil, err
	}
	series, known := a.values(request).External[metric]
	if !known {
		return nil, notFound("the server could not find the metric %s for namespaces %s", metric, request.PathValue("namespace"))
	}
	list := external.ExternalMetricValueList{
		TypeMeta: metav1.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: external.SchemeGroupVersion.String()},
		Items:    []external.ExternalMetricValue{},
	}
	for _, one := range series {
		if selected.Matches(labels.Set(one.Labels)) {
			list.Items = append(list.Items, external.ExternalMetricValue{
				MetricName: metric, MetricLabels: one.Labels, Timestamp: metav1.NewTime(a.now()), Value: one.Value,
			})
		}
	}
	return list, nil
}
