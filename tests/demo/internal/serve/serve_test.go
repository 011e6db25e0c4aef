package serve

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// get calls the service without a network.
func get(s *service, path string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	s.handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
	return out
}

// burst sends n requests at once and returns how many got each status.
func burst(s *service, n int) map[int]int {
	codes := make(chan int, n)
	for range n {
		go func() { codes <- get(s, "/").Code }()
	}
	counts := map[int]int{}
	for range n {
		counts[<-codes]++
	}
	return counts
}

func TestWorkersWorkInParallelAndTheRestQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(Settings{Workers: 4, Queue: 200, ServiceTime: 100 * time.Millisecond})
		defer s.pool.close()
		began := time.Now()
		if counts := burst(s, 40); counts[http.StatusOK] != 40 {
			t.Fatalf("answers by status: %v, want 40 of 200", counts)
		}
		// 40 pieces of 100 ms over 4 workers: exactly one second of bubble time.
		if took := time.Since(began); took != time.Second {
			t.Errorf("40 requests took %s, want 1s", took)
		}
	})
}

func TestFullQueueShedsAndCountsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(Settings{Workers: 2, Queue: 3, ServiceTime: time.Second})
		defer s.pool.close()
		synctest.Wait() // the workers wait for work
		codes := make(chan int, 10)
		for range 10 {
			go func() { codes <- get(s, "/").Code }()
			synctest.Wait() // one after the other, so that a free worker takes it
		}
		counts := map[int]int{}
		for range 10 {
			counts[<-codes]++
		}
		if counts[http.StatusOK] != 5 || counts[http.StatusServiceUnavailable] != 5 {
			t.Fatalf("answers by status: %v, want 5 of 200 and 5 of 503", counts)
		}
		body := get(s, "/metrics").Body.String()
		for _, line := range []string{
			"http_requests_received_total 10",
			"http_requests_shed_total 5",
			"http_requests_total 5",
			"http_request_duration_seconds_count 5",
			// Two served at once (1 s each), two after one wait, one after two.
			"http_request_duration_seconds_sum 9",
		} {
			if !strings.Contains(body, "\n"+line+"\n") {
				t.Errorf("metrics do not have %q", line)
			}
		}
	})
}

func TestRuleMetricsHaveNoLabelsOfTheirOwn(t *testing.T) {
	s := newService(Settings{Workers: 1, Queue: 1})
	defer s.pool.close()
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 4 {
		t.Errorf("%d metrics, want 4", len(families))
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if len(metric.GetLabel()) != 0 {
				t.Errorf("%s has labels %v", family.GetName(), metric.GetLabel())
			}
		}
	}
}

func TestDependencyIsPartOfTheWork(t *testing.T) {
	status := http.StatusOK
	dependency := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(status) }))
	defer dependency.Close()
	s := newService(Settings{Workers: 1, Queue: 1, Dependency: dependency.URL})
	defer s.pool.close()
	if code := get(s, "/").Code; code != http.StatusOK {
		t.Errorf("status %d with a good dependency", code)
	}
	status = http.StatusInternalServerError
	if code := get(s, "/").Code; code != http.StatusBadGateway {
		t.Errorf("status %d with a bad dependency, want 502", code)
	}
	if body := get(s, "/metrics").Body.String(); !strings.Contains(body, "\nhttp_requests_total 2\n") {
		t.Error("a request whose dependency failed is not counted as completed")
	}
}

func TestServiceTimeIsSpreadToBothSides(t *testing.T) {
	const base, jitter = 100 * time.Millisecond, 20 * time.Millisecond
	for random, want := range map[float64]time.Duration{0: 80 * time.Millisecond, 0.5: base, 1: 120 * time.Millisecond} {
		if got := serviceTime(base, jitter, random); got != want {
			t.Errorf("service time for %v: %s, want %s", random, got, want)
		}
	}
	if got := serviceTime(0, jitter, 0); got != 0 {
		t.Errorf("negative service time %s", got)
	}
}

func TestReadinessEndsWithDraining(t *testing.T) {
	s := newService(Settings{Workers: 1, Queue: 1})
	defer s.pool.close()
	if code := get(s, "/healthz").Code; code != http.StatusOK {
		t.Errorf("ready service answers %d", code)
	}
	s.draining.Store(true)
	if code := get(s, "/healthz").Code; code != http.StatusServiceUnavailable {
		t.Errorf("draining service answers %d", code)
	}
}
