package runtimes

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// loaderCache tells the loader where libraries are that lie in none of its own folders.
const loaderCache = "/etc/ld.so.cache"

// Libraries are the loader that a program asks for, and the folders in which it
// finds the libraries: whole, because a runtime opens more of them as it goes.
// A static program has none.
func Libraries(program string, env map[string]string) ([]string, error) {
	loader, err := loaderOf(program)
	if err != nil || loader == "" {
		return nil, err
	}
	cmd := exec.Command(loader, "--list", program)
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("find the libraries of %s: %w", program, err)
	}
	folders, err := libraryFolders(string(out))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	paths := []string{loader}
	for _, folder := range folders {
		// By the name that the loader uses, and by the real one: in a pod no link joins them.
		paths = append(paths, folder)
		if real, err := filepath.EvalSymlinks(folder); err == nil {
			paths = append(paths, real)
		}
	}
	if _, err := os.Stat(loaderCache); err == nil {
		paths = append(paths, loaderCache)
	}
	return paths, nil
}

// loaderOf is what the kernel starts a program with.
func loaderOf(program string) (string, error) {
	file, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("%s is no program of this machine: %w", program, err)
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			name, err := io.ReadAll(part.Open())
			return strings.TrimRight(string(name), "\x00"), err
		}
	}
	return "", nil
}

// libraryFolders reads what the loader lists: `name => path (address)`, a line
// for each library.
func libraryFolders(list string) ([]string, error) {
	var folders []string
	for line := range strings.Lines(list) {
		name, path, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			continue // the loader itself, and what the kernel gives
		}
		path, _, _ = strings.Cut(path, " (")
		if !filepath.IsAbs(path) {
			return nil, errors.New("the library " + name + " is not on this machine")
		}
		folders = append(folders, filepath.Dir(filepath.Clean(path)))
	}
	return folders, nil
}
