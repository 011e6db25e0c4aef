package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is looked at of a dashboard, as Grafana reads it.
type written struct {
	UID        string `json:"uid"`
	Title      string `json:"title"`
	Editable   bool   `json:"editable"`
	Templating struct {
		List []struct {
			Name, Label, Type, AllValue string
			Query                       any
			Multi, IncludeAll           bool
			Refresh                     int
			Datasource                  *struct{ UID string }
		}
	}
	Annotations struct {
		List []struct {
			Name, Expr, IconColor, Placement string
			Datasource                       struct{ UID string }
		}
	}
	Links  []struct{ Placement string }
	Panels []writtenPanel
}

type writtenPanel struct {
	Type, Title, Description, Interval string
	Datasource                         struct{ UID string }
	FieldConfig                        struct {
		Defaults struct {
			Unit, NoValue string
			Thresholds    struct {
				Steps []struct {
					Value *float64
					Color string
				}
			}
			Mappings []struct {
				Options map[string]struct{ Text string }
			}
			Custom struct {
				DrawStyle string
				Stacking  struct{ Mode string }
			}
		}
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
	Options struct {
		Orientation, TextMode string
		Legend                struct{ DisplayMode string }
	}
	Targets []struct{ Expr, LegendFormat string }
	GridPos struct{ H, W, X, Y int }
}

func each(t *testing.T, look func(t *testing.T, b board, w written)) {
	for _, b := range boards {
		t.Run(b.file, func(t *testing.T) {
			text, err := render(b)
			if err != nil {
				t.Fatal(err)
			}
			var w written
			if err := json.Unmarshal(text, &w); err != nil {
				t.Fatal(err)
			}
			look(t, b, w)
		})
	}
}

func (w written) graphs() []writtenPanel {
	var graphs []writtenPanel
	for _, p := range w.Panels {
		if p.Type != "row" {
			graphs = append(graphs, p)
		}
	}
	return graphs
}

func (w written) expressions() []string {
	var all []string
	for _, p := range w.graphs() {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

func TestCommittedFilesAreTheseDashboards(t *testing.T) {
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) != len(boards) {
		t.Fatalf("there are %v (%v), and %d dashboards", files, err, len(boards))
	}
	for _, b := range boards {
		want, err := render(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(b.file + ".json")
		if err != nil || string(got) != string(want) {
			t.Errorf("%s.json is not what the code says (%v): make generate", b.file, err)
		}
		if len(want) > 1<<20 {
			t.Errorf("%s.json does not fit into a ConfigMap", b.file)
		}
	}
}

func TestEachIsItsOwn(t *testing.T) {
	seen := map[string]bool{}
	each(t, func(t *testing.T, b board, w written) {
		if w.UID != b.uid || w.UID == "" || seen[w.UID] || seen[w.Title] || len(w.UID) > 40 {
			t.Errorf("uid %q or title %q is empty, too long or another's", w.UID, w.Title)
		}
		seen[w.UID], seen[w.Title] = true, true
		if w.Editable {
			t.Error("it can be edited, and the next update would undo that")
		}
	})
}

func TestDataSourceIsChosenAtTheTop(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		first := w.Templating.List[0]
		if first.Name != "datasource" || first.Label != "Data source" || first.Type != "datasource" || first.Query != "prometheus" {
			t.Errorf("the first variable is %+v", first)
		}
		for _, p := range w.graphs() {
			if p.Datasource.UID != "${datasource}" {
				t.Errorf("%s asks %q", p.Title, p.Datasource.UID)
			}
		}
		for _, a := range w.Annotations.List {
			if a.Datasource.UID != "${datasource}" {
				t.Errorf("the marks %s ask %q", a.Name, a.Datasource.UID)
			}
		}
	})
}

func TestMarksAndLinksAreInSight(t *testing.T) {
	marks := 0
	each(t, func(t *testing.T, b board, w written) {
		if len(w.Links) != 1 || w.Links[0].Placement != "" {
			t.Errorf("the links are %+v", w.Links)
		}
		colours := map[string]bool{}
		for _, a := range w.Annotations.List {
			if a.Placement != "" || a.IconColor == "" || colours[a.IconColor] {
				t.Errorf("the marks %+v", a)
			}
			colours[a.IconColor] = true
			marks++
		}
	})
	if marks != 2 {
		t.Errorf("%d kinds of marks", marks)
	}
}

// What Grafana takes where a dashboard says nothing: the first of several values alone, and red from 80 on.
func TestNumbersAreWholeAndColouredOnPurpose(t *testing.T) {
	numbers := 0
	each(t, func(t *testing.T, _ board, w written) {
		for _, p := range w.graphs() {
			if p.Type != "stat" {
				continue
			}
			numbers++
			steps := p.FieldConfig.Defaults.Thresholds.Steps
			if p.Options.Orientation != "auto" || len(steps) == 0 || steps[0].Value != nil || steps[0].Color == "" {
				t.Errorf("%s: orientation %q, colours %+v", p.Title, p.Options.Orientation, steps)
			}
			for i, step := range steps {
				if i > 0 && (step.Value == nil || i > 1 && *step.Value <= *steps[i-1].Value) {
					t.Errorf("%s: colours %+v", p.Title, steps)
				}
			}
			want := map[string]string{"Version": "name", "Policies": "value_and_name", "Agents": "value_and_name"}[p.Title]
			if want == "" {
				want = "auto"
			}
			if p.Options.TextMode != want {
				t.Errorf("%s shows %s", p.Title, p.Options.TextMode)
			}
		}
	})
	if numbers != 13 {
		t.Errorf("%d numbers", numbers)
	}
}

func TestAnEmptyPanelSaysWhy(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		for _, p := range w.graphs() {
			empty := p.FieldConfig.Defaults.NoValue
			for _, target := range p.Targets {
				if strings.HasSuffix(target.Expr, "> 0") && p.Type != "stat" && empty == "" {
					t.Errorf("%s is empty where nothing happens, and does not say so", p.Title)
				}
			}
			if strings.HasSuffix(empty, unlessNoneLeads) == (p.FieldConfig.Defaults.Custom.DrawStyle == "bars") && strings.Contains(empty, "leads") {
				t.Errorf("%s: %s", p.Title, empty)
			}
		}
	})
}

