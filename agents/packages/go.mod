module flyball.dev/packages

go 1.26.0

require (
	deps.dev/util/maven v0.0.0-20260727054525-2946ae4a6141
	golang.org/x/mod v0.43.0
)

require deps.dev/util/semver v0.0.0-20240109040450-1e316b822bc4 // indirect
