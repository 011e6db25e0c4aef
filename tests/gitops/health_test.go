// Package gitops runs what docs/gitops.md tells Argo CD to run, by the interpreter that Argo CD has.
package gitops

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// The script of the page.
func script(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```lua\n")
	text, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("docs/gitops.md has no block of Lua")
	}
	return text
}

// A value of JSON as Lua has it.
func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, inner := range from {
			table.RawSetString(key, value(state, inner))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, inner := range from {
			table.Append(value(state, inner))
		}
		return table
	case string:
		return lua.LString(from)
	case float64:
		return lua.LNumber(from)
	case bool:
		return lua.LBool(from)
	default:
		return lua.LNil
	}
}

func TestHealth(t *testing.T) {
	text := script(t)
	ready := func(status, reason, message string) string {
		return `{"type": "Ready", "status": "` + status + `", "reason": "` + reason + `", "message": "` + message + `", "observedGeneration": 2}`
	}
	seen := func(conditions ...string) string {
		return `{"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": [` + strings.Join(conditions, ",") + `]}}`
	}
	idle := `{"type": "Progressing", "status": "False", "reason": "Idle", "message": "no change is under way"}`
	busy := `{"type": "Progressing", "status": "True", "reason": "Verifying", "message": "2 -> 3: until 03:04:05Z"}`
	stalled := `{"type": "Stalled", "status": "True", "reason": "Invalid", "message": "spec.rules[0].for: no duration"}`
	for _, sample := range []struct{ name, object, status, message string }{
		{"new", `{"metadata": {"generation": 1}}`, "Progressing", "not seen"},
		{"empty", `{"metadata": {"generation": 1}, "status": {}}`, "Progressing", "not seen"},
		{"edited", strings.Replace(seen(ready("True", "Evaluating", "ok")), `"generation": 2`, `"generation": 3`, 1), "Progressing", "last edit"},
		{"steady", seen(ready("True", "Evaluating", "evaluated every 15s"), idle), "Healthy", "evaluated"},
		{"verifying", seen(ready("True", "Evaluating", "evaluated every 15s"), busy), "Healthy", "evaluated"},
		{"invalid", seen(ready("False", "Invalid", "wrong"), idle, stalled), "Degraded", "no duration"},
		{"suspended", seen(ready("False", "Suspended", "by spec.suspend"), idle), "Suspended", "spec.suspend"},
		{"no source", seen(ready("False", "SourceNotFound", "there is no MetricSource"), idle), "Progressing", "no MetricSource"},
		{"a source", seen(ready("True", "Accepted", "answers")), "Healthy", "answers"},
		{"without Ready", seen(idle), "Progressing", "not seen"},
	} {
		t.Run(sample.name, func(t *testing.T) {
			var object any
			if err := json.Unmarshal([]byte(sample.object), &object); err != nil {
				t.Fatal(err)
			}
			state := lua.NewState()
			defer state.Close()
			state.SetGlobal("obj", value(state, object))
			if err := state.DoString(text); err != nil {
				t.Fatal(err)
			}
			health, isTable := state.Get(-1).(*lua.LTable)
			if !isTable {
				t.Fatalf("it returns %s", state.Get(-1).Type())
			}
			status := health.RawGetString("status").String()
			message := health.RawGetString("message").String()
			if status != sample.status || !strings.Contains(message, sample.message) {
				t.Errorf("%s, %q; expected %s, %q", status, message, sample.status, sample.message)
			}
		})
	}
}
