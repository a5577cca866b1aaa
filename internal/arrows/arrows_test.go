// Package arrows holds one test: that the packages of this module import each other
// in the directions that the design allows, and that each heavy dependency stays in
// the one place that wraps it.
package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of this module a package may import directly. A
// package that is not in it may not exist. Test files are free.
var mayImport = map[string][]string{
	"cmd/cometctl": {"server", "server/router", "server/history", "server/node", "server/workers", "server/cluster", "flood", "flood/fleet", "msggen", "memlog", "report", "internal/systemd",
		"internal/soak", "internal/soak/chaos", "internal/bearer", "internal/broker", "internal/clienttls", "internal/doctor", "internal/findmax", "internal/netloop", "internal/wire", "internal/offset", "internal/pace", "internal/promise", "internal/ramp", "internal/rlimit", "internal/strain", "internal/timing", "internal/loglimit"},

	// The six. They do not know each other, except report, which reads memlog's log,
	// and soak, which conducts them as processes and reads what they leave.
	"server":         {"server/router", "server/history", "server/ui", "internal/bearer", "internal/netloop", "internal/wire", "internal/rlimit", "internal/slab", "internal/meter"},
	"server/workers": {"server", "server/history", "internal/netloop", "internal/nursery"},
	"server/router":  {"internal/slab"},
	"server/history": {"internal/slab"},
	"server/ui":      {},
	"server/cluster": {"server/router", "internal/broker", "internal/subject"},
	"server/node":    {"server", "server/cluster", "internal/broker"},
	// The contract of a router, as tests for whoever implements it. Only tests import it.
	"server/router/routertest": {"server/router"},
	"flood":                    {"internal/clienttls", "internal/netloop", "internal/wire", "internal/pace", "internal/ramp", "internal/rlimit", "internal/slab", "internal/strain", "internal/timing"},
	"flood/fleet":              {"flood", "internal/wire", "internal/broker", "internal/nursery", "internal/offset", "internal/pace", "internal/ramp", "internal/rlimit", "internal/strain", "internal/timing"},
	"msggen":                   {"internal/clienttls", "internal/broker", "internal/subject", "internal/wire", "internal/pace", "internal/rlimit", "internal/strain", "internal/timing"},
	"memlog":                   {"internal/pace", "internal/rlimit"},
	"report":                   {"memlog", "internal/promise", "internal/timing"},
	"internal/soak":            {"memlog", "report", "internal/nursery", "internal/promise", "internal/rlimit", "internal/pace", "internal/timing"},
	"internal/findmax":         {"internal/nursery", "internal/promise", "internal/timing"},
	"internal/soak/chaos":      {"internal/soak", "report", "internal/nursery", "internal/promise", "internal/rlimit", "internal/timing"},

	// What they stand on. slab is the bottom.
	"internal/netloop": {"internal/slab", "internal/rlimit", "internal/meter"},
	"internal/bearer":  {},
	"internal/doctor":  {"internal/rlimit"},
	"internal/broker":  {},
	// What tests around NATS need. Only tests import it.
	"internal/broker/brokertest": {"internal/broker"},
	"internal/clienttls":         {},
	"internal/wire":              {},
	"internal/loglimit":          {},
	"internal/meter":             {},
	"internal/nursery":           {},
	"internal/offset":            {},
	"internal/pace":              {},
	"internal/ramp":              {"internal/pace"},
	"internal/promise":           {},
	"internal/rlimit":            {},
	"internal/slab":              {},
	"internal/strain":            {"internal/timing"},
	"internal/subject":           {},
	"internal/systemd":           {},
	"internal/timing":            {},
	"internal/arrows":            {},
	"internal/conformance":       {},
}

// onlyIn says which packages may import a package from outside the module, by the
// beginning of its path.
var onlyIn = map[string][]string{
	"github.com/spf13/":           {"cmd/cometctl"},
	"github.com/shirou/gopsutil/": {"memlog"},
	"gonum.org/":                  {"report"},
	"github.com/nats-io/":         {"internal/broker", "flood/fleet", "msggen", "server/cluster", "server/node"},
	"golang.org/x/sys/unix":       {"internal/netloop", "internal/rlimit", "internal/soak/chaos", "internal/systemd", "memlog"},
	"golang.org/x/term":           {"cmd/cometctl"},
	"github.com/prometheus/":      {"server"},
	"github.com/HdrHistogram/":    {"internal/timing"},
	"github.com/gobwas/":          {}, // oracles of tests
	"github.com/coder/":           {},
}

// never says what a package may not import at all, of the standard library too.
var never = map[string][]string{
	"server/router":  {"net", "net/http", "os", "syscall"},                        // no sockets, no HTTP
	"server/history": {"net", "net/http", "os", "syscall"},                        // nor here
	"internal/wire":  {"net", "net/http", "os", "syscall", "io", "bufio", "sync"}, // no I/O; time is there for its types
	"internal/pace":  {"net", "net/http", "os", "syscall"},
	// A verdict can be computed again from the same evidence.
	"internal/promise": {"net", "net/http", "os", "syscall"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// packages lists the module's packages, for one operating system.
func packages(t *testing.T, goos string) (module string, out []pkg) {
	t.Helper()
	name, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	module = strings.TrimSpace(string(name))
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	text, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(text); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	return module, out
}

// look stats every source file of the module. The go command remembers a passed test
// until a file that it looked at changes, and knows nothing of what go list looks at.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestArrows(t *testing.T) {
	look(t)
	for _, goos := range []string{"linux", "darwin", "windows"} {
		module, all := packages(t, goos)
		if len(all) < 5 {
			t.Fatalf("%s: only %d packages were listed", goos, len(all))
		}
		for _, p := range all {
			name := strings.TrimPrefix(p.ImportPath, module+"/")
			may, known := mayImport[name]
			if !known {
				t.Errorf("%s: %s has no place in the design; give it one here and in the design", goos, name)
				continue
			}
			for _, path := range p.Imports {
				if why := forbidden(module, name, path, may); why != "" {
					t.Errorf("%s: %s imports %s: %s", goos, name, path, why)
				}
			}
		}
	}
}

// forbidden returns why name must not import path; nothing if it may.
func forbidden(module, name, path string, may []string) string {
	if inner, ok := strings.CutPrefix(path, module+"/"); ok {
		if !slices.Contains(may, inner) {
			return "no arrow goes there"
		}
		return ""
	}
	for prefix, places := range onlyIn {
		if strings.HasPrefix(path, prefix) && !slices.Contains(places, name) {
			return "it stays inside " + strings.Join(places, ", ")
		}
	}
	if slices.Contains(never[name], path) {
		return "it has no business there"
	}
	return ""
}

// The test must be able to fail.
func TestForbidden(t *testing.T) {
	for _, c := range []struct {
		name, path string
		ok         bool
	}{
		{"report", "m/memlog", true},
		{"memlog", "m/report", false},
		{"flood", "m/server", false},
		{"internal/soak", "m/flood", false},
		{"internal/wire", "m/internal/pace", false},
		{"cmd/cometctl", "github.com/spf13/cobra", true},
		{"flood", "github.com/spf13/cobra", false},
		{"report", "github.com/shirou/gopsutil/v3/process", false},
		{"server", "golang.org/x/sys/unix", false},
		{"server/router", "net/http", false},
		{"server", "net/http", true},
		{"internal/wire", "io", false},
		{"internal/wire", "time", true},
	} {
		if why := forbidden("m", c.name, c.path, mayImport[c.name]); (why == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.name, c.path, why)
		}
	}
}
