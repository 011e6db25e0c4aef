package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// The labels of one policy, as chosen at the top.
const ofPolicy = `namespace=~"$namespace", policy=~"$policy"`

// processes are those that are chosen at the top.
const processes = `job=~"$job", instance=~"$instance"`

// eachSecond is no request.
const eachSecond = "suffix:/s"

var (
	zero = cog.ToPtr(0.0)
	one  = cog.ToPtr(1.0)
)

var policyVariables = []variable{
	{"namespace", "Namespace", "label_values(flyball_evaluations_total, namespace)"},
	{"policy", "Policy", `label_values(flyball_evaluations_total{namespace=~"$namespace"}, policy)`},
}

// A counter begins with its first event, so what was not there a minute ago counts as none.
func closed(outcomes string) string {
	const by = "sum by (namespace, policy, outcome) "
	of := "flyball_changes_total{" + ofPolicy + ", " + outcomes + "}"
	return by + "(" + of + ")\n  - (" + by + "(" + of + " offset 1m)\n    or " + by + "(" + of + ") * 0) > 0"
}

var changes = []mark{
	{"Committed", "green", closed(`outcome="Committed"`)},
	{"Not committed", "orange", closed(`outcome=~"RolledBack|Ineffective|Inconclusive|Superseded"`)},
}

// outcomes have the same colour wherever they are, by the end of what a series is called.
var outcomes = map[string]string{
	"/Committed$/":    "green",
	"/RolledBack$/":   "red",
	"/Ineffective$/":  "orange",
	"/Inconclusive$/": "yellow",
	"/Superseded$/":   "purple",
	// Records of what was not done.
	"/Refused$/":     "semi-dark-blue",
	"/Recommended$/": "light-blue",
}

// Said where there is no series: it is the same whether nothing is wrong or nobody is asked.
const unlessNoneLeads = ", unless no controller leads"

// Said under bars, of which the last one ends up to its width ago.
const unlessJustNow = ", unless just now, or no controller leads"

var boards = []board{overview, policies, runtimes, audit}

