package main

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"text/template"
)

const group = "dev.flyball"

// artifact is one of the group, and how it is described.
type artifact struct{ Name, Title, Description string }

var artifacts = []artifact{
	{
		"flyball-agent", "Flyball agent",
		"Moves knobs of HotSpot's garbage collectors in a running process, and tells of memory pressure, as Flyball asks for it. Loaded by -javaagent.",
	},
	{
		"flyball-api", "Flyball agent, API",
		"What an application compiles against to be told of memory pressure by Flyball's agent. Without an agent in the process it does nothing.",
	},
}

// maven puts the jars, which lie in out/stage/maven, into a repository with
// their descriptions and checksums, and that into one bundle.
func (t *tree) maven() error {
	version, err := t.version("java")
	if err != nil {
		return err
	}
	repository := t.to("maven")
	if err := os.RemoveAll(repository); err != nil {
		return err
	}
	form, err := os.ReadFile(t.path("agents/java/pom.tmpl"))
	if err != nil {
		return err
	}
	pom, err := template.New("pom").Option("missingkey=error").Parse(string(form))
	if err != nil {
		return err
	}
	var entries []entry
	for _, what := range artifacts {
		var described bytes.Buffer
		err := pom.Execute(&described, struct {
			artifact
			Group, Version, Home, Repository string
		}{what, group, version, home, t.repository})
		if err != nil {
			return err
		}
		stem := path.Join("dev/flyball", what.Name, version, what.Name+"-"+version)
		entries = append(entries, entry{stem + ".pom", described.Bytes()})
		for _, kind := range []string{".jar", "-sources.jar", "-javadoc.jar"} {
			text, err := os.ReadFile(t.to("stage", "maven", what.Name+kind))
			if err != nil {
				return err
			}
			entries = append(entries, entry{stem + kind, text})
		}
	}
	for _, plain := range slices.Clone(entries) {
		m, s := md5.Sum(plain.text), sha1.Sum(plain.text) // what Central asks for
		entries = append(entries,
			entry{plain.name + ".md5", []byte(hex.EncodeToString(m[:]))},
			entry{plain.name + ".sha1", []byte(hex.EncodeToString(s[:]))})
	}
	for _, entry := range entries {
		if err := write(filepath.Join(repository, entry.name), entry.text); err != nil {
			return err
		}
	}
	return t.bundle(fmt.Sprintf("flyball-agent-%s-bundle.zip", version), entries)
}

// entry is a file of the bundle.
type entry struct {
	name string
	text []byte
}

func (t *tree) bundle(name string, entries []entry) error {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, entry := range entries {
		header := &zip.FileHeader{Name: entry.name, Method: zip.Deflate, Modified: t.time}
		header.SetMode(0o644)
		writer, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := writer.Write(entry.text); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return write(t.to(name), out.Bytes())
}
