package main

import "testing"

func TestLinksLeadToTheBook(t *testing.T) {
	for text, want := range map[string]string{
		"[a](../CONTRACT.md)":                               "[a](https://flyball.dev/agents/CONTRACT)",
		"[a](../CONTRACT.md#the-line)":                      "[a](https://flyball.dev/agents/CONTRACT#the-line)",
		"[a](../../docs/evidence.md), [b](../../README.md)": "[a](https://flyball.dev/docs/evidence), [b](https://flyball.dev/)",
		"[a](../java/README.md)":                            "[a](https://flyball.dev/agents/java/)",
		"[a](#here) [b](https://x.org/y)":                   "[a](#here) [b](https://x.org/y)",
		"no link (at all)":                                  "no link (at all)",
	} {
		if linked, err := absolute(text, "agents/node"); err != nil || linked != want {
			t.Errorf("%s became %s (%v), not %s", text, linked, err, want)
		}
	}
	for _, text := range []string{"[a](bench.js)", "[a](../../../x.md)", "[a](../lib)"} {
		if linked, err := absolute(text, "agents/node"); err == nil {
			t.Errorf("%s became %s", text, linked)
		}
	}
}