var overview = board{
	file: "overview", uid: "flyball-overview", title: "Flyball / Overview",
	description: "Whether the loop runs, what it asks, and what it is refused.",
	variables: []variable{
		{"job", "Job", "label_values(flyball_build_info, job)"},
		{"instance", "Instance", `label_values(flyball_build_info{job=~"$job"}, instance)`},
	},
	rows: []row{
		{"Loop", []panel{
			{title: "Leaders", description: "Processes that may write: one for each installation.", unit: units.Short, number: true, width: 4,
				levels: []level{{colour: "red"}, {1, "green"}}, nothing: "nobody is scraped",
				queries: []query{{`sum(flyball_leader{` + processes + `})`, "leaders"}}},
			{title: "Policies", description: "Valid policies, by mode. Every process knows all of them.", unit: units.Short, number: true, width: 8,
				queries: []query{{`max by (mode) (flyball_policies{` + processes + `})`, "{{mode}}"}}},
			{title: "Open Changes", description: "Changes that may still write their target.", unit: units.Short, number: true, width: 4,
				queries: []query{{`max(flyball_open_changes{` + processes + `})`, "open"}}},
			{title: "Oldest open Change", description: "How long ago it was proposed; 0 where none is open. FlyballChangeStuck fires after two hours.", unit: units.Seconds, number: true, width: 4,
				levels:  []level{{colour: "green"}, {3600, "orange"}, {7200, "red"}},
				queries: []query{{`max(flyball_open_change_age_seconds{` + processes + `})`, "oldest"}}},
			{title: "Version", description: "What runs; more than one while it is updated.", unit: units.Short, number: true, names: true, width: 4,
				queries: []query{{`count by (version) (flyball_build_info{` + processes + `})`, "{{version}}"}}},
			{title: "Passes", description: "Passes over policies each second: complete, incomplete (a reading was not fresh) or invalid (the policy is wrong).",
				unit: eachSecond, width: 12, min: zero,
				queries: []query{{`sum by (outcome) (rate(flyball_evaluations_total{` + processes + `}[$__rate_interval]))`, "{{outcome}}"}}},
			{title: "How late passes begin", description: "Later than scheduled: the slowest of a hundred, and the usual one.", unit: units.Seconds, width: 12, min: zero,
				queries: []query{
					{`histogram_quantile(0.99, sum by (le) (rate(flyball_evaluation_lag_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p99"},
					{`histogram_quantile(0.5, sum by (le) (rate(flyball_evaluation_lag_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p50"},
				}},
			{title: "How long passes take", description: "Queries included.", unit: units.Seconds, width: 12, min: zero,
				queries: []query{
					{`histogram_quantile(0.99, sum by (le) (rate(flyball_evaluation_duration_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p99"},
					{`histogram_quantile(0.5, sum by (le) (rate(flyball_evaluation_duration_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p50"},
				}},
			{title: "From due to written", description: "From when a change was due to when the API server accepted its write, where there was one.", unit: units.Seconds, width: 12, min: zero,
				points: true, nothing: "Nothing was written" + unlessNoneLeads,
				queries: []query{
					{`histogram_quantile(0.99, sum by (le) (rate(flyball_apply_lag_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p99"},
					{`histogram_quantile(0.5, sum by (le) (rate(flyball_apply_lag_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "p50"},
				}},
		}},
		{"What it asks", []panel{
			{title: "Time of queries", description: "The slowest of a hundred, by source.", unit: units.Seconds, width: 12, min: zero,
				queries: []query{{`histogram_quantile(0.99, sum by (source, le) (rate(flyball_query_duration_seconds_bucket{` + processes + `}[$__rate_interval]))) >= 0`, "{{source}}"}}},
			{title: "Queries without an answer", description: "Each second: refused is an expression that the server does not take, error a server that is slow or gone.",
				unit: units.RequestsPerSecond, width: 12, min: zero,
				nothing: "Every query has an answer" + unlessNoneLeads,
				queries: []query{{`sum by (source, kind) (rate(flyball_query_errors_total{` + processes + `}[$__rate_interval]))`, "{{source}} {{kind}}"}}},
			{title: "Circuit breakers", description: "Of each source, as the leader knows it: an open one is not asked.", unit: units.Short, width: 12, steps: true,
				states: []string{"closed", "half open", "open"}, nothing: "No source was asked" + unlessNoneLeads,
				queries: []query{{`max by (source) ((flyball_source_circuit_state{` + processes + `, state="open"} * 2
  or flyball_source_circuit_state{` + processes + `, state="half_open"}
  or flyball_source_circuit_state{` + processes + `, state="closed"} * 0) and on (job, instance) flyball_leader == 1)`, "{{source}}"}}},
			{title: "Writes to the API server", description: "Each second, by what became of them. Dry runs are tried, not carried out.", unit: units.RequestsPerSecond, width: 12, min: zero,
				queries: []query{{`sum by (verb, result) (rate(flyball_api_requests_total{` + processes + `}[$__rate_interval]))`, "{{verb}} {{result}}"}}},
		}},
		{"Refusals and losses", []panel{
			{title: "Refusals by check", description: "Proposals that a check refused, in two minutes or more. Most are a cooldown or a limit that does its work.", unit: units.Short, width: 12, min: zero,
				bars: true, nothing: "No new refusal" + unlessJustNow,
				queries: []query{{`round(sum by (check) (increase(flyball_check_refusals_total{` + processes + `}[$__rate_interval]))) > 0`, "{{check}}"}}},
			{title: "Lost", description: "Events and log lines that nobody took, in two minutes or more.", unit: units.Short, width: 12, min: zero, bars: true, nothing: "Nobody is scraped",
				queries: []query{
					{`sum(increase(flyball_events_dropped_total{` + processes + `}[$__rate_interval]))`, "Events"},
					{`sum by (receiver, result) (increase(flyball_cloudevents_total{` + processes + `, result!="ok"}[$__rate_interval]))`, "CloudEvents {{receiver}} {{result}}"},
					{`sum(increase(flyball_log_lines_dropped_total{` + processes + `}[$__rate_interval]))`, "log lines"},
				}},
			{title: "Memory", description: "Resident, of each process.", unit: units.BytesIEC, width: 12, min: zero,
				queries: []query{{`process_resident_memory_bytes{` + processes + `} and on (job, instance) flyball_build_info`, "{{instance}}"}}},
			{title: "Processor", description: "Cores, of each process.", unit: units.Short, width: 12, min: zero,
				queries: []query{{`rate(process_cpu_seconds_total{` + processes + `}[$__rate_interval]) and on (job, instance) flyball_build_info`, "{{instance}}"}}},
		}},
	},
}

var policies = board{
	file: "policy", uid: "flyball-policy", title: "Flyball / Policy",
	description: "What a policy sees, what it wants, and what became of it. The marks are its Changes with their verdicts.",
	variables:   policyVariables,
	marks:       changes,
	rows: []row{
		{"What it sees", []panel{
			{title: "Values", description: "The worst series of each rule, and the largest of each signal.", unit: units.Short, width: 12, many: true,
				queries: []query{{`flyball_signal_value{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{signal}}"}}},
			{title: "Values against thresholds", description: "Each rule's worst value as a part of the number that it compares with: at 100 % it changes sides.", unit: units.PercentUnit, width: 12, many: true, limit: one,
				queries: []query{{`label_replace(flyball_signal_value{` + ofPolicy + `}, "alert", "$1", "signal", "(.+)")
  / on (namespace, policy, alert) group_left () (flyball_rule_threshold{` + ofPolicy + `} != 0)`, "{{namespace}}/{{policy}} {{alert}}"}}},
			{title: "Alerts", description: "How many are pending or firing, one on another.", unit: units.Short, width: 12, min: zero, many: true, stacked: true, steps: true,
				nothing: "No rule is evaluated",
				queries: []query{{`flyball_alerts{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{alert}} {{state}}"}}},
			{title: "Quality of readings", description: "Readings that are not fresh, one on another. They take nothing away.", unit: units.Short, width: 12, min: zero, tall: true, stacked: true, steps: true,
				nothing: "Every reading is fresh" + unlessNoneLeads,
				queries: []query{{`flyball_signal_quality{` + ofPolicy + `, quality!="fresh"}`, "{{namespace}}/{{policy}} {{signal}} {{quality}}"}}},
		}},
		{"What it moves", []panel{
			{title: "Replicas", description: "What its target has, and what its actions ask for.", unit: units.Short, width: 12, min: zero, many: true, steps: true, whole: true,
				nothing: "No policy moves replicas" + unlessNoneLeads,
				queries: []query{
					{`max by (namespace, policy) (flyball_replicas_current{` + ofPolicy + `})`, "{{namespace}}/{{policy}} has"},
					{`flyball_replicas_desired{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{action}} asks"},
				}},
			{title: "Weights", description: "The share of each backend by the weights of its route, and as it is while nothing is wrong.", unit: units.PercentUnit, width: 12, min: zero, max: one, many: true, steps: true,
				nothing: "No policy moves weights" + unlessNoneLeads,
				queries: []query{
					{`flyball_weight_current{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{backend}}"},
					{`flyball_weight_base{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{backend}} base"},
				}},
			{title: "Backends out", description: "Taken out, with no traffic, one on another.", unit: units.Short, width: 12, min: zero, many: true, stacked: true, steps: true,
				nothing: "No policy moves weights" + unlessNoneLeads,
				queries: []query{{`flyball_backends_out{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{action}}"}}},
			{title: "Pods with knobs", description: "Ready pods, and those that have the line they are to have.", unit: units.Short, width: 12, min: zero, many: true, steps: true, whole: true,
				nothing: "No policy moves knobs" + unlessNoneLeads,
				queries: []query{{`flyball_runtime_pods{` + ofPolicy + `}`, "{{namespace}}/{{policy}} {{state}}"}}},
		}},
		{"What became of it", []panel{
			{title: "Changes", description: "Closed in two minutes or more, by how they ended. Refused and recommended ones are records.", unit: units.Short, width: 12, min: zero, bars: true, tall: true,
				colours: outcomes, nothing: "No Change was closed" + unlessJustNow,
				queries: []query{{`round(sum by (outcome) (increase(flyball_changes_total{` + ofPolicy + `}[$__rate_interval]))) > 0`, "{{outcome}}"}}},
			{title: "Proposals", description: "What its actions wanted before any check, each minute.", unit: units.Short, width: 12, min: zero, many: true,
				nothing: "No action wanted anything" + unlessNoneLeads,
				queries: []query{{`sum by (namespace, policy, action, direction) (rate(flyball_proposals_total{` + ofPolicy + `}[$__rate_interval])) * 60`, "{{namespace}}/{{policy}} {{action}} {{direction}}"}}},
		}},
	},
}

const (
	ofPod = `namespace=~"$namespace", pod=~"$pod"`
	// These knobs would press all others to the ground.
	inBytes = "memlimit|rss|soft-max-heap"
)

var runtimes = board{
	file: "runtime", uid: "flyball-runtime", title: "Flyball / Runtime",
	description: "Garbage collection and memory as the agents in processes tell it, and the watermarks.",
	variables: []variable{
		{"namespace", "Namespace", "label_values(flyball_agent_info, namespace)"},
		{"pod", "Pod", `label_values(flyball_agent_info{namespace=~"$namespace"}, pod)`},
	},
	rows: []row{
		{"Agents", []panel{
			{title: "Agents", description: "By runtime.", unit: units.Short, number: true, width: 8,
				queries: []query{{`count by (runtime) (flyball_agent_info{` + ofPod + `})`, "{{runtime}}"}}},
			{title: "With knobs in force", description: "Agents that apply a generation.", unit: units.Short, number: true, width: 4,
				queries: []query{{`count(flyball_agent_applied_generation{` + ofPod + `} > 0) or vector(0)`, "applied"}}},
			{title: "Fallen back", description: "Agents whose breaker tripped.", unit: units.Short, number: true, width: 4,
				levels:  []level{{colour: "green"}, {1, "red"}},
				queries: []query{{`count(flyball_agent_breaker_state{` + ofPod + `} > 0) or vector(0)`, "tripped"}}},
			{title: "Shortest lease", description: "What is left of it: renewed, it does not come near 0.", unit: units.Seconds, number: true, width: 8, nothing: "no lease",
				queries: []query{{`min(flyball_agent_lease_seconds{` + ofPod + `} > 0)`, "left"}}},
			{title: "Knobs", description: "Each knob's value now, but for those in bytes.", unit: units.Short, width: 12, many: true, steps: true,
				queries: []query{{`flyball_agent_knob{` + ofPod + `, knob!~"` + inBytes + `"} < Inf`, "{{pod}} {{knob}} {{index}}"}}},
			{title: "Knobs in bytes", description: "Each knob's value now. No limit is not drawn.", unit: units.BytesIEC, width: 12, many: true, steps: true, min: zero,
				nothing: "No agent has a limit or a set-point", queries: []query{{`flyball_agent_knob{` + ofPod + `, knob=~"` + inBytes + `"} < Inf`, "{{pod}} {{knob}}"}}},
			{title: "Pressure that is told", description: "To the application, by its agent.", unit: units.Short, width: 24, many: true, steps: true,
				states: []string{"normal", "warning", "high", "emergency"}, queries: []query{{`flyball_agent_pressure{` + ofPod + `}`, "{{pod}}"}}},
		}},
		{"Memory", []panel{
			{title: "Working set against the limit", description: "Of each container that has a limit, by its agent.", unit: units.PercentUnit, width: 12, many: true, min: zero, max: one,
				queries: []query{{`flyball_agent_working_set_bytes{` + ofPod + `} / (flyball_agent_container_limit_bytes{` + ofPod + `} < Inf)`, "{{pod}}"}}},
			{title: "Resident memory", description: "Of each process.", unit: units.BytesIEC, width: 12, many: true, min: zero,
				queries: []query{{`flyball_agent_resident_bytes{` + ofPod + `}`, "{{pod}}"}}},
			{title: "Heap", description: "In use with its garbage, and what the last collection left.", unit: units.BytesIEC, width: 12, many: true, min: zero,
				queries: []query{
					{`flyball_agent_heap_alloc_bytes{` + ofPod + `}`, "{{pod}} in use"},
					{`flyball_agent_heap_live_bytes{` + ofPod + `}`, "{{pod}} live"},
				}},
			{title: "Watermarks", description: "How full the fullest container or node of each watermark is.", unit: units.PercentUnit, width: 12, many: true, min: zero, max: one,
				nothing: "No policy has a watermark" + unlessNoneLeads,
				queries: []query{{`flyball_watermark_ratio{namespace=~"$namespace"}`, "{{namespace}}/{{policy}} {{watermark}}"}}},
			{title: "Nodes", description: "Memory in use, of Linux and of Windows nodes by the present and the former names of their exporters.", unit: units.PercentUnit, width: 12, many: true, min: zero, max: one,
				nothing: "No node exporter is scraped",
				queries: []query{
					{`1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes`, "{{instance}}"},
					{`1 - (windows_memory_physical_free_bytes or windows_os_physical_memory_free_bytes)
  / (windows_memory_physical_total_bytes or windows_cs_physical_memory_bytes)`, "{{instance}} (Windows)"},
				}},
			{title: "Stalls for want of memory", description: "The part of the time in which some process of a container waited for memory, where the kernel tells it.", unit: units.PercentUnit, width: 12, many: true, min: zero,
				nothing: "No kernel tells it, or its kubelet is not scraped",
				queries: []query{{`sum by (pod, container) (rate(container_pressure_memory_waiting_seconds_total{` + ofPod + `, container!=""}[$__rate_interval]))`, "{{pod}} {{container}}"}}},
		}},
		{"Collections", []panel{
			{title: "Allocation", description: "Bytes each second.", unit: units.BytesPerSecondIEC, width: 12, many: true, min: zero,
				queries: []query{{`rate(flyball_agent_alloc_bytes_total{` + ofPod + `}[$__rate_interval])`, "{{pod}}"}}},
			{title: "Cycles", description: "Each minute.", unit: units.Short, width: 12, many: true, min: zero,
				queries: []query{{`rate(flyball_agent_gc_cycles_total{` + ofPod + `}[$__rate_interval]) * 60`, "{{pod}}"}}},
			{title: "Time of collections", description: "As the runtime tells it, as a part of one core. Go counts wall time by GOMAXPROCS: a hint, no proof.", unit: units.PercentUnit, width: 12, many: true, min: zero,
				queries: []query{{`rate(flyball_agent_gc_cpu_seconds_total{` + ofPod + `}[$__rate_interval])`, "{{pod}}"}}},
			{title: "Effective GOGC", description: "Of Go: what the limit leaves of the written one. Under 25 it collects nearly all the time.", unit: units.Percent, width: 12, many: true, min: zero,
				nothing: "No agent for Go is scraped",
				queries: []query{{`flyball_agent_effective_gogc_percent{` + ofPod + `}`, "{{pod}}"}}},
		}},
	},
}

var audit = board{
	file: "audit", uid: "flyball-audit", title: "Flyball / Change audit",
	description: "How changes ended, how long they took, and what held proposals up. The journals themselves: kubectl get changes.",
	variables:   policyVariables,
	rows: []row{
		{"Ends", []panel{
			{title: "Committed", description: "In the range of the dashboard, with a verification.", unit: units.Short, number: true, width: 6,
				queries: []query{{`round(sum(increase(flyball_changes_total{` + ofPolicy + `, outcome="Committed"}[$__range]))) or vector(0)`, "committed"}}},
			{title: "Taken back", description: "In the range of the dashboard.", unit: units.Short, number: true, width: 6, levels: []level{{colour: "text"}, {1, "red"}},
				queries: []query{{`round(sum(increase(flyball_changes_total{` + ofPolicy + `, outcome="RolledBack"}[$__range]))) or vector(0)`, "rolled back"}}},
			{title: "Did nothing, or not known", description: "Ineffective or Inconclusive, in the range of the dashboard: the value was held.", unit: units.Short, number: true, width: 6,
				levels:  []level{{colour: "text"}, {1, "orange"}},
				queries: []query{{`round(sum(increase(flyball_changes_total{` + ofPolicy + `, outcome=~"Ineffective|Inconclusive"}[$__range]))) or vector(0)`, "held"}}},
			{title: "Superseded", description: "Somebody else wrote the field, or a more urgent change took over, in the range of the dashboard.", unit: units.Short, number: true, width: 6,
				queries: []query{{`round(sum(increase(flyball_changes_total{` + ofPolicy + `, outcome="Superseded"}[$__range]))) or vector(0)`, "superseded"}}},
			{title: "By policy", description: "Changes closed in two minutes or more; the colour is how they ended.", unit: units.Short, width: 24, min: zero, bars: true, many: true,
				colours: outcomes, nothing: "No Change was closed" + unlessJustNow,
				queries: []query{{`round(sum by (namespace, policy, outcome) (increase(flyball_changes_total{` + ofPolicy + `}[$__rate_interval]))) > 0`, "{{namespace}}/{{policy}} {{outcome}}"}}},
		}},
		{"Time", []panel{
			{title: "From proposal to end", description: "Of all policies, by how they ended: half of them took no longer.", unit: units.Seconds, width: 12, min: zero,
				points: true, colours: outcomes, nothing: "No Change was closed" + unlessNoneLeads,
				queries: []query{{`histogram_quantile(0.5, sum by (outcome, le) (rate(flyball_change_duration_seconds_bucket[$__rate_interval]))) >= 0`, "{{outcome}}"}}},
			{title: "Open", description: "Changes that may still write their target, of all policies.", unit: units.Short, width: 12, min: zero, steps: true, whole: true,
				queries: []query{{`max(flyball_open_changes)`, "open"}}},
		}},
		{"What held proposals up", []panel{
			{title: "Checks", description: "Refusals in two minutes or more, of all policies.", unit: units.Short, width: 12, min: zero, bars: true,
				nothing: "No new refusal" + unlessJustNow,
				queries: []query{{`round(sum by (check) (increase(flyball_check_refusals_total[$__rate_interval]))) > 0`, "{{check}}"}}},
			{title: "Other owners", description: "Somebody else was found to own, or to have changed, the field, in two minutes or more. It is counted when it is found, not while it lasts.", unit: units.Short, width: 12, min: zero, bars: true,
				nothing: "No new one was found" + unlessJustNow,
				queries: []query{{`round(sum by (namespace, policy) (increase(flyball_ownership_conflicts_total{` + ofPolicy + `}[$__rate_interval]))) > 0`, "{{namespace}}/{{policy}}"}}},
			{title: "Why weights moved", description: "Changes of weights that were begun, in two minutes or more.", unit: units.Short, width: 12, min: zero, bars: true,
				nothing: "No weights were moved" + unlessJustNow,
				queries: []query{{`round(sum by (namespace, policy, why) (increase(flyball_weight_changes_total{` + ofPolicy + `}[$__rate_interval]))) > 0`, "{{namespace}}/{{policy}} {{why}}"}}},
			{title: "Alerts posted", description: "To Alertmanager, in two minutes or more.", unit: units.Short, width: 12, min: zero, bars: true,
				colours: map[string]string{"/ok$/": "green", "/error$/": "red"}, nothing: "None was posted" + unlessJustNow,
				queries: []query{{`round(sum by (namespace, policy, result) (increase(flyball_alerts_posted_total{` + ofPolicy + `}[$__rate_interval]))) > 0`, "{{namespace}}/{{policy}} {{result}}"}}},
		}},
	},
}
