// Command krew fills the manifest's template: the version, where archives are, and the digest of each.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	version = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	digest  = regexp.MustCompile(`SHA256\(([^)]+)\)`)
)

// fill returns the manifest of the template. Every archive that it names must be in the folder.
func fill(template, release, base, folder string) (string, error) {
	if !version.MatchString(release) {
		return "", fmt.Errorf("%q is not a version; write it as v1.2.3", release)
	}
	if !strings.HasPrefix(base, "https://") {
		return "", fmt.Errorf("%q is not where archives can be fetched from; begin with https://", base)
	}
	var missing []error
	filled := digest.ReplaceAllStringFunc(template, func(found string) string {
		suffix := digest.FindStringSubmatch(found)[1]
		sum, err := sumOf(filepath.Join(folder, "flyball-"+release+"-"+suffix))
		missing = append(missing, err)
		return sum
	})
	filled = strings.NewReplacer("BASE", strings.TrimRight(base, "/"), "VERSION", release).Replace(withoutComments(filled))
	return filled, errors.Join(missing...)
}

// The template's own comments are about the template.
func withoutComments(text string) string {
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w; make it with: make cross", err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func main() {
	template := flag.String("template", "flyball.yaml", "the template")
	release := flag.String("version", "", "the version, such as v0.1.0")
	base := flag.String("base", "", "the URL of the folder in which the archives are published")
	folder := flag.String("archives", "", "the folder of the archives")
	flag.Parse()
	text, err := os.ReadFile(*template)
	if err == nil {
		var filled string
		if filled, err = fill(string(text), *release, *base, *folder); err == nil {
			_, err = os.Stdout.WriteString(filled)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}
