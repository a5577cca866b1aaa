package soak

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/report"
)

// foreignWorld is a world with a server that is not our own, which Run starts.
func foreignWorld(t *testing.T) *world {
	w := newWorld(t)
	w.cfg.Foreign = &Foreign{Exec: []string{"flood", "x"}, // a name like ours makes it none of ours
		Ready: "http://127.0.0.1:1/", Patience: 10 * time.Second, URLs: []string{"http://127.0.0.1:1/sub/{1..100}"}, To: "POST http://127.0.0.1:1/pub/{id}"}
	w.cfg.FloodOptions, w.cfg.MsggenOptions = []string{"--as=sse"}, []string{"--body={msg}"}
	return w
}

func TestForeignGoesThroughThePhases(t *testing.T) {
	for _, exec := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := foreignWorld(t)
			w.unready = 3
			started, stopped, pid := []string{server, mem, flood, msggen}, []string{flood, mem, server}, "4711"
			if !exec {
				w.cfg.Foreign = &Foreign{PIDs: []int{33}, URLs: w.cfg.Foreign.URLs, To: w.cfg.Foreign.To}
				w.cfg.found = []int{33}
				started, stopped, pid = started[1:], stopped[:2], "33"
			}
			c, err := w.run(t.Context())
			if err != nil || c.course.Interrupted != "" || c.course.Failures != nil {
				t.Fatalf("error %v, course %+v", err, c.course)
			}
			if got := w.names(c.man); !slices.Equal(got, phases) {
				t.Errorf("phases %v", got)
			}
			if !slices.Equal(w.started, started) || !slices.Equal(w.stopped, stopped) {
				t.Errorf("started %v, stopped %v", w.started, w.stopped)
			}
			for name, want := range map[string]string{
				mem:    "memlog --pid " + pid + " ",
				flood:  " --as=sse http://127.0.0.1:1/sub/{1..100}",
				msggen: " --to POST http://127.0.0.1:1/pub/{id} --rate 10.000000000 --duration 24s --ids 100 --body={msg}",
			} {
				if got := strings.Join(w.args[name], " ") + " "; !strings.Contains(got, want) {
					t.Errorf("%s was started as %q, want %q", name, got, want)
				}
			}
			if took := c.man.Phases[4].To - c.man.Phases[4].From; time.Duration(took) > drainQuiet {
				t.Errorf("the drain took %s, though all had arrived", time.Duration(took))
			}
			e := assemble(c.man, c.kept, c.rows)
			if e.Server == "" || e.Ledger != nil || e.Nodes != 1 {
				t.Errorf("evidence of server %q, %d nodes, ledger %v", e.Server, e.Nodes, e.Ledger)
			}
			if s := report.Summarize(e); s.Messages.Delivered != nil || *s.Messages.Sent != w.sent.Load() {
				t.Errorf("messages %+v", s.Messages)
			}
		})
	}
}

func TestForeignThatIsNotReady(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(*world)
		want string
	}{
		{"never", func(w *world) { w.unready = -1 }, "was not ready within 10s: connection refused; what it said is in "},
		{"ended at once", func(w *world) { w.unready = -1; w.die[server] = death{time.Second, 3, []string{"no such file"}} },
			"ended before it was ready, with exit status 3; its last words: no such file; it must stay in the foreground"},
		{"a daemon", func(w *world) { w.unready = -1; w.die[server] = death{time.Second, 0, nil} },
			"ended before it was ready, with exit status 0; it said nothing; it must stay in the foreground"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := foreignWorld(t)
				c.bend(w)
				_, err := w.run(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if len(w.started) != 1 {
					t.Errorf("started %v", w.started)
				}
			})
		})
	}
}

