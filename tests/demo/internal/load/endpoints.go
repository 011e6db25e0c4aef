package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"

	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errNoEndpoints is what a request meets when the Service has no ready pod.
var errNoEndpoints = errors.New("no ready endpoints")

// endpoints are the ready addresses of a Service, kept current by a watch.
type endpoints struct {
	mu        sync.Mutex
	addresses []string
	next      int
}

// pick takes the addresses in turn, one for each request: not for each
// connection, as a Service's own address would.
func (e *endpoints) pick() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.addresses) == 0 {
		return "", errNoEndpoints
	}
	e.next = (e.next + 1) % len(e.addresses)
	return e.addresses[e.next], nil
}

func (e *endpoints) set(addresses []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addresses = addresses
}

func (e *endpoints) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.addresses)
}

// watchService follows a Service's EndpointSlices until the context ends. It
// returns when the first list is in.
func watchService(ctx context.Context, kubeconfig, namespace, service string) (*endpoints, error) {
	// With no file given this is the pod's own account.
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	config.UserAgent = "flyball-demo-load"
	client, err := v1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	selector := fields.OneTermEqualSelector(discovery.LabelServiceName, service).String()
	watch := cache.NewFilteredListWatchFromClient(client.RESTClient(), "endpointslices", namespace,
		func(options *metav1.ListOptions) { options.LabelSelector = selector })
	found := &endpoints{}
	var store cache.Store
	refresh := func(any) { found.set(readyAddresses(store.List())) }
	var informer cache.Controller
	store, informer = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: watch,
		ObjectType:    &discovery.EndpointSlice{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: refresh, UpdateFunc: func(_, now any) { refresh(now) }, DeleteFunc: refresh,
		},
	})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("list the endpoints of %s/%s: %w", namespace, service, ctx.Err())
	}
	return found, nil
}

// readyAddresses are those of the slices' endpoints that may take requests, in
// a fixed order. Of several ports the first is meant.
func readyAddresses(slicesOfService []any) []string {
	var addresses []string
	for _, item := range slicesOfService {
		slice, ok := item.(*discovery.EndpointSlice)
		if !ok || len(slice.Ports) == 0 || slice.Ports[0].Port == nil {
			continue
		}
		port := strconv.Itoa(int(*slice.Ports[0].Port))
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				addresses = append(addresses, net.JoinHostPort(address, port))
			}
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// spread is a transport that sends each request to the endpoint whose turn it is.
type spread struct {
	endpoints *endpoints
	under     http.RoundTripper
}

func (s spread) RoundTrip(request *http.Request) (*http.Response, error) {
	address, err := s.endpoints.pick()
	if err != nil {
		return nil, err
	}
	// A transport must not change the request that it is given.
	request = request.Clone(request.Context())
	request.URL.Host = address
	return s.under.RoundTrip(request)
}
