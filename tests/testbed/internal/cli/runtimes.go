package cli

import (
	"os"

	"flyball.dev/testbed/internal/runtimes"
)

// findRuntimes prints one JSON object, and nothing else, on stdout. It needs no bed.
func findRuntimes(args []string) error {
	flags := newFlags("runtimes")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	names := flags.Args()
	if len(names) == 0 {
		names = runtimes.Names()
	}
	unlock, err := dir.Lock() // packages may be fetched
	if err != nil {
		return err
	}
	defer unlock()
	found, err := runtimes.Find(dir, names, say)
	if err != nil {
		return usageError{err}
	}
	return runtimes.Print(os.Stdout, found)
}