// The end of the server is a failure, whoever notices it.
func TestForeignThatDies(t *testing.T) {
	const lost = "memlog: the target has ended: pid 33 (x) ended after 5 rows"
	for _, c := range []struct {
		name, dies string
		death      death
		want       string
	}{
		{"its own end", server, death{10 * time.Second, 2, []string{"panic"}}, "server ended by itself in the traffic phase, after 10s, with exit status 2; its last words: panic."},
		{"a good end", server, death{10 * time.Second, 0, nil}, "server ended by itself in the traffic phase, after 10s, with exit status 0."},
		{"seen by flood", flood, death{10 * time.Second, 1, []string{"no connection is left open"}}, "The server (pid 33) ended in the traffic phase, after 12s: no such process."},
		{"seen by memlog", mem, death{10 * time.Second, 1, []string{lost}}, "The server (pid 33) ended in the traffic phase, after "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := foreignWorld(t)
				if c.dies != server {
					w.absent = c.dies == flood
					w.cfg.Foreign = &Foreign{PIDs: []int{33}, URLs: w.cfg.Foreign.URLs, To: w.cfg.Foreign.To}
					w.cfg.found = []int{33}
				}
				w.die[c.dies] = c.death
				got, err := w.run(t.Context())
				if err != nil || got.course.Interrupted != "" || !strings.Contains(strings.Join(got.course.Failures, "|"), c.want) {
					t.Errorf("error %v, course %+v, want %q", err, got.course, c.want)
				}
			})
		})
	}
}

// An instrument of ours that ends is none of the server's business.
func TestForeignWithoutMemlog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := foreignWorld(t)
		w.cfg.Foreign = &Foreign{PIDs: []int{33}, URLs: w.cfg.Foreign.URLs, To: w.cfg.Foreign.To}
		w.cfg.found = []int{33}
		w.die[mem] = death{10 * time.Second, 1, []string{"disk full"}}
		if c, _ := w.run(t.Context()); c.course.Failures != nil || !strings.Contains(c.course.Interrupted, "disk full") {
			t.Errorf("course %+v", c.course)
		}
	})
}

// A server that does not hear SIGTERM is killed, and that is nothing against it.
func TestForeignThatIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := foreignWorld(t)
		w.deaf = server
		c, err := w.run(t.Context())
		if err != nil || c.course.Failures != nil || c.server.record.Exit != "signal: killed" {
			t.Errorf("error %v, course %+v, exit %q", err, c.course, c.server.record.Exit)
		}
	})
}

func TestForeignInterrupted(t *testing.T) {
	for _, after := range []time.Duration{time.Millisecond, 2500 * time.Millisecond, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := foreignWorld(t)
			w.unready = 20
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			c, err := w.run(ctx)
			if err != nil || !strings.HasPrefix(c.course.Interrupted, "Interrupted in the ") || !slices.Contains(w.stopped, server) {
				t.Errorf("after %s: %v, course %+v, stopped %v", after, err, c.course, w.stopped)
			}
		})
	}
}

func TestForeignString(t *testing.T) {
	for want, f := range map[string]Foreign{
		"nginx -c x":               {Exec: []string{"nginx", "-c", "x"}, Port: 80},
		"who listens on port 8010": {Port: 8010},
		"pid 33":                   {PIDs: []int{33}},
		"pids 33, 34":              {PIDs: []int{33, 34}},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v is %q, want %q", f, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for arg, want := range map[string]string{
		"":                                    "",
		"--urls":                              "--urls",
		"http://h/a@b":                        "http://h/a@b",
		"http://anna:pw@h/{id}":               "http://anna:xxxxx@h/{id}",
		"POST https://anna:p@w@h:1/x?y=a:b@c": "POST https://anna:xxxxx@h:1/x?y=a:b@c",
		"http://anna@h":                       "http://anna:xxxxx@h",
		"--to=http://a:b@h":                   "--to=http://a:xxxxx@h",
		"--header=TE: chunked":                "--header=TE: chunked",
		"--header=Authorization: Bearer 123":  "--header=Authorization: xxxxx",
		"authorization: Bearer 123":           "authorization: xxxxx",
		"--header=X-API-Key:123":              "--header=X-API-Key: xxxxx",
		"--body={\"channel\":\"{id}\"}":       "--body={\"channel\":\"{id}\"}",
	} {
		if got := redact(arg); got != want {
			t.Errorf("%q is shown as %q, want %q", arg, got, want)
		}
	}
}
