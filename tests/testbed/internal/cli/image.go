package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"flyball.dev/testbed/internal/bed"
	"flyball.dev/testbed/internal/image"
)

// buildImage makes an image archive of one static binary.
func buildImage(args []string) error {
	flags := newFlags("image")
	name := flags.String("name", "", "name and tag of the image, such as flyball.dev/demo:dev")
	goPackage := flags.String("go-package", "", "folder of a Go command to build statically")
	binary := flags.String("binary", "", "static binary to take as it is")
	entrypoint := flags.String("entrypoint", "", "path of the binary in the image (default: / and the name's last part)")
	user := flags.String("user", "65532:65532", "user and group it runs as")
	arch := flags.String("arch", "", "processor that the binary is for, as Go names it (default: this machine's)")
	out := flags.String("out", "", "archive to write")
	var extra []image.File
	flags.Func("file", "further file, as SOURCE:PATH (repeatable)", func(value string) error {
		file, err := readFile(value)
		extra = append(extra, file)
		return err
	})
	if _, err := flags.parse(args); err != nil {
		return err
	}
	if err := flags.noArguments(); err != nil {
		return err
	}
	if *out == "" || (*goPackage == "") == (*binary == "") {
		return usageError{errors.New("image: give --name, --out and one of --go-package or --binary")}
	}
	if *entrypoint == "" {
		last := (*name)[strings.LastIndex(*name, "/")+1:]
		*entrypoint = "/" + strings.SplitN(last, ":", 2)[0]
	}
	program, err := readProgram(*goPackage, *binary)
	if err != nil {
		return err
	}
	built := image.Image{
		Name:       *name,
		Entrypoint: []string{*entrypoint},
		User:       *user,
		Arch:       *arch,
		Files:      append(extra, image.File{Path: *entrypoint, Mode: 0o755, Data: program}),
	}
	return built.WriteFile(*out)
}

func readProgram(goPackage, binary string) ([]byte, error) {
	if goPackage != "" {
		return image.CompileGo(goPackage)
	}
	return os.ReadFile(binary)
}

func readFile(value string) (image.File, error) {
	source, path, ok := strings.Cut(value, ":")
	if !ok || !filepath.IsAbs(path) {
		return image.File{}, fmt.Errorf("%q is not SOURCE:PATH with an absolute path", value)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return image.File{}, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return image.File{}, err
	}
	return image.File{Path: path, Mode: int64(info.Mode().Perm()), Data: data}, nil
}

func importImage(args []string) error {
	flags := newFlags("import-image")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	archive, err := flags.oneArgument("an image archive")
	if err != nil {
		return err
	}
	return bed.ImportImage(dir, archive)
}
