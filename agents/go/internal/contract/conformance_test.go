package contract

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

type vectors struct {
	Runtimes map[string]map[string]struct {
		Text  string         `json:"text"`
		Knobs map[string]any `json:"knobs"`
	} `json:"runtimes"`
	Cases []vector `json:"cases"`
}

type vector struct {
	Name  string             `json:"name"`
	Only  []string           `json:"only"`
	Env   map[string]*string `json:"env"`
	Steps []step             `json:"steps"`
}

type step struct {
	At          int64            `json:"at"`
	Wall        int64            `json:"wall"`
	File        *string          `json:"file"`
	Restart     bool             `json:"restart"`
	Foreign     bool             `json:"foreign"`
	Applied     *int64           `json:"applied"`
	Seen        *int64           `json:"seen"`
	Knobs       any              `json:"knobs"`
	Pressure    *string          `json:"pressure"`
	Rejected    map[Reason]int64 `json:"rejected"`
	Reclaims    *int64           `json:"reclaims"`
	LeasesEnded *int64           `json:"leasesEnded"`
	Readable    *bool            `json:"readable"`
}

func read(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("../../../conformance/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&struct {
		Contract string `json:"contract"`
		*vectors
	}{vectors: &v}); err != nil {
		t.Fatal(err)
	}
	return v
}

// container is a process, and what outlives it: the folder of probation.
type container struct {
	env    map[string]string
	marked int64
	knobs  Values
	boot   Values
	state  *State
}

func (c *container) start() {
	config, _ := Configure(func(name string) string { return c.env[name] })
	config.Marked = c.marked
	c.knobs = c.boot
	c.state = New(config)
}

// do is what the process does with the actions. It fails where memory would be
// promised twice.
func (c *container) do(t *testing.T, actions []Action) {
	t.Helper()
	for _, action := range actions {
		switch action.Kind {
		case Mark:
			if c.env["FLYBALL_STATE_DIR"] == "" {
				t.Error("marked without a folder")
			}
			c.marked = action.Value
		case Unmark:
			c.marked = 0
		case SetGOGC:
			c.knobs.GOGC = action.Value
		case SetLimit:
			c.knobs.Limit = action.Value
		}
	}
}

func (c *container) look(l Look) []Action {
	l.Read, l.Current, l.Filled = true, c.knobs, -1
	if l.Container == 0 {
		l.Container = None
	}
	return c.state.Step(l)
}

func TestConformance(t *testing.T) {
	v := read(t)
	ran := 0
	for _, vector := range v.Cases {
		if vector.Only != nil && !slices.Contains(vector.Only, "go") {
			continue
		}
		ran++
		t.Run(vector.Name, func(t *testing.T) { v.run(t, vector) })
	}
	if ran < 100 {
		t.Errorf("only %d cases ran", ran)
	}
}

func (v vectors) run(t *testing.T, vector vector) {
	c := &container{env: map[string]string{"FLYBALL_STATE_DIR": "/state"}, boot: Values{GOGC: 100, Limit: None}}
	for name, value := range vector.Env {
		if value == nil {
			delete(c.env, name)
		} else {
			c.env[name] = *value
		}
	}
	words := v.Runtimes["go"]
	c.start()
	foreign := Values{GOGC: 333, Limit: None}
	for i, step := range vector.Steps {
		if step.Restart {
			c.start()
		}
		if step.Foreign {
			foreign.Limit = c.knobs.Limit
			c.knobs = foreign
		}
		look := Look{Now: time.Duration(step.At) * time.Second, Wall: step.Wall}
		if step.File != nil {
			look.Readable, look.Text = true, *step.File
			for name, word := range words {
				look.Text = strings.ReplaceAll(look.Text, "{"+name+"}", word.Text)
			}
		}
		c.do(t, c.look(look))

		same(t, i, "applied", step.Applied, c.state.Applied())
		same(t, i, "seen", step.Seen, c.state.Seen())
		same(t, i, "pressure", step.Pressure, c.state.Pressure().String())
		same(t, i, "reclaims", step.Reclaims, c.state.Counts.Reclaims)
		same(t, i, "leases ended", step.LeasesEnded, c.state.Counts.LeasesEnded)
		same(t, i, "readable", step.Readable, c.state.Readable())
		if step.Rejected != nil {
			for _, reason := range Reasons {
				if got, want := c.state.Counts.Rejected[reason], step.Rejected[reason]; got != want {
					t.Errorf("step %d: %d refused as %s, want %d", i, got, reason, want)
				}
			}
		}
		want := c.boot
		switch knobs := step.Knobs.(type) {
		case nil:
			continue
		case string:
			switch knobs {
			case "boot":
			case "foreign":
				want = foreign
			default:
				want = values(t, c.boot, words[knobs].Knobs)
			}
		case map[string]any:
			want = values(t, c.boot, knobs)
		}
		if c.knobs != want {
			t.Errorf("step %d: knobs %+v, want %+v", i, c.knobs, want)
		}
	}
}

func same[T comparable](t *testing.T, step int, what string, want *T, got T) {
	t.Helper()
	if want != nil && *want != got {
		t.Errorf("step %d: %s is %v, want %v", step, what, got, *want)
	}
}

// values are the knobs that a step names, and boot values for the others.
func values(t *testing.T, boot Values, named map[string]any) Values {
	t.Helper()
	for name, value := range named {
		number, _ := value.(float64)
		switch name {
		case "gogc":
			boot.GOGC = int64(number)
		case "memlimit":
			boot.Limit = int64(number)
			if value == "none" {
				boot.Limit = None
			}
		default:
			t.Fatalf("the vectors have a knob that this runtime does not: %s", name)
		}
	}
	return boot
}
