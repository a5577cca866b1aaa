package strain

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/internal/timing"
)

// ms makes a sample's thread.
func ms(run, wait int) thread {
	return thread{time.Duration(run) * time.Millisecond, time.Duration(wait) * time.Millisecond}
}

func TestSince(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(cpu int, threads map[int]thread) sample {
		return sample{at: t0, cpu: time.Duration(cpu) * time.Millisecond, threads: threads}
	}
	cores := runtime.GOMAXPROCS(0)
	for name, c := range map[string]struct {
		before, now sample
		loops       int
		run, wait   int // ms
	}{
		"nothing happened":          {at(0, nil), at(0, nil), 1, 0, 0},
		"the busiest thread":        {at(0, map[int]thread{1: ms(100, 0), 2: ms(0, 0)}), at(0, map[int]thread{1: ms(150, 0), 2: ms(700, 20)}), 2, 700, 20},
		"a thread that is new":      {at(0, nil), at(0, map[int]thread{9: ms(300, 10)}), 1, 300, 10},
		"a loop that moved":         {at(100, map[int]thread{1: ms(0, 0), 2: ms(0, 0)}), at(1000, map[int]thread{1: ms(450, 0), 2: ms(450, 0)}), 1, 900, 0},
		"two loops":                 {at(0, nil), at(1000, nil), 2, 500, 0},
		"more than a processor":     {at(0, nil), at(1700, nil), 1, 1000, 0},
		"waits of who wanted most":  {at(0, map[int]thread{1: ms(0, 0), 2: ms(0, 0)}), at(0, map[int]thread{1: ms(200, 5), 2: ms(50, 900)}), 2, 200, 900},
		"no loops: all processors":  {at(0, map[int]thread{1: ms(0, 0)}), at(300*cores, map[int]thread{1: ms(990, 0)}), 0, 300, 0},
		"who has ended counts here": {at(500, map[int]thread{1: ms(500, 0)}), at(900, nil), 1, 400, 0},
	} {
		c.now.at = t0.Add(time.Second)
		run, wait := c.now.since(c.before, c.loops)
		if run != time.Duration(c.run)*time.Millisecond || wait != time.Duration(c.wait)*time.Millisecond {
			t.Errorf("%s: %v, %v; want %d ms, %d ms", name, run, wait, c.run, c.wait)
		}
	}
}

// What was before the phase that counts is forgotten, but for how busy it was; the kernel's counters are of the whole run.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cpu time.Duration
		var retrans int64
		began := time.Now()
		rates := func(at time.Duration) (share time.Duration) { // in percent, of each second
			switch {
			case at < 3*time.Second:
				return 100
			case at < 7*time.Second:
				return 20
			}
			return 95
		}
		var seconds int
		m := start(1, func() sample {
			for ; time.Duration(seconds)*time.Second < time.Since(began); seconds++ {
				cpu += rates(time.Duration(seconds)*time.Second) * time.Second / 100
				retrans += 10
			}
			return sample{at: time.Now(), cpu: cpu, rss: 5000, kernel: Kernel{SynRetrans: 100 + retrans}}
		})
		time.Sleep(3 * time.Second)
		m.Measure()
		time.Sleep(8 * time.Second)
		r := m.End()
		if r.Measured < 7.999 || r.Measured > 8.001 || r.Opening < 0.99 || r.CPU < 0.57 || r.CPU > 0.58 {
			t.Errorf("%+v; want 8 s at (4*0.2+4*0.95)/8 behind an opening at 1", r)
		}
		if r.Busy < 3.999 || r.Busy > 4.001 || r.Starved != 0 || r.RSS != 5000 || r.Run < 10.999 || r.Run > 11.001 || r.Kernel.SynRetrans != 110 {
			t.Errorf("%+v; want 4 busy seconds, 5000 B, 110 retransmitted", r)
		}
	})
}

// quiet is a reading of which nothing is to be said.
func quiet(name, host string) Reading {
	return Reading{Name: name, Host: host, Processors: 2, Measured: 60, Run: 60, CPU: 0.1, RSS: 20 << 20}
}

func with(r Reading, change func(*Reading)) []Reading {
	change(&r)
	return []Reading{r}
}

func p99(v float64) *timing.Percentiles { return &timing.Percentiles{P99: v} }

