package load

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	discovery "k8s.io/api/discovery/v1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

func TestLatencyRunsFromTheIntendedMoment(t *testing.T) {
	s := mustPlan(t, "2x2s")
	var out bytes.Buffer
	r := newReport(s, &out, func() int { return 3 })
	r.began = start
	// Request 1 is due at 500 ms and finds no free sender for 2 s.
	r.add(&vegeta.Result{Seq: 0, Code: 200, Timestamp: at(0), Latency: 100 * time.Millisecond})
	r.add(&vegeta.Result{Seq: 1, Code: 200, Timestamp: at(2500 * time.Millisecond), Latency: 100 * time.Millisecond})
	r.add(&vegeta.Result{Seq: 2, Code: 503, Error: "503 Service Unavailable", Timestamp: at(time.Second)})
	for _, elapsed := range []time.Duration{900 * time.Millisecond, 3 * time.Second} {
		if err := r.flush(elapsed); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(3 * time.Second); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&out)
	var first, second line
	var last summary
	for _, into := range []any{&first, &second, &last} {
		if err := decoder.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	if first.Offered != 2 || first.Completed != 2 || first.Late != 1 || first.Endpoints != 3 {
		t.Errorf("first second: %+v", first)
	}
	if want := (&latency{Mean: 1.1, P50: 0.1, P95: 2.1, P99: 2.1, Max: 2.1}); !reflect.DeepEqual(first.Latency, want) {
		t.Errorf("first second's latency: %+v, want %+v", first.Latency, want)
	}
	if second.Offered != 2 || second.Completed != 0 || second.Errors["http-503"] != 1 || second.Latency != nil {
		t.Errorf("second second, which has an answer missing: %+v", second)
	}
	if got := last.Summary; got.Offered != 4 || got.Sent != 3 || got.Completed != 2 || got.Late != 1 || got.Seconds != 2 {
		t.Errorf("summary: %+v", got)
	}
}

func TestASecondIsWrittenWhenItsRequestsHaveEnded(t *testing.T) {
	var out bytes.Buffer
	r := newReport(mustPlan(t, "1x2s"), &out, func() int { return 1 })
	r.began = start
	r.add(&vegeta.Result{Seq: 1, Code: 200, Timestamp: at(time.Second)})
	if err := r.flush(2 * time.Second); err != nil || out.Len() != 0 {
		t.Fatalf("wrote %q, though the first second is not over (%v)", out.String(), err)
	}
	r.add(&vegeta.Result{Seq: 0, Code: 200, Timestamp: at(0)})
	if err := r.flush(2 * time.Second); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 2 {
		t.Errorf("wrote %q, want two lines (%v)", out.String(), err)
	}
}

func TestQuantiles(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1)*time.Second)
	}
	for share, want := range map[float64]time.Duration{0.5: 50 * time.Second, 0.95: 95 * time.Second, 0.99: 99 * time.Second, 1: 100 * time.Second} {
		if got := quantile(hundred, share); got != want {
			t.Errorf("quantile %v: %s, want %s", share, got, want)
		}
	}
	if got := quantile(hundred[:1], 0.5); got != time.Second {
		t.Errorf("quantile of one value: %s", got)
	}
}

func TestErrorClasses(t *testing.T) {
	for text, want := range map[string]string{
		`Get "http://a/": no ready endpoints`:                                                         "no-endpoints",
		`Get "http://a/": dial tcp 10.0.0.1:80: connect: connection refused`:                          "refused",
		`Get "http://a/": EOF`:                                                                        "reset",
		`Get "http://a/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`: "timeout",
		`something new`: "other",
		``:              "",
	} {
		if got := classify(&vegeta.Result{Error: text}); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := classify(&vegeta.Result{Code: 502, Error: "502 Bad Gateway"}); got != "http-502" {
		t.Errorf("a 502 is %q", got)
	}
}

func TestOnlyReadyEndpointsTakeTurns(t *testing.T) {
	yes, no, port := true, false, int32(8080)
	slice := &discovery.EndpointSlice{
		Ports: []discovery.EndpointPort{{Port: &port}},
		Endpoints: []discovery.Endpoint{
			{Addresses: []string{"10.0.0.2"}, Conditions: discovery.EndpointConditions{Ready: &yes}},
			{Addresses: []string{"10.0.0.3"}, Conditions: discovery.EndpointConditions{Ready: &no}},
			{Addresses: []string{"10.0.0.1"}}, // unknown counts as ready
		},
	}
	e := &endpoints{}
	if _, err := e.pick(); err != errNoEndpoints {
		t.Errorf("error %v without endpoints", err)
	}
	e.set(readyAddresses([]any{slice, slice}))
	counts := map[string]int{}
	for range 10 {
		address, err := e.pick()
		if err != nil {
			t.Fatal(err)
		}
		counts[address]++
	}
	if want := map[string]int{"10.0.0.1:8080": 5, "10.0.0.2:8080": 5}; !reflect.DeepEqual(counts, want) {
		t.Errorf("requests by endpoint: %v, want %v", counts, want)
	}
}

func TestRequestsNameTheHostThatIsGiven(t *testing.T) {
	for host, want := range map[string]string{"": "127.0.0.1:8000", "shop.example.com": "shop.example.com"} {
		target := request("http://127.0.0.1:8000/", host)
		sent, err := target.Request()
		if err != nil || sent.Host != want || sent.URL.Host != "127.0.0.1:8000" {
			t.Errorf("host %q: asks %s for %q, want %q (%v)", host, sent.URL.Host, sent.Host, want, err)
		}
	}
}
