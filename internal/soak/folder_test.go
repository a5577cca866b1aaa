package soak

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/report"
)

func TestCreateFolder(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	full := filepath.Join(base, "full")
	if err := errors.Join(os.WriteFile(file, nil, 0o666), os.Mkdir(full, 0o777), os.WriteFile(filepath.Join(full, "summary.json"), []byte("{}"), 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		refuse string
	}{
		{filepath.Join(base, "new"), ""},
		{filepath.Join(base, "new"), ""}, // made above, still empty
		{filepath.Join(base, "a", "b"), ""},
		{full, "it holds summary.json"},
		{file, "it is a file"},
	} {
		dir, err := createFolder(c.path)
		if c.refuse == "" {
			if err != nil || string(dir) != c.path {
				t.Errorf("%s: %q, %v", c.path, dir, err)
			}
		} else if !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), c.refuse) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want ErrNotEmpty and %q", c.path, err, c.refuse)
		}
	}
	if text, err := os.ReadFile(filepath.Join(full, "summary.json")); err != nil || string(text) != "{}" {
		t.Errorf("what was there is now %q, %v", text, err)
	}
}

func TestWriteLeavesNothingHalf(t *testing.T) {
	dir := folder(t.TempDir())
	if err := os.MkdirAll(dir.path("taken/x"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := dir.write("taken", []byte("text")) // no file takes the place of a folder that holds something
	if left, e := os.ReadDir(string(dir)); err == nil || e != nil || len(left) != 1 {
		t.Errorf("error %v; left are %v, %v", err, left, e)
	}
}

// testFolder is a folder as a good run leaves it: first sample at 1000.9 s, empty from
// 1000.5 to 1003.5, ramp to 1004.5, idle to 1007.5, traffic to 1010.5.
var testFolder = map[string]string{
	manifestFile: `{"format":1,"asked":{"conns":2,"rate":3},"first_sample_ns":1000900000000,"phases":[
		{"name":"empty","from_ns":1000500000000,"to_ns":1003500000000},
		{"name":"ramp","from_ns":1003500000000,"to_ns":1004500000000},
		{"name":"idle","from_ns":1004500000000,"to_ns":1007500000000},
		{"name":"traffic","from_ns":1007500000000,"to_ns":1010500000000},
		{"name":"drain","from_ns":1010500000000}]}`,
	flood + ".json":  `{"asked":2,"open":1,"failed":0,"closed_early":1,"messages":8,"duplicated":1,"latency_ms":null}`,
	msggen + ".json": `{"sent":9,"accepted":9,"rate":3}`,
	statsFile:        `{"conns":1,"ledger":{"sent":9,"delivered":8,"gone":1}}`,
	logFile: "# columns: date epoch rss_kb conns elapsed_s anon_kb pss_kb slab_kb sockbuf_kb procs\n" +
		"x\t1000\t100\t0\t0.000\t1\t1\t50\t4\n" +
		"x\t1002\t101\t0\t2.000\t1\t1\t50\t4\t3\n" +
		"x\t1004\t150\t2\t4.000\t1\t1\t60\n" +
		"x\t1006\t152\t2\t6.000\t1\t\t\t\n" +
		"x\t1010\t160",
}

func writeFolder(t *testing.T, files map[string]string, except ...string) folder {
	dir := folder(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(dir.path(name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range except {
		os.Remove(dir.path(name))
	}
	return dir
}

func TestEvidence(t *testing.T) {
	e, err := writeFolder(t, testFolder).evidence()
	if err != nil {
		t.Fatal(err)
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	want := report.Evidence{
		Asked: report.Asked{Conns: 2, Rate: 3},
		Phases: report.Phases{
			Empty:   report.Span{From: at(1000500), To: at(1003500)},
			Idle:    report.Span{From: at(1004500), To: at(1007500)},
			Traffic: report.Span{From: at(1007500), To: at(1010500)},
		},
		Samples: []report.Sample{
			{Time: at(1000900), RSS: 100 << 10, PSS: 1 << 10, Kernel: 54 << 10, Procs: -1, CPU: -1},
			{Time: at(1002900), RSS: 101 << 10, PSS: 1 << 10, Kernel: 54 << 10, Procs: 3, CPU: -1},
			{Time: at(1004900), RSS: 150 << 10, PSS: 1 << 10, Kernel: 60 << 10, Conns: 2, Procs: -1, CPU: -1}, // by whole seconds it would belong to the ramp
			{Time: at(1006900), RSS: 152 << 10, PSS: -1, Kernel: -1, Conns: 2, Procs: -1, CPU: -1},
		},
		Flood:      &report.FloodResult{Asked: 2, Open: 2, ClosedEarly: 1, Messages: 8, Duplicated: 1},
		Msggen:     &report.MsggenResult{Sent: 9, Accepted: 9, Rate: 3},
		Ledger:     &report.Ledger{Sent: 9, Delivered: 8, Gone: 1},
		Nodes:      1,
		ClientHere: true,
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("evidence\n%+v\nwant\n%+v", e, want)
	}
}

// What a killed run leaves behind is evidence too: less of it.
func TestEvidenceThatIsNotWhole(t *testing.T) {
	for _, name := range []string{flood + ".json", msggen + ".json", statsFile, logFile} {
		dir := writeFolder(t, testFolder, name)
		e, err := dir.evidence()
		if err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		if got := [4]bool{e.Flood == nil, e.Msggen == nil, e.Ledger == nil, e.Samples == nil}; got !=
			[4]bool{name == flood+".json", name == msggen+".json", name == statsFile, name == logFile} {
			t.Errorf("without %s: absent are %v", name, got)
		}
		if name == logFile {
			continue
		}
		if err := os.WriteFile(dir.path(name), []byte(testFolder[name][:20]), 0o666); err != nil {
			t.Fatal(err)
		}
		if again, err := dir.evidence(); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("a torn %s is not like none: %v", name, err)
		}
	}
	if _, err := writeFolder(t, testFolder, manifestFile).evidence(); err == nil || !strings.Contains(err.Error(), manifestFile) {
		t.Errorf("without a manifest: %v", err)
	}
}

func TestAudit(t *testing.T) {
	for _, c := range []struct {
		nodes  int64
		ledger report.Ledger
		want   string
	}{
		{1, report.Ledger{}, ""},
		{1, report.Ledger{Sent: 15, Delivered: 1, Offline: 2, Dropped: 3, Gone: 4, Pending: 5}, ""},
		{1, report.Ledger{Sent: 16, Delivered: 1, Offline: 2, Dropped: 3, Gone: 4, Pending: 5},
			"The server's ledger does not add up: 16 sent, but 1 delivered + 2 offline + 3 dropped + 4 gone + 5 pending = 15."},
		{3, report.Ledger{Sent: 28, Received: 5, Delivered: 1, Offline: 2, Dropped: 3, Gone: 4, Pending: 5, Forwarded: 17, Unpublished: 1}, ""},
		{3, report.Ledger{Sent: 9, Received: 9, Delivered: 8, Forwarded: 9},
			"The nodes' ledgers do not add up: 9 sent + 9 received = 18, but 8 delivered + 0 offline + 0 dropped + 0 gone + 0 pending + 9 forwarded + 0 unpublished = 17."},
		{3, report.Ledger{Sent: 9, Received: 9, Delivered: 9, Forwarded: 7, Unpublished: 2, Overrun: 1}, "The nodes have received 3 messages more than were forwarded."},
	} {
		if got := strings.Join(audit(c.ledger, c.nodes), "|"); got != c.want {
			t.Errorf("%+v: %q", c.ledger, got)
		}
	}
}

func TestSome(t *testing.T) {
	for n, want := range map[int]string{0: "", 2: "a b", 4: "a b c d", 5: "a b c 2 more workers of serve ended by themselves."} {
		if got := strings.Join(some([]string{"a", "b", "c", "d", "e"}[:n], serve), " "); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// What a server of many nodes leaves: sums, and who died.
func TestEvidenceOfManyNodes(t *testing.T) {
	const offline = `{"sent":9,"accepted":9,"rate":3,"ledger":{"sent":0,"delivered":7,"offline":1,"received":8,"forwarded":8}}`
	for _, c := range []struct {
		name, asked, flood, msggen, stats string
		nodes                             int64
		ledger                            report.Ledger
		failures                          []string
	}{
		{"a topology", `"topology":"3x2"`, "", offline, `{"ledger":{"received":8,"delivered":8},"nodes":["nats-1"]}`,
			9, report.Ledger{Sent: 9, Forwarded: 8, Offline: 1, Received: 8, Delivered: 8}, nil},
		{"without answers to msggen", `"topology":"1x1"`, "", `{"sent":9}`, `{"ledger":{"received":9,"delivered":9}}`,
			2, report.Ledger{Sent: 9, Forwarded: 9, Received: 9, Delivered: 9}, nil},
		{"a node that fell", `"topology":"1x2"`, "", `{"sent":9}`, `{"ledger":{"received":7,"delivered":3},"fallen":["front-1-2"]}`,
			3, report.Ledger{Sent: 9, Forwarded: 9, Received: 7, Delivered: 3}, nil},
		{"workers", `"workers":2`, "", `{"sent":9}`, `{"ledger":{"sent":9,"forwarded":9,"received":9,"delivered":8},"workers":[{"index":0},{"index":1}]}`,
			3, report.Ledger{Sent: 9, Forwarded: 9, Received: 9, Delivered: 8}, []string{"The nodes' ledgers do not add up"}},
		{"workers that died", `"workers":2`,
			`{"asked":2,"open":1,"closed_early":1,"workers":[{"name":"1","pid":7,"asked":1,"ended":""},{"name":"2","pid":8,"asked":1,"ended":"signal: killed"}]}`, `{"sent":9}`,
			`{"ledger":{"sent":9,"forwarded":9,"received":9,"delivered":8},"workers":[{"index":0,"restarts":3,"why":"worker 0, pid 9: exit status 2"},{"index":1}]}`,
			3, report.Ledger{Sent: 9, Forwarded: 9, Received: 9, Delivered: 8},
			[]string{"flood's worker 2 (pid 8, with 1 of the connections) ended by itself: signal: killed.",
				"A worker of serve ended by itself: worker 0, pid 9: exit status 2 (it was started again 3 times)."}},
	} {
		files := maps.Clone(testFolder)
		files[manifestFile] = strings.Replace(files[manifestFile], `"rate":3`, `"rate":3,`+c.asked, 1)
		files[flood+".json"], files[msggen+".json"], files[statsFile] = c.flood, c.msggen, c.stats
		e, err := writeFolder(t, files).evidence()
		if err != nil {
			t.Fatal(err)
		}
		if e.Nodes != c.nodes || *e.Ledger != c.ledger {
			t.Errorf("%s: %d nodes, ledger %+v", c.name, e.Nodes, *e.Ledger)
		}
		if !slices.EqualFunc(e.Failures, c.failures, strings.HasPrefix) {
			t.Errorf("%s: failures %q", c.name, e.Failures)
		}
	}
}

// The summary follows from the folder alone, and twice the same.
func TestConclude(t *testing.T) {
	dir := writeFolder(t, testFolder)
	first, err := conclude(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.Verdict != report.Fail || *first.Memory.UserPerConn != 25856 { // (median of 150 and 152 KB - that of 100 and 101) / 2
		t.Errorf("summary %+v, %v", first, *first.Memory.UserPerConn)
	}
	text, err := os.ReadFile(dir.path(summaryFile))
	if err != nil || !strings.Contains(string(text), `"verdict": "fail"`) {
		t.Errorf("summary.json: %s, %v", text, err)
	}
	if png, err := os.ReadFile(dir.path(pictureFile)); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("no picture: %v", err)
	}
	// An interrupt that comes when all is done cuts nothing short.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	second, err := conclude(ctx, dir)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("again: %+v, %v", second, err)
	}
	cut := strings.Replace(testFolder[manifestFile], `"format":1,`, `"format":1,"interrupted":"Interrupted.",`, 1)
	if err := os.WriteFile(dir.path(manifestFile), []byte(cut), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := conclude(ctx, dir); !errors.Is(err, ErrInterrupted) {
		t.Errorf("a run that was cut short: %v", err)
	}
}
