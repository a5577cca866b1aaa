package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/report"
)

func TestParseTopology(t *testing.T) {
	for text, want := range map[string]Topology{"1x1": {1, 1}, "3x2": {3, 2}, "10x19": {10, 19}, "1x199": {1, 199}} {
		got, err := ParseTopology(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "3", "3x", "x2", "0x1", "1x0", "-1x2", "3x2x1", "3 x 2", "3X2", "1x200", "100x2", "999999999999x999999999999", "4294967297x4294967297"} {
		if got, err := ParseTopology(text); err == nil || got != (Topology{}) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func FuzzParseTopology(f *testing.F) {
	for _, text := range []string{"3x2", "0x0", "x", "1x-1", "+1x+1", "01x1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTopology(text)
		if err != nil {
			return
		}
		again, err := ParseTopology(got.String())
		if err != nil || again != got || got.nodes() < 2 || got.nodes() > maxNodes {
			t.Errorf("%q is %v, which is %v, %v", text, got, again, err)
		}
	})
}

func newTopology(t *testing.T) *world {
	w := newWorld(t)
	w.cfg.Topology = Topology{3, 2}
	return w
}

func TestTopologyGoesThroughItsPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTopology(t)
		w.waiting.Store(60)
		c, err := w.run(t.Context())
		if err != nil || c.course.Interrupted != "" || c.course.Failures != nil {
			t.Fatalf("error %v, course %+v", err, c.course)
		}
		if got := w.names(c.man); !slices.Equal(got, phases) {
			t.Errorf("phases %v", got)
		}
		fronts := []string{"front-1-1", "front-1-2", "front-2-1", "front-2-2", "front-3-1", "front-3-2"}
		servers := []string{"nats-1", "nats-2", "nats-3"}
		if want := slices.Concat(servers, fronts, []string{mem, flood, msggen}); !slices.Equal(w.started, want) {
			t.Errorf("started %v, want %v", w.started, want)
		}
		if want := slices.Concat([]string{flood, mem}, fronts, servers); !slices.Equal(w.stopped, want) {
			t.Errorf("stopped %v, want %v", w.stopped, want)
		}
		if ramp := time.Duration(c.man.Phases[1].To - c.man.Phases[1].From); ramp < 2*time.Second {
			t.Errorf("the ramp took %s, and did not wait for the ids that NATS had not heard of", ramp)
		}
		last := w.progress[len(w.progress)-1]
		if grown := last.PSS - 3020<<10; last.Procs != 9 || grown < 10<<10 || last.PerConn != float64(grown)/100 { // the third row is the last of the empty server
			t.Errorf("last progress: %+v", last)
		}
		w.checkTopologyArgs()
		w.checkTopologyFolder(c)
	})
}