// A bar at every scrape would show one event in each of the four that a rate looks back to, and bars side by side hide each other.
func TestBarsAreCounts(t *testing.T) {
	bars := 0
	each(t, func(t *testing.T, _ board, w written) {
		for _, p := range w.graphs() {
			if p.FieldConfig.Defaults.Custom.DrawStyle != "bars" {
				continue
			}
			bars++
			if p.Interval != barInterval || p.FieldConfig.Defaults.Custom.Stacking.Mode != "normal" {
				t.Errorf("%s: every %q, stacked %q", p.Title, p.Interval, p.FieldConfig.Defaults.Custom.Stacking.Mode)
			}
			for _, target := range p.Targets {
				if !strings.Contains(target.Expr, "increase(") {
					t.Errorf("%s does not count: %s", p.Title, target.Expr)
				}
			}
		}
	})
	if bars != 8 {
		t.Errorf("%d panels with bars", bars)
	}
}

func TestAnOutcomeHasOneColour(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		for _, p := range w.graphs() {
			for _, target := range p.Targets {
				if !strings.HasSuffix(target.LegendFormat, "{{outcome}}") || p.Title == "Passes" {
					continue
				}
				if len(p.FieldConfig.Overrides) != len(outcomes) {
					t.Errorf("%s: colours by chance", p.Title)
				}
				for _, o := range p.FieldConfig.Overrides {
					if o.Matcher.ID != "byRegexp" || outcomes[o.Matcher.Options] == "" {
						t.Errorf("%s: %+v", p.Title, o.Matcher)
					}
				}
			}
		}
	})
}

func TestStatesHaveWords(t *testing.T) {
	words := map[string]int{}
	each(t, func(t *testing.T, _ board, w written) {
		for _, p := range w.graphs() {
			for _, m := range p.FieldConfig.Defaults.Mappings {
				words[p.Title] += len(m.Options)
				if m.Options["0"].Text == "" {
					t.Errorf("%s: 0 has no word", p.Title)
				}
			}
		}
	})
	if words["Circuit breakers"] != 3 || words["Pressure that is told"] != 4 {
		t.Errorf("%v", words)
	}
}

func TestEveryVariableIsAListOfWhichAllCanBeChosenAndIsUsed(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		known := map[string]bool{"__rate_interval": true, "__range": true}
		for _, v := range w.Templating.List[1:] {
			known[v.Name] = true
			if !v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Refresh != 2 || v.Datasource.UID != "${datasource}" || v.Label == "" {
				t.Errorf("%+v", v)
			}
			if !strings.Contains(strings.Join(w.expressions(), "\n"), "=~\"$"+v.Name+"\"") {
				t.Errorf("$%s is not used, or not as an expression", v.Name)
			}
		}
		for _, expr := range w.expressions() {
			for _, found := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(expr, -1) {
				if !known[found[1]] && found[1] != "1" {
					t.Errorf("$%s is no variable: %s", found[1], expr)
				}
			}
		}
	})
}

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		titles := map[string]bool{}
		for _, p := range w.graphs() {
			if p.Title == "" || p.Description == "" || titles[p.Title] || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("title %q, description %q, unit %q, %d queries", p.Title, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
			}
			titles[p.Title] = true
			for _, target := range p.Targets {
				if target.LegendFormat == "" {
					t.Errorf("%s: a query without a legend", p.Title)
				}
			}
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s sticks out", p.Title)
			}
		}
	})
}

var (
	ranges = regexp.MustCompile(`\[([^\]]+)\]`)
	totals = regexp.MustCompile(`(\w+\()?(\w+_total)\b`)
	fixed  = regexp.MustCompile(`job\s*=~?\s*"[^$]`)
)

func TestQueriesFitEveryScrapeIntervalAndEveryJob(t *testing.T) {
	each(t, func(t *testing.T, _ board, w written) {
		for _, expr := range w.expressions() {
			for _, found := range ranges.FindAllStringSubmatch(expr, -1) {
				if found[1] != "$__rate_interval" && found[1] != "$__range" {
					t.Errorf("a range of its own, %s: %s", found[1], expr)
				}
			}
			for _, found := range totals.FindAllStringSubmatch(expr, -1) {
				if found[1] != "rate(" && found[1] != "increase(" {
					t.Errorf("%s only grows: %s", found[2], expr)
				}
			}
			if fixed.MatchString(expr) {
				t.Errorf("a job by name: %s", expr)
			}
		}
	})
}
