package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts, and soak's children, run cometctl without a build: the
// test binary under the name of cometctl is cometctl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cometctl": main})
}

// TestScripts runs testdata/script/*.txtar, each in a directory of its own. One
// alone: go test ./cmd/cometctl -run 'TestScripts/^soak$'. Besides testscript's
// own commands a script has those of script_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		Cmds:               scriptCommands(),
		Setup:              setupScript,
		Condition:          scriptCondition,
		RequireUniqueNames: true,
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
	})
}
