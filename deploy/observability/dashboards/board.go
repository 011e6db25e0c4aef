package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// variable is a list that is read from the labels of a series.
type variable struct {
	name  string
	label string
	query string
}

// row is a heading and the panels under it.
type row struct {
	title  string
	panels []panel
}

// mark is a line through all panels of a dashboard where something happened to a policy.
type mark struct {
	name   string
	colour string
	expr   string
}

// board is a dashboard. The uid is part of links, so it never changes.
type board struct {
	file        string
	uid         string
	title       string
	description string
	variables   []variable
	marks       []mark
	rows        []row
}

func (b board) build() (dashboard.Dashboard, error) {
	built := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.description).Tags([]string{"flyball"}).
		Readonly().Time("now-3h", "now").Refresh("30s").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Flyball").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"flyball"}).
			AsDropdown(true).IncludeVars(true).KeepTime(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	for _, v := range b.variables {
		built = built.WithVariable(dashboard.NewQueryVariableBuilder(v.name).Label(v.label).Datasource(source).
			Query(dashboard.StringOrMap{String: cog.ToPtr(v.query)}).Definition(v.query).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
			Multi(true).IncludeAll(true).AllValue(".+").
			Current(dashboard.VariableOption{
				Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
				Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
			}))
	}
	for _, m := range b.marks {
		built = built.Annotation(dashboard.NewAnnotationQueryBuilder().Name(m.name).Datasource(source).Enable(true).
			IconColor(m.colour).Target(prometheus.NewDataqueryBuilder().Datasource(source).Expr(m.expr).RefId("Anno").Range()).
			Expr(m.expr).Step("60s").TitleFormat("{{policy}}: {{outcome}}").TagKeys("namespace,policy,outcome"))
	}
	for _, r := range b.rows {
		built = built.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			built = built.WithPanel(p.build())
		}
	}
	board, err := built.Build()
	if err != nil {
		return board, err
	}
	// The builders put both into a menu, where nobody finds them who does not know of them.
	for i := range board.Links {
		board.Links[i].Placement = nil
	}
	for i := range board.Annotations.List {
		board.Annotations.List[i].Placement = nil
	}
	return board, nil
}
