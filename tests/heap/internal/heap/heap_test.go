package heap

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func call(s *Service, method, path string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	s.Handler().ServeHTTP(out, httptest.NewRequest(method, path, nil))
	return out
}

func has(t *testing.T, s *Service, lines ...string) {
	t.Helper()
	body := call(s, http.MethodGet, "/metrics").Body.String()
	for _, line := range lines {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("metrics do not have %q", line)
		}
	}
}

func TestSettings(t *testing.T) {
	env := map[string]string{"HEAP_LIVE": "1.5Mi", "HEAP_HIGH_RPS": "2.5"}
	s, err := FromEnvironment(func(name string) string { return env[name] })
	if err != nil || s.Live != 1572864 || s.HighRPS != 2.5 || s.Entry != 65536 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"-1", "1GB", "NaN", "Inf", "Mi", "1e300"} {
		next := s
		if err := next.Set(func(name string) string { return map[string]string{"live": bad, "churn": "5"}[name] }); err == nil || next != s {
			t.Errorf("live=%s: %+v, %v; want a refusal that changes nothing", bad, next, err)
		}
	}
}

func TestTheLiveHeapIsAsTold(t *testing.T) {
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc >> 20
	}
	before := live()
	s := New(Settings{})
	if code := call(s, http.MethodPost, "/admin/heap?live=64Mi").Code; code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	if grown := live() - before; grown < 64 || grown > 72 {
		t.Errorf("the heap grew by %d MiB, want 64 and a little", grown)
	}
	has(t, s, "heap_live_set_bytes 6.7108864e+07")
	call(s, http.MethodPost, "/admin/heap?live=0")
	if left := live() - before; left > 8 {
		t.Errorf("%d MiB are left", left)
	}
}

func TestAdminRefusesWhatItDoesNotKnow(t *testing.T) {
	s := New(Settings{})
	for _, query := range []string{"?lives=1Mi", "?live=lots"} {
		if code := call(s, http.MethodPost, "/admin/heap"+query).Code; code != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, code)
		}
	}
	if body := call(s, http.MethodGet, "/admin/heap").Body.String(); !strings.Contains(body, "live=0\n") {
		t.Errorf("settings %q", body)
	}
}

func TestTheCacheGoesAtPressureHigh(t *testing.T) {
	s := New(Settings{Cache: 1 << 20, Entry: 256 << 10})
	for range 10 {
		call(s, http.MethodGet, "/")
	}
	has(t, s, "heap_cache_bytes 1.048576e+06", "heap_cache_drops_total 0", "http_requests_total 10")
	s.Pressure(1)
	has(t, s, "heap_cache_bytes 1.048576e+06")
	s.Pressure(2)
	call(s, http.MethodGet, "/")
	s.Pressure(3)
	has(t, s, "heap_cache_bytes 0", "heap_cache_drops_total 1", "heap_pressure 3")
	s.Pressure(0)
	call(s, http.MethodGet, "/")
	has(t, s, "heap_cache_bytes 262144")
}

func TestTheRateIsLimitedAtPressureHigh(t *testing.T) {
	s := New(Settings{})
	now := time.Unix(1000, 0)
	admitted := 0
	for range 10 * 100 { // ten seconds of 100 a second
		now = now.Add(10 * time.Millisecond)
		if s.admits(now, 10) {
			admitted++
		}
	}
	if admitted < 100 || admitted > 102 { // those of the first tenth of a second come at once
		t.Errorf("%d of 1000 requests in 10 s, want 10 a second", admitted)
	}
	s = New(Settings{HighRPS: 0.001})
	for range 50 {
		call(s, http.MethodGet, "/")
	}
	has(t, s, `http_responses_total{code="200"} 50`, `http_responses_total{code="429"} 0`)
	s.Pressure(2)
	codes := map[int]int{}
	for range 50 {
		codes[call(s, http.MethodGet, "/").Code]++
	}
	if codes[http.StatusTooManyRequests] != 49 || codes[http.StatusOK] != 1 {
		t.Errorf("answers by status at pressure high: %v, want one, and 49 of 429", codes)
	}
	s.Pressure(1)
	if code := call(s, http.MethodGet, "/").Code; code != http.StatusOK {
		t.Errorf("status %d when it is over", code)
	}
}

func TestTheProcessIsOnTheSamePage(t *testing.T) {
	s := New(Settings{})
	body := call(s, http.MethodGet, "/metrics").Body.String()
	for _, name := range []string{"process_cpu_seconds_total ", "go_goroutines ", "http_request_duration_seconds_count 0"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("metrics do not have %s", name)
		}
	}
}
