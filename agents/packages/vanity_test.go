package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// vanity serves the pages of the modules' paths, as the site has to, to whoever
// takes it for a proxy.
func vanity(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for folder, name := range goModules {
			if r.URL.Host+r.URL.Path == name {
				fmt.Fprintf(w, `<meta name="go-import" content="%s git %s agents/%s">`, name, homeRepository, folder)
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// sum is the hash that go.sum has of a module.
func sum(t *testing.T, downloaded string) string {
	t.Helper()
	var module struct{ Sum string }
	if err := json.Unmarshal([]byte(downloaded), &module); err != nil || module.Sum == "" {
		t.Fatalf("no hash (%v): %s", err, downloaded)
	}
	return module.Sum
}
