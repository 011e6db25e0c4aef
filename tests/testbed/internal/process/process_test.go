package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func start(t *testing.T, script string) (Identity, string) {
	t.Helper()
	dir := t.TempDir()
	id, err := Start(Spec{Name: "sample", Argv: []string{"/bin/sh", "-c", script}, Log: filepath.Join(dir, "log")}, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = id.Stop(time.Minute) })
	return id, dir
}

func TestStartedProcessIsFoundAgainAndStopped(t *testing.T) {
	id, dir := start(t, "exec sleep 1000")
	ids, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ids["sample"] != id || !id.Alive() {
		t.Fatalf("started %+v, loaded %+v, alive %v", id, ids["sample"], id.Alive())
	}
	if err := id.Stop(time.Minute); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("it is alive after Stop has returned")
	}
	if err := Forget(dir, "sample"); err != nil {
		t.Fatal(err)
	}
	if ids, _ := Load(dir); len(ids) != 0 {
		t.Errorf("still known after Forget: %v", ids)
	}
}

func TestAProcessThatIgnoresTheRequestIsKilled(t *testing.T) {
	id, dir := start(t, "trap '' TERM; echo ready; while :; do sleep 1; done")
	for LastLine(filepath.Join(dir, "log")) != "ready" {
		time.Sleep(time.Millisecond)
	}
	if err := id.Stop(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("it survived")
	}
}

func TestARecycledPidIsNotOurs(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	earlier, otherBoot := self, self
	earlier.Start--
	otherBoot.Boot = "another"
	for name, id := range map[string]Identity{"another start time": earlier, "another boot": otherBoot, "nothing": {}} {
		if id.Alive() {
			t.Errorf("%s: taken for the process itself", name)
		}
		if err := id.Stop(time.Second); err != nil { // or this test ends here
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTornPidFileIsIgnored(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "etcd.json"), []byte(`{"pid":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if ids, err := Load(dir); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestStatIsReadPastTheCommandsName(t *testing.T) {
	const stat = `42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2`
	startTime, state, err := parseStat(stat)
	if err != nil || startTime != 98765 || state != "S" {
		t.Errorf("start %d, state %q, error %v", startTime, state, err)
	}
	for _, bad := range []string{"", "42 (x", "42 (x) S 1"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
