package main

import (
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

// panel is a graph, or a number where number is set.
type panel struct {
	title       string
	description string
	unit        string
	queries     []query
	width       uint32 // of 24
	number      bool
	bars        bool
	min, max    *float64
	repeat      string
}

func (p panel) target(i int) cog.Builder[variants.Dataquery] {
	q := p.queries[i]
	built := prometheus.NewDataqueryBuilder().Datasource(source).Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i)))
	if p.number {
		return built.Instant()
	}
	return built.Range()
}

// panelHeight is in the grid's rows.
const panelHeight = 8

func (p panel) build() cog.Builder[dashboard.Panel] {
	if p.number {
		built := stat.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source).Unit(p.unit).
			Height(panelHeight / 2).Span(p.width)
		for i := range p.queries {
			built = built.WithTarget(p.target(i))
		}
		return built
	}
	built := timeseries.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source).Unit(p.unit).
		Height(panelHeight).Span(p.width).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if p.bars {
		built = built.DrawStyle(common.GraphDrawStyleBars).FillOpacity(60)
	} else {
		built = built.FillOpacity(10).SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(false)})
	}
	if p.min != nil {
		built = built.Min(*p.min)
	}
	if p.max != nil {
		built = built.Max(*p.max)
	}
	if p.repeat != "" {
		built = built.Repeat(p.repeat).RepeatDirection(dashboard.PanelRepeatDirectionH)
	}
	for i := range p.queries {
		built = built.WithTarget(p.target(i))
	}
	return built
}
