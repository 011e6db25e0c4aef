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

// board is a dashboard. The uid is part of links, so it never changes.
type board struct {
	file        string
	uid         string
	title       string
	description string
	variables   []variable
	// changes marks the end of each Change, with its verdict.
	changes string
	rows    []row
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
	if b.changes != "" {
		built = built.Annotation(dashboard.NewAnnotationQueryBuilder().Name("Changes").Datasource(source).Enable(true).
			IconColor("blue").Target(prometheus.NewDataqueryBuilder().Datasource(source).Expr(b.changes).RefId("Anno").Range()).
			Expr(b.changes).Step("60s").TitleFormat("{{policy}}: {{outcome}}").TagKeys("namespace,policy,outcome"))
	}
	for _, r := range b.rows {
		built = built.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			built = built.WithPanel(p.build())
		}
	}
	return built.Build()
}