func (w *world) checkTopologyArgs() {
	for name, want := range map[string]string{
		"nats-1":    "serve --router-only --node nats-1 --json --admin 127.0.0.1:0 --nats-listen 127.0.0.1:0 --nats-cluster soak --nats-cluster-listen 127.0.0.1:0",
		"nats-3":    "--nats-cluster-listen 127.0.0.1:0 --nats-routes nats://127.0.0.2:100,nats://127.0.0.2:200",
		"front-1-2": "serve --node front-1-2 --json --listen 127.0.0.1:0 --admin 127.0.0.1:0 --nats nats://127.0.0.1:100,nats://127.0.0.1:200,nats://127.0.0.1:300",
		"front-3-1": "--nats nats://127.0.0.1:300,nats://127.0.0.1:100,nats://127.0.0.1:200",
		mem:         "memlog --pid 100 --pid 200 --pid 300 --pid 101 --pid 102 --pid 201 --pid 202 --pid 301 --pid 302 --follow --interval 1s",
		flood: "http://127.0.0.1:101/test/{1..16} http://127.0.0.1:102/test/{17..33} http://127.0.0.1:201/test/{34..50} " +
			"http://127.0.0.1:202/test/{51..66} http://127.0.0.1:301/test/{67..83} http://127.0.0.1:302/test/{84..100}",
		msggen: "--to nats://127.0.0.1:100,nats://127.0.0.1:200,nats://127.0.0.1:300 --rate",
	} {
		if got := strings.Join(w.args[name], " "); !strings.Contains(got, want) {
			w.t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
}

// What the folder holds of many nodes: each one's stats, their sum, their addresses.
func (w *world) checkTopologyFolder(c *conductor) {
	t := w.t
	var sum sumStats
	text, err := os.ReadFile(c.folder.path(statsFile))
	if err != nil || json.Unmarshal(text, &sum) != nil || sum.Ledger.Received != w.sent.Load() || len(sum.Nodes) != 9 || sum.Fallen != nil {
		t.Errorf("stats.json: %s, %v", text, err)
	}
	var one nodeStats
	text, err = os.ReadFile(c.folder.path("stats-front-1-1.json"))
	if err != nil || json.Unmarshal(text, &one) != nil || one.Ledger != sum.Ledger {
		t.Errorf("stats-front-1-1.json: %s, %v", text, err)
	}
	m := c.man
	if m.Listen != "" || m.Asked.Topology != "3x2" || m.Pieces[0].NATS != "nats://127.0.0.1:100" || m.Pieces[3].Listen != "127.0.0.1:101" {
		t.Errorf("manifest %+v, %+v", m, m.Pieces[0])
	}
	e := assemble(m, c.kept, c.rows)
	if e.Nodes != 9 || e.Ledger.Sent != w.sent.Load() || e.Ledger.Lost() != 0 || e.Failures != nil {
		t.Errorf("evidence: ledger %+v, %q", e.Ledger, e.Failures)
	}
}

// The death of one of several nodes is a finding, and the run goes on to its end.
func TestNodeThatDies(t *testing.T) {
	for _, c := range []struct {
		names  []string
		after  time.Duration
		phases int // that began before the end
		want   string
	}{
		{[]string{"front-2-1"}, 10 * time.Second, 5, "front-2-1 ended by itself in the traffic phase, after 10.3s, with exit status 2; its last words: out of luck."},
		{[]string{"nats-1"}, 10 * time.Second, 5, "nats-1 ended by itself in the traffic phase, after 10s, with exit status 2; "},
		{[]string{"front-1-1", "front-1-2", "front-2-1", "front-2-2", "front-3-1", "front-3-2", "nats-3"}, 10 * time.Second, 5, "front-1-1 ended by itself in the traffic phase, "},
		{[]string{"nats-2", "front-3-2"}, 3 * time.Second, 5, "nats-2 ended by itself in the ramp phase, "},
		{[]string{"nats-2"}, 200 * time.Millisecond, 1, "nats-2 ended by itself in the empty phase, after 300ms, with exit status 2; "},
		{[]string{"front-1-1"}, 50 * time.Millisecond, 1, "front-1-1 ended by itself in the empty phase, "},
	} {
		t.Run(fmt.Sprintf("%s after %s", strings.Join(c.names, ","), c.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTopology(t)
				for _, name := range c.names {
					w.die[name] = death{c.after, 2, []string{"out of luck"}}
				}
				got, err := w.run(t.Context())
				if err != nil || got.course.Interrupted != "" || len(got.course.Failures) == 0 {
					t.Fatalf("%v, course %+v, want failures", err, got.course)
				}
				if !slices.ContainsFunc(got.course.Failures, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
					t.Errorf("it says %q, want %q", got.course.Failures, c.want)
				}
				if c.phases == len(phases) {
					if n := len(got.course.Failures); n != len(c.names) {
						t.Errorf("%d failures, want one for each that died: %q", n, got.course.Failures)
					}
					if took := time.Duration(got.man.Phases[3].To - got.man.Phases[3].From); took != w.cfg.Duration {
						t.Errorf("the traffic took %s, want all its time", took)
					}
					var sum sumStats
					if !decode(got.kept[statsFile], &sum) || !slices.Equal(sortedNames(sum.Fallen), sortedNames(c.names)) {
						t.Errorf("stats.json: %s", got.kept[statsFile])
					}
				} else if len(w.at) != 1 {
					t.Errorf("the phases %v began", w.at)
				}
			})
		})
	}
}

func sortedNames(s []string) []string { return slices.Sorted(slices.Values(s)) }

// A server with no node left has ended.
func TestLastNodeThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Topology = Topology{1, 1}
		w.die["front-1-1"], w.die["nats-1"] = death{10 * time.Second, 2, nil}, death{12 * time.Second, 2, nil}
		c, err := w.run(t.Context())
		if err != nil || len(c.course.Failures) != 2 || time.Duration(c.man.Phases[3].To-c.man.Phases[3].From) >= w.cfg.Duration {
			t.Errorf("%v, course %+v", err, c.course)
		}
	})
}

// A node that is stopped neither stops the conductor nor counts as told.
func TestNodeThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTopology(t)
		w.mute, w.muteAt = "127.0.0.1:202", 10*time.Second
		c, err := w.run(t.Context())
		if err != nil || c.course.Interrupted != "" || c.course.Failures != nil {
			t.Fatalf("error %v, course %+v", err, c.course)
		}
		if took := time.Duration(c.man.Phases[3].To - c.man.Phases[3].From); took != w.cfg.Duration {
			t.Errorf("the traffic took %s, want all its time", took)
		}
		var sum sumStats
		if !decode(c.kept[statsFile], &sum) || sum.Ledger.Received != w.sent.Load() {
			t.Errorf("stats.json: %s", c.kept[statsFile])
		}
	})
}

// Ids that NATS never hears of are a failure, and do not keep the run waiting.
func TestIdsThatNATSNeverHearsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTopology(t)
		w.waiting.Store(1 << 40)
		c, err := w.run(t.Context())
		if err != nil || len(c.course.Failures) != 1 || !strings.HasPrefix(c.course.Failures[0], "NATS had not heard of every connection's id 30.01s after the ramp: nats-1 has ") {
			t.Errorf("error %v, course %+v", err, c.course)
		}
		if got := w.names(c.man); !slices.Equal(got, phases) {
			t.Errorf("phases %v", got)
		}
	})
}

func TestPublished(t *testing.T) {
	for _, c := range []struct {
		gen  report.MsggenResult
		want report.Ledger
	}{
		{report.MsggenResult{}, report.Ledger{}},
		{report.MsggenResult{Sent: 5}, report.Ledger{Sent: 5, Forwarded: 5}},
		{report.MsggenResult{Sent: 5, Ledger: &report.Ledger{Forwarded: 3, Offline: 3, Received: 3}}, report.Ledger{Sent: 5, Forwarded: 3, Offline: 2}},
	} {
		if got := published(c.gen); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.gen, got, c.want)
		}
	}
}
