package chaos

import (
	"strings"
	"testing"
	"time"

	"cometctl/report"
)

var began = time.Unix(1_000_000, 0)

// calm is a world of two sites that is whole: 20 connections at each front and parent.
func calm() (world, topology) {
	t := topology{sites: 2}
	w := world{nodes: map[string]view{}, clients: clients{open: 80, at: began}}
	for _, k := range []kind{natsKind, frontKind, parentKind} {
		for site := range 2 {
			n := node{name: nodeName(k, site+1), kind: k, site: site + 1}
			t.nodes = append(t.nodes, n)
			v := view{ready: true, answered: began, asked: began}
			v.PID, v.Cluster = 100+len(t.nodes), &member{Connected: true}
			if k == natsKind {
				v.Cluster.Servers = 1
			} else {
				v.Conns.Open, v.Router.Sessions, v.Router.IDs, v.Cluster.Subscribed = 20, 20, 20, 20
			}
			if k == parentKind {
				v.Workers = []worker{{Index: 0, PID: 200, State: running}, {Index: 1, PID: 201, State: running}}
			}
			w.nodes[n.name] = v
		}
	}
	return w, t
}

// bent is calm with one node changed.
func bent(name string, bend func(v *view)) world {
	w, _ := calm()
	v := w.nodes[name]
	if v.Cluster != nil {
		v.Cluster = new(*v.Cluster)
	}
	bend(&v)
	w.nodes[name] = v
	return w
}

func TestSign(t *testing.T) {
	before, top := calm()
	for _, c := range []struct {
		name   string
		now    world
		target string
		want   string
	}{
		{"nothing", before, "front-1", ""},
		{"killed and refused is no sign of the system", bent("front-1", func(v *view) { v.down = true }), "front-1", ""},
		{"disconnected", bent("front-2", func(v *view) { v.Cluster.Connected = false }), "nats-2", "front-2 lost its NATS server"},
		{"back so soon that only the count tells", bent("front-2", func(v *view) { v.Cluster.Outages++ }), "nats-2", "front-2 lost its NATS server"},
		{"route", bent("nats-1", func(v *view) { v.Cluster.Servers = 0 }), "nats-2", "nats-1 lost a route"},
		{"started again has fewer routes", bent("nats-1", func(v *view) { v.PID, v.Cluster.Servers = 999, 0 }), "nats-1", ""},
		{"worker", bent("parent-1", func(v *view) { v.Workers = []worker{{Index: 0, State: "restarting"}} }), "", "parent-1 says worker 0 is restarting"},
		{"worker that runs again", bent("parent-1", func(v *view) { v.Workers = []worker{{Index: 1, State: running, Restarts: 1}} }), "", "parent-1 says worker 1 is running"},
		{"mute", bent("front-1", func(v *view) { v.mute = true }), "front-1", "front-1 owes an answer for 1s"},
		{"another that is mute", bent("front-2", func(v *view) { v.mute = true }), "front-1", ""},
	} {
		if got := sign(before, c.now, top.nodes, c.target); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	now, _ := calm()
	now.clients.closed = 17
	if got := sign(before, now, top.nodes, ""); got != "flood: 17 connections ended" {
		t.Errorf("flood: %q", got)
	}
	now.clients.ended = 1
	if got := sign(before, now, top.nodes, ""); got != "flood says a worker died" {
		t.Errorf("flood's worker: %q", got)
	}
}

func TestUnwhole(t *testing.T) {
	whole, top := calm()
	if why := unwhole(whole, top, 80, began); why != "" {
		t.Fatalf("calm: %s", why)
	}
	for want, w := range map[string]world{
		"front-1 does not answer":                      bent("front-1", func(v *view) { v.down = true }),
		"front-1 owes an answer":                       bent("front-1", func(v *view) { v.mute = true }),
		"nats-2 was not seen again yet":                bent("nats-2", func(v *view) { v.answered = began.Add(-1) }),
		"front-2 is not ready":                         bent("front-2", func(v *view) { v.ready = false }),
		"front-2 is not connected to NATS":             bent("front-2", func(v *view) { v.Cluster = nil }),
		"nats-1 has routes to 0 of 1 servers":          bent("nats-1", func(v *view) { v.Cluster.Servers = 0 }),
		"front-2 has 3 subscriptions to make":          bent("front-2", func(v *view) { v.Cluster.Waiting = 3 }),
		"front-2 is subscribed to 21 of its 20 ids":    bent("front-2", func(v *view) { v.Cluster.Subscribed = 21 }),
		"front-2 has 21 sessions and 20 connections":   bent("front-2", func(v *view) { v.Router.Sessions = 21 }),
		"parent-1 has a worker 1 that is starting":     bent("parent-1", func(v *view) { v.Workers = []worker{{Index: 1, State: "starting"}} }),
		"79 sessions are logged in for 80 connections": bent("front-2", func(v *view) { v.Router.Sessions, v.Conns.Open = 19, 19 }),
		"79 ids are held, not 80":                      bent("front-2", func(v *view) { v.Router.IDs, v.Cluster.Subscribed = 19, 19 }),
	} {
		if why := unwhole(w, top, 80, began); why != want {
			t.Errorf("it says %q, want %q", why, want)
		}
	}
	if why := unwhole(whole, top, 81, began); why != "80 of 81 connections are open" {
		t.Errorf("one connection too few: %q", why)
	}
	whole.clients.at = began.Add(-time.Second)
	if why := unwhole(whole, top, 80, began); !strings.Contains(why, "flood has not said") {
		t.Errorf("an old word of the flood: %q", why)
	}
}

func TestCheckMemory(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		before, after int64
		ok            bool
	}{
		{10 * mb, 8 * mb, true}, {10 * mb, 14 * mb, true}, {10 * mb, 14*mb + 1, false}, {100 * mb, 110 * mb, true}, {100 * mb, 110*mb + 1, false},
	} {
		k := checkMemory([]report.Level{{Piece: "nats-1", Before: mb, After: mb}, {Piece: "front-1", Before: c.before, After: c.after}})
		if k.OK != c.ok || !c.ok && !strings.Contains(k.Found, "front-1 from ") {
			t.Errorf("%d to %d: %+v", c.before, c.after, k)
		}
	}
}

func TestCheckWhole(t *testing.T) {
	for _, c := range []struct {
		why       string
		recovered time.Duration
		seen      bool
		failed    []string
	}{
		{"", 0, false, nil}, {"", wholeWithin, true, nil},
		{"", wholeWithin + 1, true, []string{"whole"}},
		{"front-1 has 3 sessions and 2 connections", time.Second, true, []string{"sessions"}},
	} {
		var failed []string
		for _, k := range checkWhole(c.why, c.recovered, c.seen) {
			if !k.OK {
				failed = append(failed, k.Name)
			}
		}
		if strings.Join(failed, ",") != strings.Join(c.failed, ",") {
			t.Errorf("%+v: %v failed", c, failed)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"": strings.Join(Faults(), ","), "all": strings.Join(Faults(), ","), " kill-front , kill-front,partition": "kill-front,kill-front,partition",
	} {
		if got, err := ParseFaults(text); err != nil || strings.Join(got, ",") != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"kill", "kill-front,", ",", "all,kill-front"} {
		if got, err := ParseFaults(text); err == nil || !strings.Contains(err.Error(), "there are kill-front, ") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
