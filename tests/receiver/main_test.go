package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	data = `{"reason":"Committed","severity":"Normal","action":"Verify","note":"it helped","regarding":` +
		`{"apiVersion":"flyball.dev/v1alpha1","kind":"FeedbackPolicy","namespace":"shop","name":"web","uid":null},"related":null,"instance":"us"}`
	attributes = `"specversion":"1.0","id":"web.1","source":"/flyball","type":"dev.flyball.Committed","datacontenttype":"application/json"`
)

func TestWhatIsNoEventIsRefused(t *testing.T) {
	schema, err := compile("../../docs/reference/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	structured := http.Header{"Content-Type": {"application/cloudevents+json"}}
	binary := http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"web.1"},
		"Ce-Source": {"/flyball"}, "Ce-Type": {"dev.flyball.Committed"},
	}
	for _, test := range []struct {
		name   string
		header http.Header
		body   string
		status int
		mode   string
		words  string
	}{
		{"good", structured, `{` + attributes + `,"data":` + data + `}`, 202, "structured", ""},
		{"binary", binary, data, 202, "binary", ""},
		{"no id", structured, `{` + strings.Replace(attributes, `"id":"web.1",`, "", 1) + `,"data":` + data + `}`, 400, "structured", "id: MUST be a non-empty string"},
		{"no time", structured, `{` + attributes + `,"time":"yesterday","data":` + data + `}`, 400, "structured", "yesterday"},
		{"another severity", structured, `{` + attributes + `,"data":` + strings.Replace(data, "Normal", "Mild", 1) + `}`, 400, "structured", "/severity"},
		{"no note", structured, `{` + attributes + `,"data":` + strings.Replace(data, `"note":"it helped",`, "", 1) + `}`, 400, "structured", "note"},
		{"no event", http.Header{"Content-Type": {"application/json"}}, data, 400, "unknown", "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			it := &receiver{schema: schema}
			request := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(test.body))
			request.Header = test.header
			answer := httptest.NewRecorder()
			it.routes().ServeHTTP(answer, request)
			if answer.Code != test.status || !strings.Contains(answer.Body.String(), test.words) {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			told := httptest.NewRecorder()
			it.routes().ServeHTTP(told, httptest.NewRequest(http.MethodGet, "/taken", nil))
			var all []taken
			if err := json.Unmarshal(told.Body.Bytes(), &all); err != nil {
				t.Fatal(err)
			}
			if len(all) != 1 || all[0].Mode != test.mode {
				t.Errorf("%+v", all)
			}
		})
	}
}
