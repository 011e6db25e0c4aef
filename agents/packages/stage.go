package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// home is where the book is published; its pages are named like the files, without .md.
const home = "https://flyball.dev/"

// stage lays out the tree that a packager's own tool is run on: the named files
// of an agent, its readme with links that work elsewhere, and the licence.
func (t *tree) stage(agent string, patterns ...string) error {
	out := t.to("stage", agent)
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	for _, pattern := range patterns {
		names, err := filepath.Glob(t.path("agents", agent, pattern))
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("agents/%s has no %s: has it moved?", agent, pattern)
		}
		for _, name := range names {
			below, err := filepath.Rel(t.path("agents", agent), name)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if path.Dir(filepath.ToSlash(below)) == "." {
				text = []byte(strings.ReplaceAll(string(text), homeRepository, t.repository))
			}
			if err := write(filepath.Join(out, below), text); err != nil {
				return err
			}
		}
	}
	readme, err := os.ReadFile(t.path("agents", agent, "README.md"))
	if err != nil {
		return err
	}
	linked, err := absolute(string(readme), path.Join("agents", agent))
	if err != nil {
		return fmt.Errorf("agents/%s/README.md: %w", agent, err)
	}
	if err := write(filepath.Join(out, "README.md"), []byte(linked)); err != nil {
		return err
	}
	licence, err := os.ReadFile(t.path("LICENSE"))
	if err != nil {
		return err
	}
	return write(filepath.Join(out, "LICENSE"), licence)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// absolute makes the relative links of a page in folder lead to the book.
func absolute(text, folder string) (string, error) {
	var failed error
	linked := link.ReplaceAllStringFunc(text, func(found string) string {
		target := link.FindStringSubmatch(found)[1]
		if strings.Contains(target, "://") || strings.HasPrefix(target, "#") {
			return found
		}
		file, anchor, anchored := strings.Cut(target, "#")
		page, isPage := strings.CutSuffix(path.Join(folder, file), ".md")
		if !isPage || strings.HasPrefix(page, "..") {
			failed = fmt.Errorf("the link to %q leads to no page of the book: link to a page, or write the whole address", target)
			return found
		}
		if page == "README" {
			page = ""
		} else if path.Base(page) == "README" {
			page = path.Dir(page) + "/"
		}
		if anchored {
			page += "#" + anchor
		}
		return "](" + home + page + ")"
	})
	return linked, failed
}

func write(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}
