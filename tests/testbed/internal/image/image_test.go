package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"testing"
)

func sample() Image {
	return Image{
		Name:       "flyball.dev/demo:dev",
		Entrypoint: []string{"/demo"},
		User:       "65532:65532",
		Files: []File{
			{Path: "/demo", Mode: 0o755, Data: []byte("binary")},
			{Path: "/etc/ssl/certs/ca.crt", Mode: 0o644, Data: []byte("ca")},
		},
	}
}

func write(t *testing.T, image Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := image.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func entries(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = data
	}
}

func TestSameContentGivesSameBytes(t *testing.T) {
	turned := sample()
	turned.Files[0], turned.Files[1] = turned.Files[1], turned.Files[0]
	if !bytes.Equal(write(t, sample()), write(t, turned)) {
		t.Error("the order of the files changes the archive")
	}
	other := sample()
	other.Files[0].Data = []byte("another")
	if bytes.Equal(write(t, sample()), write(t, other)) {
		t.Error("another binary gives the same archive")
	}
}

func TestArchiveIsWhole(t *testing.T) {
	archive := entries(t, write(t, sample()))
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(archive["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(manifest[0].RepoTags, []string{"flyball.dev/demo:dev"}) {
		t.Errorf("tags %v", manifest[0].RepoTags)
	}
	layer := archive[manifest[0].Layers[0]]
	var config struct {
		Config struct{ Entrypoint []string }
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(archive[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if want := "sha256:" + digest(layer); config.RootFS.DiffIDs[0] != want {
		t.Errorf("the configuration names layer %s, the archive has %s", config.RootFS.DiffIDs[0], want)
	}
	files := entries(t, layer)
	for _, name := range []string{"demo", "etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca.crt"} {
		if _, ok := files[name]; !ok {
			t.Errorf("the layer has no %s", name)
		}
	}
}

func TestNameNeedsATag(t *testing.T) {
	image := sample()
	image.Name = "demo"
	if err := image.Write(io.Discard); err == nil {
		t.Error("an image without a tag is written")
	}
}
