package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Two builds of the same tree by the same tools are the same bytes. The folder
// stage holds what the tools are run on.
func TestAnotherBuildIsTheSame(t *testing.T) {
	first, again := built(t), folder(t, "FLYBALL_PACKAGES_AGAIN")
	compared := 0
	for _, way := range [][2]string{{first, again}, {again, first}} {
		err := filepath.WalkDir(way[0], func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			below, err := filepath.Rel(way[0], name)
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if below == "stage" {
					return filepath.SkipDir
				}
				return nil
			}
			one, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			other, err := os.ReadFile(filepath.Join(way[1], below))
			if err != nil {
				t.Errorf("%s was built once only: %v", below, err)
			} else if !bytes.Equal(one, other) {
				t.Errorf("%s differs", below)
			}
			compared++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}
