package doctor

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// roomy is a machine with 2 processors and 24 GiB, whose processes may have 20,000 descriptors.
func roomy() Snapshot {
	return Snapshot{OS: "linux", Kernel: "6.18.44", Processors: 2, FilesHard: new(int64(20_000)), NrOpen: new(int64(1 << 20)),
		FileMax: new(int64(2_466_183)), FilesOpen: new(int64(980)), Ports: &Ports{First: 32768, Last: 60999}, Somaxconn: new(int64(4096)),
		SynBacklog: new(int64(2048)), SynCookies: new(int64(1)), Page: 4096, TCPMem: &Three{287_901, 383_869, 575_802}, TCPPages: new(int64(97)),
		TCPRmem: &Three{4096, 131_072, 32 << 20}, TCPWmem: &Three{4096, 16_384, 4 << 20}, TrackMax: new(int64(262_144)), TrackCount: new(int64(0)),
		Memory: new(int64(24 << 30)), Available: new(int64(22 << 30)), Threads: new(int64(192_731)), Pids: new(int64(32_768)), Tasks: new(int64(120)),
		Watches: new(int64(5_491_533)), Clock: "tsc", Synchronized: new(false)}
}

// changed is roomy with something else about it.
func changed(change func(*Snapshot)) Snapshot {
	s := roomy()
	change(&s)
	return s
}

func both(conns, workers int) Ask {
	return Ask{Conns: conns, Rate: 1000, Workers: workers, Server: true, Client: true, Loopback: true}
}

// Machines that nobody here has, and what each misses.
func TestExamine(t *testing.T) {
	remote := Ask{Conns: 100_000, Rate: 1000, Client: true}
	for _, c := range []struct {
		name    string
		s       Snapshot
		a       Ask
		missing []string // "check: commands and what may be done instead"
	}{
		{"what fits", roomy(), both(10_000, 1), nil},
		{"all that one process may hold", roomy(), both(19_936, 1), nil},
		{"one too many", roomy(), both(19_937, 1), []string{"descriptors of a process: ulimit -n 20001; give --workers 2, or auto, so that no process needs more"}},
		{"a million in one process", roomy(), both(1_000_000, 1), []string{"descriptors of a process: ulimit -n 1000064; give --workers 52, or auto, so that no process needs more"}},
		{"a million in many", roomy(), both(1_000_000, 0), nil},
		{"above nr_open", roomy(), both(1_100_000, 1), []string{"descriptors of a process: sysctl -w fs.nr_open=1100064; ulimit -n 1100064; give --workers 57, or auto, so that no process needs more"}},
		{"no limit of descriptors", changed(func(s *Snapshot) { s.FilesHard = nil }), both(1_000_000, 1), nil},
		{"a limit below what is set aside", changed(func(s *Snapshot) { s.FilesHard = new(int64(60)) }), both(10, 0),
			[]string{"descriptors of a process: ulimit -n 74"}},
		{"few files in all", changed(func(s *Snapshot) { s.FileMax = new(int64(100_000)) }), both(60_000, 0), []string{"descriptors of the machine: sysctl -w fs.file-max=130000"}},
		{"no ports for one address", roomy(), remote, []string{"ports: give --source 4 addresses of this machine, with commas between them"}},
		{"enough of a wider range", roomy(), Ask{Conns: 50_000, Client: true}, []string{
			`ports: sysctl -w net.ipv4.ip_local_port_range="10240 65535"; give --source 2 addresses of this machine, with commas between them`}},
		{"four addresses", roomy(), Ask{Conns: 100_000, Client: true, Sources: 4}, nil},
		{"two addresses to two servers", roomy(), Ask{Conns: 100_000, Client: true, Sources: 2, Targets: 2}, nil},
		{"reserved ports", changed(func(s *Snapshot) { s.Ports.Reserved = 28_000 }), Ask{Conns: 1000, Client: true, Sources: 4}, []string{
			`ports: sysctl -w net.ipv4.ip_local_port_range="10240 65535"; give --source 5 addresses of this machine, with commas between them`}},
		{"the server's end needs no ports", changed(func(s *Snapshot) { s.Ports = &Ports{First: 1, Last: 1} }), Ask{Conns: 10_000, Server: true}, nil},
		{"a short accept queue", changed(func(s *Snapshot) { s.Somaxconn = new(int64(32)) }), both(1000, 1), []string{"accept queue: sysctl -w net.core.somaxconn=65535"}},
		{"few half-open", changed(func(s *Snapshot) { s.SynBacklog, s.SynCookies = new(int64(64)), new(int64(0)) }), both(1000, 1),
			[]string{"half-open handshakes: sysctl -w net.ipv4.tcp_max_syn_backlog=65535"}},
		{"few half-open, with cookies", changed(func(s *Snapshot) { s.SynBacklog = new(int64(64)) }), both(1000, 1), nil},
		{"small buffers", changed(func(s *Snapshot) { s.TCPMem = &Three{500, 900, 1500} }), both(1000, 1),
			[]string{`memory for TCP buffers: sysctl -w net.ipv4.tcp_mem="1100 1650 2200"`}},
		{"tracked connections", changed(func(s *Snapshot) { s.TrackCount = new(int64(200_000)) }), both(100_000, 0), []string{
			"connection tracking: sysctl -w net.netfilter.nf_conntrack_max=300000; do not track these ports (iptables -t raw ... -j NOTRACK)"}},
		{"no tracking", changed(func(s *Snapshot) { s.TrackMax, s.TrackCount = nil, nil }), both(1_000_000, 0), nil},
		{"too little memory", changed(func(s *Snapshot) { s.Available = new(int64(4 << 30)) }), both(1_000_000, 0),
			[]string{"memory: ask for at most 364,749 connections, or give the machine 7104 MiB more"}},
		{"a container of 512 MiB", changed(func(s *Snapshot) { s.GroupFree = new(int64(512 << 20)) }), both(100_000, 0),
			[]string{"memory: ask for at most 43,080 connections, or raise the group's limit by 633 MiB"}},
		{"a container with few tasks", changed(func(s *Snapshot) { s.Pids, s.Tasks = new(int64(200)), new(int64(150)) }), both(100_000, 0),
			[]string{"threads: sysctl -w kernel.pid_max=350"}},
		{"few watches", changed(func(s *Snapshot) { s.Watches = new(int64(10_000)) }), both(10_000, 1), []string{"epoll watches: sysctl -w fs.epoll.max_user_watches=20000"}},
		{"a Mac", Snapshot{OS: "darwin", Processors: 8, Page: 16384, FilesHard: new(int64(61_440)), FileMax: new(int64(122_880)), Somaxconn: new(int64(128)),
			Ports: &Ports{First: 49152, Last: 65535}, Memory: new(int64(16 << 30)), Available: new(int64(16 << 30)), Pids: new(int64(2666))}, both(20_000, 1),
			[]string{"ports: give --source 2 addresses of this machine, with commas between them"}},
		{"Windows", Snapshot{OS: "windows", Processors: 8, Page: 4096, Ports: &Ports{First: 49152, Last: 65535}, Available: new(int64(8 << 30))}, both(10_000, 1), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Examine(c.s, c.a)
			var missing []string
			for _, k := range r.Checks {
				if k.State == Missing {
					missing = append(missing, k.Name+": "+strings.Join(append(slices.Clone(k.Fix), one(k.Else)...), "; "))
				}
			}
			if !slices.Equal(missing, c.missing) || r.Missing != len(missing) {
				t.Errorf("missing (%d):\n%s\nwant\n%s", r.Missing, strings.Join(missing, "\n"), strings.Join(c.missing, "\n"))
			}
			if fit := r.Most >= int64(c.a.Conns); len(missing) == 0 && !fit {
				t.Errorf("nothing is missing, and %d connections are said to fit (%s)", r.Most, r.MostBy)
			}
		})
	}
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// What is said to fit does, and one more does not, where the machine's limits are what says so.
func TestMostFits(t *testing.T) {
	for _, s := range []Snapshot{roomy(), changed(func(s *Snapshot) { s.Available = new(int64(1 << 30)) }), changed(func(s *Snapshot) { s.Watches = new(int64(30_001)) }),
		changed(func(s *Snapshot) { s.FileMax = new(int64(50_001)) })} {
		for _, a := range []Ask{both(1, 1), both(1, 7), {Conns: 1, Workers: 3, Client: true, Sources: 2}, {Conns: 1, Workers: 3, Server: true}} {
			most := Examine(s, a).Most
			a.Conns = int(most)
			if r := Examine(s, a); r.Missing != 0 {
				t.Errorf("%+v: %d connections are said to fit, and %d limits are missing then", a, most, r.Missing)
			}
			a.Conns++
			if r := Examine(s, a); r.Missing == 0 {
				t.Errorf("%+v: %d connections are said to be the most, and one more fits", a, most)
			}
		}
	}
}

