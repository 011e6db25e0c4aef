// Command packages makes what `make packages` can't leave to a packager's own
// tool: the trees that npm and Python's build are run on, the Go modules as a
// file:// module proxy, and the Maven artifacts as a repository and as a bundle
// for Central.
//
//	packages [flags] node|python|go|maven
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// homeRepository stands in the packages' descriptions until -repository names another.
const homeRepository = "https://flyball.dev/source"

// tree is the repository that packages are made of, and where they go.
type tree struct {
	root, out, repository string
	time                  time.Time
}

func main() {
	t, kind, err := parse(os.Args[1:])
	if err == nil {
		err = t.make(kind)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "packages: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*tree, string, error) {
	t := &tree{}
	flags := flag.NewFlagSet("packages", flag.ExitOnError)
	flags.StringVar(&t.root, "root", ".", "the repository")
	flags.StringVar(&t.out, "out", "target/packages", "where the packages go")
	flags.StringVar(&t.repository, "repository", homeRepository, "the repository's address, for the packages' descriptions")
	if err := flags.Parse(args); err != nil {
		return nil, "", err
	}
	if flags.NArg() != 1 {
		return nil, "", fmt.Errorf("%d arguments: name one of node, python, go and maven", flags.NArg())
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return nil, "", fmt.Errorf("SOURCE_DATE_EPOCH=%q is no number of seconds since 1970: set it, as agents/packages.mk does", os.Getenv("SOURCE_DATE_EPOCH"))
	}
	t.time = time.Unix(seconds, 0).UTC()
	return t, flags.Arg(0), nil
}

func (t *tree) make(kind string) error {
	switch kind {
	case "node":
		return t.stage(kind, "package.json", "flyball-agent.js", "lib/*.js")
	case "python":
		return t.stage(kind, "pyproject.toml", "sitecustomize.py", "flyball_agent/*.py")
	case "go":
		return t.modules()
	case "maven":
		return t.maven()
	default:
		return fmt.Errorf("%q is no kind of package: name one of node, python, go and maven", kind)
	}
}

func (t *tree) path(parts ...string) string {
	return filepath.Join(append([]string{t.root}, parts...)...)
}

func (t *tree) to(parts ...string) string {
	return filepath.Join(append([]string{t.out}, parts...)...)
}
