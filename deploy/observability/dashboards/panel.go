package main

import (
	"sort"
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// source is the data source that is chosen at the top of each dashboard.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

// query is one expression and what its series are called.
type query struct {
	expr   string
	legend string
}

// level is a colour from a value on.
type level struct {
	from   float64
	colour string
}

// panel is a graph, or a number where number is set.
type panel struct {
	title       string
	description string
	unit        string
	queries     []query
	width       uint32 // of 24
	// nothing is said where there is no series. It must not sound reassuring where nobody is scraped.
	nothing string
	// colours are fixed by what a series is called, so that they do not depend on which others there are.
	colours map[string]string

	number bool
	// names shows what the series are called, and not their values.
	names bool
	// levels colour a number, from the first on; none leave it without a colour. Grafana's own are red from 80 on.
	levels []level

	// bars count what happened, one on another, in whole numbers.
	bars bool
	// stacked puts lines one on another.
	stacked bool
	// points are not joined: what lies between them was not measured.
	points bool
	// steps hold a value until the next one.
	steps bool
	// whole numbers have no marks between them on the axis. Where all is 0 it would go to 100.
	whole bool
	// many is for a series of each policy or pod: a table with the largest first.
	many bool
	// tall is as high as one of many beside it.
	tall bool
	// states are the words for 0, 1, 2 and so on.
	states []string
	// limit is drawn as a line.
	limit    *float64
	min, max *float64
}

func (p panel) target(i int) cog.Builder[variants.Dataquery] {
	q := p.queries[i]
	built := prometheus.NewDataqueryBuilder().Datasource(source).Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i)))
	if p.number {
		return built.Instant()
	}
	return built.Range()
}

const (
	// In the grid's rows.
	panelHeight = 8
	// A legend takes a third of it at most.
	tallHeight = 10
	// Changes and refusals are minutes apart. At every scrape, a rate's range would show each of them four times.
	barInterval = "2m"
)

func (p panel) build() cog.Builder[dashboard.Panel] {
	if p.number {
		return p.stat()
	}
	return p.graph()
}

func (p panel) stat() cog.Builder[dashboard.Panel] {
	built := stat.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source).Unit(p.unit).
		Height(panelHeight / 2).Span(p.width).GraphMode(common.BigValueGraphModeNone).Orientation(common.VizOrientationAuto)
	levels := p.levels
	if len(levels) == 0 {
		built = built.ColorMode(common.BigValueColorModeNone)
		levels = []level{{colour: "text"}}
	}
	var steps []dashboard.Threshold
	for i, l := range levels {
		step := dashboard.Threshold{Color: l.colour}
		// The first has no lower end.
		if i > 0 {
			step.Value = &l.from
		}
		steps = append(steps, step)
	}
	built = built.Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps))
	switch {
	case p.names:
		built = built.TextMode(common.BigValueTextModeName)
	case strings.Contains(p.queries[0].legend, "{{"):
		// By itself it leaves the name out where there is one value.
		built = built.TextMode(common.BigValueTextModeValueAndName)
	}
	if p.nothing != "" {
		built = built.NoValue(p.nothing)
	}
	for i := range p.queries {
		built = built.WithTarget(p.target(i))
	}
	return built
}

func (p panel) legend() *common.VizLegendOptionsBuilder {
	built := common.NewVizLegendOptionsBuilder().Placement(common.LegendPlacementBottom).ShowLegend(true)
	if p.many {
		return built.DisplayMode(common.LegendDisplayModeTable).Calcs([]string{"lastNotNull", "max"}).SortBy("Last *").SortDesc(true)
	}
	return built.DisplayMode(common.LegendDisplayModeList)
}

func (p panel) graph() cog.Builder[dashboard.Panel] {
	built := timeseries.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source).Unit(p.unit).
		Height(panelHeight).Span(p.width).Legend(p.legend()).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if p.many || p.tall {
		built = built.Height(tallHeight)
	}
	switch {
	case p.bars:
		built = built.DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).Interval(barInterval)
	case p.points:
		built = built.DrawStyle(common.GraphDrawStylePoints).PointSize(6)
	default:
		built = built.SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(false)})
	}
	if p.bars || p.stacked {
		built = built.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	}
	if p.stacked {
		// A line of its own would draw what is 0 on top of the others.
		built = built.FillOpacity(50).LineWidth(0)
	}
	if p.bars || p.stacked || p.whole {
		built = built.Decimals(0).AxisSoftMax(1)
	}
	if p.steps {
		built = built.LineInterpolation(common.LineInterpolationStepAfter)
	}
	if p.min != nil {
		built = built.Min(*p.min)
	}
	if p.max != nil {
		built = built.Max(*p.max)
	}
	if p.limit != nil {
		line := dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).
			Steps([]dashboard.Threshold{{Color: "transparent"}, {Color: "red", Value: p.limit}})
		built = built.Thresholds(line).ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if len(p.states) > 0 {
		words := map[string]dashboard.ValueMappingResult{}
		for i, word := range p.states {
			words[strconv.Itoa(i)] = dashboard.ValueMappingResult{Text: cog.ToPtr(word), Index: cog.ToPtr(int32(i))}
		}
		mapping := dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: words}
		built = built.Mappings([]dashboard.ValueMapping{{ValueMap: &mapping}}).Decimals(0).Min(0).Max(float64(len(p.states) - 1))
	}
	if p.nothing != "" {
		built = built.NoValue(p.nothing)
	}
	var names []string
	for name := range p.colours {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fixed := map[string]string{"mode": "fixed", "fixedColor": p.colours[name]}
		built = built.OverrideByRegexp(name, []dashboard.DynamicConfigValue{{Id: "color", Value: fixed}})
	}
	for i := range p.queries {
		built = built.WithTarget(p.target(i))
	}
	return built
}
