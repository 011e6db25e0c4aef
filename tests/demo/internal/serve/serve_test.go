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
			`http_responses_total{code="200"} 5`,
			`http_responses_total{code="502"} 0`,
			`http_responses_total{code="503"} 5`,
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
	if len(families) != 7 {
		t.Errorf("%d metrics, want 7", len(families))
	}
	for _, family := range families {
		if family.GetName() == "http_responses_total" {
			continue
		}
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

// metric is the value of one series, as it is exposed.
func metric(t *testing.T, s *service, name string) string {
	t.Helper()
	for _, line := range strings.Split(get(s, "/metrics").Body.String(), "\n") {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return value
		}
	}
	t.Fatalf("there is no metric %s", name)
	return ""
}

func TestTimeWorkedIsExactAtAnyMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(Settings{Workers: 2, Queue: 10, ServiceTime: time.Second})
		defer s.pool.close()
		check := func(want string) {
			t.Helper()
			if got := metric(t, s, "demo_worker_busy_seconds_total"); got != want {
				t.Errorf("%s s worked, want %s", got, want)
			}
		}
		if got := metric(t, s, "demo_workers"); got != "2" {
			t.Errorf("%s workers, want 2", got)
		}
		time.Sleep(time.Hour)
		check("0") // nothing came
		done := make(chan struct{})
		go func() { burst(s, 3); close(done) }()
		time.Sleep(250 * time.Millisecond)
		check("0.5") // two work, and are not done
		time.Sleep(time.Second)
		check("2.25") // two of 1 s, and a quarter of the third
		<-done
		time.Sleep(time.Minute)
		check("3")
	})
}

func TestSpeedChangesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(Settings{Workers: 1, Queue: 10, ServiceTime: 100 * time.Millisecond})
		defer s.pool.close()
		set := func(query string) *httptest.ResponseRecorder {
			out := httptest.NewRecorder()
			s.handler().ServeHTTP(out, httptest.NewRequest(http.MethodPost, "/admin/speed"+query, nil))
			return out
		}
		check := func(factor string, work time.Duration) {
			t.Helper()
			if got := strings.TrimSpace(get(s, "/admin/speed").Body.String()); got != factor {
				t.Errorf("the factor is %s, want %s", got, factor)
			}
			began := time.Now()
			get(s, "/")
			if took := time.Since(began); took != work {
				t.Errorf("at factor %s work takes %s, want %s", factor, took, work)
			}
		}
		check("1", 100*time.Millisecond)
		for query, work := range map[string]time.Duration{"0.5": 200 * time.Millisecond, "4": 25 * time.Millisecond} {
			if answer := set("?factor=" + query); answer.Code != http.StatusOK || strings.TrimSpace(answer.Body.String()) != query {
				t.Errorf("factor %s is answered %d %q", query, answer.Code, answer.Body)
			}
			check(query, work)
		}
		set("?factor=2")
		for _, bad := range []string{"", "?factor=", "?factor=0", "?factor=-1", "?factor=NaN", "?factor=Inf", "?factor=1e9", "?factor=half"} {
			if answer := set(bad); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "from 0.001 to 1000") {
				t.Errorf("%q is answered %d %q", bad, answer.Code, answer.Body)
			}
		}
		check("2", 50*time.Millisecond)
	})
}