// A machine that tells nothing misses nothing, and fits as many as anybody likes: it only says that it does not tell.
func TestNothingKnown(t *testing.T) {
	for _, os := range []string{"linux", "plan9"} {
		r := Examine(Snapshot{OS: os, Processors: 1, Page: 4096}, both(1_000_000, 1))
		if r.Missing != 0 || r.Most != math.MaxInt64 || r.MostBy != "" {
			t.Errorf("%s: %+v", os, r)
		}
		untold := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == "memory" && c.State == Unknown })
		if untold < 0 {
			t.Errorf("%s: nothing says that the memory is not known", os)
		}
	}
}

// Advice does not count as missing, and says what to do.
func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		s     Snapshot
		a     Ask
		check string
	}{
		"a fast ramp":            {changed(func(s *Snapshot) { s.Somaxconn = new(int64(128)) }), both(1000, 1), "accept queue"},
		"nobody tracks yet":      {roomy(), both(300_000, 0), "connection tracking"},
		"more than it can do":    {roomy(), Ask{Conns: 1000, Rate: 3e5, Loopback: true}, "processors"},
		"half a processor":       {changed(func(s *Snapshot) { s.Quota = new(0.5) }), both(1000, 1), "processors"},
		"saving power":           {changed(func(s *Snapshot) { s.Governor = "powersave" }), both(1000, 1), "processors"},
		"a slow clock":           {changed(func(s *Snapshot) { s.Clock = "hpet" }), both(1000, 1), "clock"},
		"two clocks, apart":      {roomy(), Ask{Conns: 1000, Client: true}, "clock"},
		"the server's own clock": {roomy(), Ask{Conns: 1000, Server: true}, "clock"},
	} {
		r := Examine(c.s, c.a)
		i := slices.IndexFunc(r.Checks, func(k Check) bool { return k.Name == c.check })
		if i < 0 || r.Checks[i].State != Advice || len(r.Checks[i].Fix) == 0 && r.Checks[i].Else == "" || r.Missing != 0 {
			t.Errorf("%s: %+v", name, r.Checks)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 4200: "4,200 B", 20 << 10: "20 KiB", 300 << 20: "300 MiB", 12 << 30: "12.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{-1234: "-1,234", 999: "999", 1000: "1,000", -100: "-100", 1234567: "1,234,567"} {
		if got := group(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
