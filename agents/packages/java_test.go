package main

import (
	"archive/zip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"encoding/xml"

	"deps.dev/util/maven"
)

const javaService = `
import dev.flyball.api.Flyball;
import java.lang.management.ManagementFactory;
import javax.management.ObjectName;

public class Shop {
    public static void main(String[] arguments) throws Exception {
        var beans = ManagementFactory.getPlatformMBeanServer();
        var agent = new ObjectName("dev.flyball:type=Agent");
        Flyball.onPressure(level -> {
            try {
                while (!beans.isRegistered(agent)) Thread.sleep(20);
                System.out.print("told " + level.name().toLowerCase() + "\n" + beans.getAttribute(agent, "Metrics"));
                System.out.flush();
                Runtime.getRuntime().halt(0);
            } catch (Exception error) {
                error.printStackTrace();
            }
        });
        Thread.sleep(60_000);
        System.out.println("told nothing");
        System.exit(1);
    }
}
`

// unpacked is the bundle as Central would serve it.
func unpacked(t *testing.T, u *user) string {
	t.Helper()
	archive, err := zip.OpenReader(one(t, "*-bundle.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, entry := range archive.File {
		content, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		u.write(filepath.Join("central", entry.Name), string(text))
	}
	return filepath.Join(u.dir, "central")
}

// jar is one of an artifact, in a repository.
func jar(repository, artifact, version, kind string) string {
	return filepath.Join(repository, "dev/flyball", artifact, version, artifact+"-"+version+kind)
}

func TestAUserOfJava(t *testing.T) {
	t.Parallel()
	version := wanted(t, "java")
	u := newUser(t)
	central := unpacked(t, u)
	agent, api := jar(central, "flyball-agent", version, ".jar"), jar(central, "flyball-api", version, ".jar")
	u.write("Shop.java", javaService)
	u.write("module/shop/Shop.java", "package shop;\n"+javaService)
	u.write("module/module-info.java", "module shop { requires dev.flyball.api; requires java.management; }")
	for _, release := range []string{"17", "25"} {
		t.Run(release, func(t *testing.T) {
			home, err := exec.Command(source.path("agents/java/jdk"), release).Output()
			if err != nil {
				skip(t, "there is no JDK "+release+" here")
			}
			tool := func(name string) string { return filepath.Join(strings.TrimSpace(string(home)), "bin", name) }
			u := &user{t, u.dir, u.env}
			u.run(tool("javac"), "-d", release, "-cp", api, "Shop.java")
			heard(t, "java", u.told().run(tool("java"), "-javaagent:"+agent, "-cp", release+":"+api, "Shop"))

			// The same as a module.
			modules := release + "-modules"
			u.run(tool("javac"), "-d", modules, "-p", api, "module/module-info.java", "module/shop/Shop.java")
			heard(t, "java", u.told().run(tool("java"), "-javaagent:"+agent, "-p", modules+":"+api, "-m", "shop/shop.Shop"))
		})
	}
}

// Maven itself resolves both artifacts, with their checksums. It does so for
// its own extensions before any plugin, of which none is here.
func TestAUserOfMaven(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	central, version := unpacked(t, u), wanted(t, "java")
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		t.Skip("there is no Maven here; the descriptions are read by TestWhatCentralAsksFor all the same")
	}
	var extensions, imports string
	for _, artifact := range []string{"flyball-agent", "flyball-api"} {
		coordinates := "<groupId>dev.flyball</groupId><artifactId>" + artifact + "</artifactId><version>" + version + "</version>"
		extensions += "<extension>" + coordinates + "</extension>"
		imports += "<dependency>" + coordinates + "<type>pom</type><scope>import</scope></dependency>"
	}
	u.write(".mvn/extensions.xml", "<extensions>"+extensions+"</extensions>")
	u.write("settings.xml", "<settings><mirrors><mirror><id>built</id><mirrorOf>*</mirrorOf><url>file://"+central+"</url></mirror></mirrors></settings>")
	u.write("pom.xml", "<project><modelVersion>4.0.0</modelVersion><groupId>shop</groupId><artifactId>shop</artifactId><version>1</version>"+
		"<dependencyManagement><dependencies>"+imports+"</dependencies></dependencyManagement></project>")
	u.run(mvn, "--batch-mode", "--offline", "-Daether.offline.protocols=file", "--strict-checksums", "-s", "settings.xml", "-Dmaven.repo.local=local", "validate")
	for _, artifact := range []string{"flyball-agent", "flyball-api"} {
		for _, kind := range []string{".pom", ".jar"} {
			taken, err := os.ReadFile(jar(filepath.Join(u.dir, "local"), artifact, version, kind))
			if err != nil {
				t.Fatal(err)
			}
			ours, err := os.ReadFile(jar(central, artifact, version, kind))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(taken, ours) {
				t.Errorf("Maven took another %s%s", artifact, kind)
			}
		}
	}
}

func TestWhatCentralAsksFor(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	central, version := unpacked(t, u), wanted(t, "java")
	for _, artifact := range []string{"flyball-agent", "flyball-api"} {
		text, err := os.ReadFile(jar(central, artifact, version, ".pom"))
		if err != nil {
			t.Fatal(err)
		}
		var project maven.Project
		if err := xml.Unmarshal(text, &project); err != nil {
			t.Fatal(err)
		}
		if err := project.Interpolate(); err != nil {
			t.Fatal(err)
		}
		want := maven.ProjectKey{GroupID: "dev.flyball", ArtifactID: maven.String(artifact), Version: maven.String(version)}
		if project.ProjectKey != want || project.Packaging != "jar" || len(project.Dependencies) != 0 {
			t.Errorf("%s is %v, a %s with %d dependencies", artifact, project.ProjectKey, project.Packaging, len(project.Dependencies))
		}
		if len(project.Licenses) != 1 || project.Licenses[0].Name != "Apache-2.0" {
			t.Errorf("%s has the licences %v", artifact, project.Licenses)
		}
		if len(project.Developers) != 1 || project.Developers[0].Name != "Flyball" {
			t.Errorf("%s has the developers %v", artifact, project.Developers)
		}
		for field, value := range map[string]maven.String{
			"name": project.Name, "description": project.Description, "url": project.URL, "scm.url": project.SCM.URL,
		} {
			if value == "" {
				t.Errorf("%s has no %s", artifact, field)
			}
		}
	}
}
