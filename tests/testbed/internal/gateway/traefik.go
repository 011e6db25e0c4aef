package gateway

import "fmt"

// Entrypoint is the name of Traefik's entrypoint for traffic, and of the
// Gateway's listener. Metrics have one of their own.
const (
	Entrypoint = "web"
	internal   = "metrics"
)

// Args are Traefik's, with the addresses on which it takes traffic and shows
// its metrics. How often it takes over changes is left as it is by default.
func Args(traffic, metrics string) []string {
	return []string{
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
		"--log.level=INFO", "--log.nocolor=true",
		fmt.Sprintf("--entrypoints.%s.address=%s", Entrypoint, traffic),
		fmt.Sprintf("--entrypoints.%s.address=%s", internal, metrics),
		"--providers.kubernetesgateway=true",
		"--metrics.prometheus=true", "--metrics.prometheus.entrypoint=" + internal,
		"--metrics.prometheus.addentrypointslabels=true", "--metrics.prometheus.addrouterslabels=true", "--metrics.prometheus.addserviceslabels=true",
		"--ping=true", "--ping.entrypoint=" + internal,
	}
}
