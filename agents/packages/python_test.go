package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const pythonService = `
import sys, time

agent = sys.modules["flyball_agent"]

@agent.on_pressure
def shed(level):
    print("told " + level)
    print(agent.metrics(), end="")
    told.append(level)

end = time.monotonic() + 60
while not told and time.monotonic() < end:
    time.sleep(0.02)
sys.exit(0 if told else "told nothing")
`

func TestAUserOfPython(t *testing.T) {
	t.Parallel()
	wheel := one(t, "*.whl")
	u := newUser(t)
	u.run(program("FLYBALL_PYTHON", "python3"), "-m", "venv", "venv")
	python := filepath.Join(u.dir, "venv/bin/python")
	u.run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel)
	if shown := u.run(python, "-m", "pip", "--disable-pip-version-check", "show", "flyball-agent"); !strings.Contains(shown, "\nVersion: "+wanted(t, "python")+"\n") {
		t.Errorf("pip show says\n%s", shown)
	}
	u.write("imported.py", "told = []\nimport flyball_agent\n"+pythonService)
	u.write("service.py", "told = []\n"+pythonService)
	u.write("stranger.py", "import sys\nprint('flyball_agent' in sys.modules)\n")

	// Installed and nothing else: no process is touched.
	if touched := u.run(python, "stranger.py"); touched != "False\n" {
		t.Errorf("a process that names no agent has it: %s", touched)
	}
	for name, way := range map[string]struct{ path, program string }{
		"import":     {"", "imported.py"},
		"PYTHONPATH": {filepath.Join(u.dir, "venv/share/flyball"), "service.py"}, // as flyball inject writes it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard(t, "python", (&user{t, u.dir, u.told().with("PYTHONPATH=" + way.path).env}).run(python, way.program))
		})
	}
}
