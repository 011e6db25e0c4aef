package main

import (
	"fmt"
	"os"
	"regexp"
)

// place is where a version is written: the file, and what is around it.
type place struct {
	file    string
	pattern *regexp.Regexp
}

var number = `([0-9]+\.[0-9]+\.[0-9]+)`

// released says where each agent's version is written that its package is named by.
var released = map[string]place{
	"go":     {"agents/go/agent.go", regexp.MustCompile(`(?m)^const Release = "` + number + `"$`)},
	"java":   {"agents/java/manifest.txt", regexp.MustCompile(`(?m)^Implementation-Version: ` + number + `$`)},
	"node":   {"agents/node/package.json", regexp.MustCompile(`(?m)^  "version": "` + number + `",$`)},
	"python": {"agents/python/pyproject.toml", regexp.MustCompile(`(?m)^version = "` + number + `"$`)},
}

// version is that of an agent.
func (t *tree) version(agent string) (string, error) { return t.read(released[agent]) }

// read finds the one version that a place has.
func (t *tree) read(where place) (string, error) {
	text, err := os.ReadFile(t.path(where.file))
	if err != nil {
		return "", err
	}
	found := where.pattern.FindAllSubmatch(text, -1)
	if len(found) != 1 {
		return "", fmt.Errorf("%s has %d versions of the form %s, not one", where.file, len(found), where.pattern)
	}
	return string(found[0][1]), nil
}
