// Command dashboards writes Flyball's Grafana dashboards, one JSON file each, into a folder.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	folder := "."
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := write(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(folder string) error {
	for _, board := range boards {
		text, err := render(board)
		if err != nil {
			return fmt.Errorf("%s: %w", board.file, err)
		}
		if err := os.WriteFile(filepath.Join(folder, board.file+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render is a dashboard as it is committed.
func render(b board) ([]byte, error) {
	built, err := b.build()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(built)
	return text.Bytes(), err
}
