package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A service that has no line about Flyball in it beside the event.
const nodeService = `
process.on('flyball:pressure', (level) => {
  console.log('told ' + level);
  console.log(globalThis[Symbol.for('flyball.agent')].metrics());
  process.exit(0);
});
setTimeout(() => { console.log('told nothing'); process.exit(1); }, 60000);
`

func TestAUserOfNode(t *testing.T) {
	t.Parallel()
	archive := one(t, "*.tgz")
	u := newUser(t)
	u.write("package.json", `{"name": "shop", "version": "1.0.0", "private": true}`)
	npm := program("FLYBALL_NPM", "npm")
	u.run(npm, "install", "--offline", "--no-audit", "--no-fund", archive)
	if listed := u.run(npm, "ls", "--parseable", "--long", "--all"); !strings.HasSuffix(strings.TrimSpace(listed), ":flyball-agent@"+wanted(t, "node")) {
		t.Errorf("npm ls lists %s", listed)
	}
	u.write("service.js", nodeService)
	u.write("required.js", "require('flyball-agent').onPressure((level) => process.emit('flyball:told', level));\n"+nodeService)
	u.write("imported.mjs", `
import flyball from 'flyball-agent';
flyball.onPressure((level) => { console.log('told ' + level); console.log(flyball.metrics()); process.exit(0); });
setTimeout(() => { console.log('told nothing'); process.exit(1); }, 60000);
`)
	whole := filepath.Join(u.dir, "node_modules/flyball-agent/flyball-agent.js")
	node := program("FLYBALL_NODE", "node")
	for name, way := range map[string]struct {
		options string
		args    []string
	}{
		"require in the code": {"", []string{"required.js"}},
		"import in the code":  {"", []string{"imported.mjs"}},
		"--require by path":   {"--require " + whole, []string{"service.js"}}, // as flyball inject writes it
		"--require by name":   {"--require flyball-agent", []string{"service.js"}},
		"--import by name":    {"--import flyball-agent", []string{"service.js"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard(t, "node", (&user{t, u.dir, u.told().with("NODE_OPTIONS=" + way.options).env}).run(node, way.args...))
		})
	}
}
