module flyball.dev/agent/bench

go 1.25

require flyball.dev/agent v0.1.0

replace flyball.dev/agent => ../