// Each rule, at its bounds.
func TestJudge(t *testing.T) {
	one := quiet("", "a")
	flood := Figures{Tool: "flood"}
	figures := func(change func(*Figures)) Figures { f := flood; change(&f); return f }
	crowd := []Reading{}
	for _, name := range []string{"local-1", "local-2", "local-3"} {
		crowd = append(crowd, with(quiet(name, "a"), func(r *Reading) { r.Starved = 50 })...)
	}
	for name, c := range map[string]struct {
		all  []Reading
		f    Figures
		want string // a part of the one sentence; empty: none
		not  Figure // what it leaves alone
	}{
		"quiet":                          {all: []Reading{one}, f: flood},
		"no reading":                     {f: flood},
		"busy":                           {all: with(one, func(r *Reading) { r.Busy = 55 }), f: flood, want: "Its busiest loop took more than 90 % of a processor for 55 of 60 s", not: Connections},
		"busy briefly":                   {all: with(one, func(r *Reading) { r.Busy = 5.9 }), f: flood},
		"a short run, busy for a moment": {all: with(one, func(r *Reading) { r.Measured, r.Busy = 1.5, 1.5 }), f: flood},
		"a worker":                       {all: []Reading{quiet("local-1", "a"), with(quiet("local-2", "a"), func(r *Reading) { r.Busy = 7 })[0]}, f: flood, want: "Worker local-2 of flood took more"},
		"a generator without a rate":     {all: with(one, func(r *Reading) { r.Busy = 60 }), f: Figures{Tool: "msggen", Achieved: 5000}},
		"a generator that kept its rate": {all: with(one, func(r *Reading) { r.Busy = 60 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 1000, Lag: p99(0.5)}},
		"a generator that did not":       {all: with(one, func(r *Reading) { r.Busy = 60 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 980}, want: "give --workers, or ask for less"},
		"a generator that was late":      {all: with(one, func(r *Reading) { r.Busy = 60 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 1000, Lag: p99(30)}, want: "not the server's"},
		"a slow generator, not busy":     {all: []Reading{one}, f: Figures{Tool: "msggen", Asked: 1000, Achieved: 500}},
		"a ramp as fast as it goes":      {all: with(one, func(r *Reading) { r.Opening = 1 }), f: figures(func(f *Figures) { f.Achieved = 30000 })},
		"a ramp that fell behind":        {all: with(one, func(r *Reading) { r.Opening = 0.97 }), f: figures(func(f *Figures) { f.Asked, f.Achieved = 60000, 30000 }), want: "30000 connections a second were opened of 60000", not: Latency},
		"a ramp that the server held up": {all: with(one, func(r *Reading) { r.Opening = 0.3 }), f: figures(func(f *Figures) { f.Asked, f.Achieved = 60000, 30000 })},
		"starved":                        {all: with(one, func(r *Reading) { r.Starved = 40 }), f: flood, want: "Flood waited for a processor for more than half of 40 of 60 s"},
		"a starved generator in time":    {all: with(one, func(r *Reading) { r.Starved = 40 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 1000, Lag: p99(0.5)}},
		"a starved generator that is late": {all: with(one, func(r *Reading) { r.Starved = 40 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 1000, Lag: p99(500)},
			want: "Msggen waited for a processor for more than half of 40 of 60 s", not: Messages},
		"a starved generator below its rate": {all: with(one, func(r *Reading) { r.Starved = 40 }), f: Figures{Tool: "msggen", Asked: 1000, Achieved: 900, Lag: p99(500)},
			want: "Msggen waited for a processor", not: Connections},
		"starved a little":              {all: with(one, func(r *Reading) { r.Starved = 11 }), f: flood},
		"more workers than processors":  {all: crowd, f: flood},
		"descriptors":                   {all: []Reading{one}, f: figures(func(f *Figures) { f.NoDescriptors = 3 }), want: "3 connections could not be dialed, as this process, or the machine, had no descriptors left", not: Latency},
		"ports":                         {all: []Reading{one}, f: figures(func(f *Figures) { f.NoPorts = 1 }), want: "1 connection could not be dialed, as the source address had no ports left"},
		"memory":                        {all: []Reading{one}, f: figures(func(f *Figures) { f.NoMemory = 1 }), want: "no memory"},
		"late":                          {all: []Reading{one}, f: figures(func(f *Figures) { f.Lag, f.Service, f.Messages = p99(5), p99(3), 1000 }), want: "p99 5 ms after they were due, and took p99 3 ms from there", not: Connections},
		"late, but the server is later": {all: []Reading{one}, f: figures(func(f *Figures) { f.Lag, f.Service, f.Messages = p99(5), p99(558), 1000 })},
		"late by what a timer is":       {all: []Reading{one}, f: figures(func(f *Figures) { f.Lag, f.Service, f.Messages = p99(1), p99(0.2), 1000 })},
		"few messages":                  {all: []Reading{one}, f: figures(func(f *Figures) { f.Lag, f.Service, f.Messages = p99(5), p99(3), 999 })},
		"SYNs again, seen": {all: with(one, func(r *Reading) { r.Kernel = Kernel{SynRetrans: 70, ListenOverflows: 60, ListenDrops: 65} }), f: figures(func(f *Figures) { f.ConnectP99 = 1020 }),
			want: "70 SYNs had to be sent again, each a second late or more, as an accept queue on this machine was full 60 times", not: Connections},
		"SYNs again, and timeouts": {all: with(one, func(r *Reading) { r.Kernel = Kernel{SynRetrans: 70} }), f: figures(func(f *Figures) { f.TimedOut = 4 }), want: "the network, or a queue of the server's, lost them"},
		"SYNs again, of no matter": {all: with(one, func(r *Reading) { r.Kernel = Kernel{SynRetrans: 7000, ListenOverflows: 7000} }), f: figures(func(f *Figures) { f.ConnectP99 = 640 })},
		"slow, but no SYN again":   {all: []Reading{one}, f: figures(func(f *Figures) { f.ConnectP99 = 3000 })},
		"late arrivals":            {all: []Reading{one}, f: figures(func(f *Figures) { f.Arrivals, f.Late = 1000, 11 }), want: "11 of 1000 connections were dialed later than their arrival was due"},
		"few late arrivals":        {all: []Reading{one}, f: figures(func(f *Figures) { f.Arrivals, f.Late = 1000, 10 })},
	} {
		got := Judge(c.all, c.f)
		if len(got.Bottleneck) != len(nonempty(c.want)) || !strings.Contains(strings.Join(got.Bottleneck, "\n"), c.want) {
			t.Errorf("%s: %q, want %q", name, got.Bottleneck, c.want)
		}
		if (len(got.Bottleneck) > 0) != (len(got.Doubtful) > 0) {
			t.Errorf("%s: %q makes doubtful %v", name, got.Bottleneck, got.Doubtful)
		}
		for _, f := range got.Doubtful {
			if f == c.not {
				t.Errorf("%s: %v are doubtful, and should not be", name, got.Doubtful)
			}
		}
	}
}

func nonempty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// Two processes of one host have seen the same counters, those of another host others.
func TestHosts(t *testing.T) {
	sum := together([]Reading{{Host: "a", Kernel: Kernel{5, 3, 4}}, {Host: "a", Kernel: Kernel{6, 2, 4}}, {Host: "b", Kernel: Kernel{1, 1, 1}}})
	if sum != (Kernel{7, 4, 5}) {
		t.Errorf("%+v", sum)
	}
	c := Judge([]Reading{quiet("x", "a"), with(quiet("y", "b"), func(r *Reading) { r.CPU = 0.7 })[0]}, Figures{Tool: "flood"})
	if c.CPU != 0.7 || c.RSS != 40<<20 || c.Bottleneck == nil {
		t.Errorf("%+v; want the busiest one's share, the memory of both, and a list that is empty", c)
	}
}

// This process, while it does nothing but work: its time is seen, by whatever this system tells.
func TestTake(t *testing.T) {
	before := take()
	for n := 0; processTime() == before.cpu && n < 1e9; n++ {
	}
	now := take()
	if runtime.GOOS != "plan9" && now.cpu <= before.cpu {
		t.Errorf("the process's time went from %v to %v", before.cpu, now.cpu)
	}
	if now.rss <= 0 {
		t.Errorf("resident memory is %d", now.rss)
	}
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		return
	}
	run := time.Duration(0)
	for _, x := range now.threads {
		run += x.run
	}
	if run <= 0 {
		t.Errorf("no thread has run: %v", now.threads)
	}
}
