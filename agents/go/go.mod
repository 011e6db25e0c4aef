module flyball.dev/agent

go 1.25
