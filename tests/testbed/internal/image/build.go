package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CompileGo builds the static binary of a Go command. Neither the folder it is
// built in nor the version control state is in the result.
func CompileGo(folder string) ([]byte, error) {
	temp, err := os.MkdirTemp("", "flyball-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	binary := filepath.Join(temp, "binary")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary, ".")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build in %s: %w", folder, err)
	}
	return os.ReadFile(binary)
}

// WriteFile writes the image to a file, which is whole or not there.
func (i Image) WriteFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // gone by then if all went well
	if err := i.Write(file); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Chmod(file.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
