// Package metricsstub stands in for a metrics server and the adapters for
// custom and external metrics: it serves their three APIs with values that a
// test has set. So a real HorizontalPodAutoscaler computes on known numbers.
package metricsstub

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Values are all metrics of one namespace.
type Values struct {
	// Pods by name. They need not exist in the cluster.
	Pods map[string]Pod `json:"pods,omitempty"`
	// Custom metrics of pods: metric, then pod. Each pod is one of Pods, which
	// has the labels by which it is selected.
	Custom map[string]map[string]resource.Quantity `json:"custom,omitempty"`
	// Objects have custom metrics too: metric, then "services/web",
	// "ingresses.networking.k8s.io/web" or, for the namespace, "namespaces/NAME".
	Objects map[string]map[string]resource.Quantity `json:"objects,omitempty"`
	// External metrics: metric, then its series.
	External map[string][]Series `json:"external,omitempty"`
}

// Pod is what the metrics APIs know of a pod.
type Pod struct {
	Labels map[string]string `json:"labels,omitempty"`
	// Timestamp is when the usage was measured; nil is the time of the answer.
	Timestamp *metav1.Time `json:"timestamp,omitempty"`
	// Window is over how long; nil is 30 s.
	Window *metav1.Duration `json:"window,omitempty"`
	// Containers by name. A pod without any, nil, has not been measured and is not
	// in the resource metrics; an empty one is there and uses nothing.
	Containers map[string]corev1.ResourceList `json:"containers,omitzero"`
}

// Series is one series of an external metric.
type Series struct {
	Labels map[string]string `json:"labels,omitempty"`
	Value  resource.Quantity `json:"value"`
}

// with returns the values with those of an addition put in: an entry that the
// addition has replaces the present one, all others stay.
func (v Values) with(addition Values) Values {
	return Values{
		Pods:     merge(v.Pods, addition.Pods),
		Custom:   mergeEach(v.Custom, addition.Custom),
		Objects:  mergeEach(v.Objects, addition.Objects),
		External: merge(v.External, addition.External),
	}
}

// merge copies, since answers may be under way from the old map.
func merge[V any](old, addition map[string]V) map[string]V {
	merged := make(map[string]V, len(old)+len(addition))
	maps.Copy(merged, old)
	maps.Copy(merged, addition)
	return merged
}

func mergeEach[V any](old, addition map[string]map[string]V) map[string]map[string]V {
	merged := merge(old, nil)
	for metric, values := range addition {
		merged[metric] = merge(merged[metric], values)
	}
	return merged
}

// check refuses a value that could never be found.
func (v Values) check() error {
	for _, metric := range slices.Sorted(maps.Keys(v.Custom)) {
		for pod := range v.Custom[metric] {
			if _, known := v.Pods[pod]; !known {
				return fmt.Errorf("custom.%s names the pod %q, which pods does not have: its labels are read there", metric, pod)
			}
		}
	}
	return nil
}

// Store holds the values of all namespaces.
type Store struct {
	mutex      sync.RWMutex
	namespaces map[string]Values
}

// NewStore returns one without any values.
func NewStore() *Store { return &Store{namespaces: map[string]Values{}} }

// Get returns a namespace's values, which nobody changes, and whether it has any.
func (s *Store) Get(namespace string) (Values, bool) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	values, known := s.namespaces[namespace]
	return values, known
}

// Set replaces all values of a namespace.
func (s *Store) Set(namespace string, values Values) error {
	return s.change(namespace, func(Values) Values { return values })
}

// Add puts values into a namespace and leaves the others as they are.
func (s *Store) Add(namespace string, addition Values) error {
	return s.change(namespace, func(old Values) Values { return old.with(addition) })
}

func (s *Store) change(namespace string, next func(old Values) Values) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	values := next(s.namespaces[namespace])
	if err := values.check(); err != nil {
		return err
	}
	s.namespaces[namespace] = values
	return nil
}

// Delete forgets a namespace.
func (s *Store) Delete(namespace string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.namespaces, namespace)
}
