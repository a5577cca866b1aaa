package soak

import (
	"os"
	"runtime"
	"strings"
	"time"

	"cometctl/internal/rlimit"
	"cometctl/report"
)

// Manifest is manifest.json: what was run, on what, and when. It is written again at
// every phase and every start, so that even a run that was killed leaves one. Moments
// are nanoseconds since the epoch. docs/formats.md describes it for other readers.
type Manifest struct {
	Format  int            `json:"format"` // of this file: 1
	Version string         `json:"version"`
	Asked   Asked          `json:"asked"`
	Machine Machine        `json:"machine"`
	Limits  Limits         `json:"limits"`
	Listen  string         `json:"listen,omitempty"` // the server's comet listener, if it has one
	Admin   string         `json:"admin,omitempty"`  // and its admin listener
	Pieces  []*PieceRecord `json:"pieces"`
	Phases  []PhaseRecord  `json:"phases"`
	// FirstSample is when the first row of the memory log came. The log's own time has
	// whole seconds only; with this and its elapsed column every row has its moment.
	FirstSample int64 `json:"first_sample_ns,omitempty"`
	report.Course
}

// Asked is what the run was asked to do.
type Asked struct {
	report.Asked
	IntervalS float64  `json:"interval_s"`
	Engine    string   `json:"engine,omitempty"`   // empty: serve's own choice
	Workers   int      `json:"workers,omitempty"`  // of serve and of flood; none: one process each
	Topology  string   `json:"topology,omitempty"` // "3x2"; none: one server
	FailIf    []string `json:"fail_if,omitempty"`  // conditions under which the run fails
	// Server is a server that is not our own; nil: it is.
	Server *ServerRecord `json:"server,omitempty"`
}

// nodes is Config.nodes, of one that has been recorded.
func (a Asked) nodes() int64 {
	if a.Server != nil {
		return 1
	}
	t, _ := ParseTopology(a.Topology) // the zero Topology for none
	return int64(Config{Workers: a.Workers, Topology: t}.nodes())
}

// Machine is what the run ran on.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"` // release; not known on every system
	CPUs   int    `json:"cpus"`
	Go     string `json:"go"`
}

// Limits are the system's limits that a run can meet. Zero is not known.
type Limits struct {
	Files     rlimit.Files `json:"files"`
	Somaxconn int          `json:"somaxconn,omitempty"`
	PortsFrom int          `json:"ports_from,omitempty"`
	PortsTo   int          `json:"ports_to,omitempty"`
}

// PieceRecord is one process of the run.
type PieceRecord struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"` // after the program's name; of a foreign server, with it. Passwords are left out
	PID     int      `json:"pid"`
	Listen  string   `json:"listen,omitempty"` // of a node: its comet listener,
	Admin   string   `json:"admin,omitempty"`  // its admin listener,
	NATS    string   `json:"nats,omitempty"`   // and the client URL of its NATS server
	Started int64    `json:"started_ns"`
	Ended   int64    `json:"ended_ns,omitempty"`
	Exit    string   `json:"exit,omitempty"` // "exit status 0", "signal: killed"
}

// PhaseRecord is one phase of the run. A phase ends where the next begins.
type PhaseRecord struct {
	Name string `json:"name"`
	From int64  `json:"from_ns"`
	To   int64  `json:"to_ns,omitempty"`
}

func newManifest(cfg Config) *Manifest {
	m := &Manifest{
		Format:  1,
		Version: cfg.Version,
		Asked: Asked{
			Asked:     report.Asked{Conns: int64(cfg.Conns), Rate: cfg.Rate, DurationS: cfg.Duration.Seconds()},
			IntervalS: cfg.Interval.Seconds(),
			Engine:    cfg.Engine,
			Topology:  cfg.Topology.String(),
			Server:    cfg.Foreign.record(),
		},
		Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()},
		Pieces:  []*PieceRecord{},
		Phases:  []PhaseRecord{},
	}
	for _, c := range cfg.FailIf {
		m.Asked.FailIf = append(m.Asked.FailIf, c.String())
	}
	if cfg.Workers > 1 {
		m.Asked.Workers = cfg.Workers
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Machine.Kernel = strings.TrimSpace(string(text))
	}
	m.Limits.Files, _ = rlimit.Read() // what is not known stays zero
	m.Limits.Somaxconn, _ = rlimit.Somaxconn()
	m.Limits.PortsFrom, m.Limits.PortsTo, _ = rlimit.Ports()
	return m
}

// begin ends the phase that is on and begins another. A phase that begins twice
// begins the second time.
func (m *Manifest) begin(name string, now time.Time) {
	if n := len(m.Phases); n > 0 && m.Phases[n-1].Name == name {
		m.Phases[n-1].From = now.UnixNano()
		return
	}
	m.finish(now)
	m.Phases = append(m.Phases, PhaseRecord{Name: name, From: now.UnixNano()})
}

// finish ends the phase that is on.
func (m *Manifest) finish(now time.Time) {
	if n := len(m.Phases); n > 0 && m.Phases[n-1].To == 0 {
		m.Phases[n-1].To = now.UnixNano()
	}
}

// phase returns the name of the last phase that began.
func (m *Manifest) phase() string {
	if n := len(m.Phases); n > 0 {
		return m.Phases[n-1].Name
	}
	return ""
}

// phaseBegan returns when it did.
func (m *Manifest) phaseBegan() time.Time {
	if n := len(m.Phases); n > 0 {
		return time.Unix(0, m.Phases[n-1].From)
	}
	return time.Time{}
}

// span returns a phase as report wants it; the zero Span if it never came to its end.
func (m *Manifest) span(name string) report.Span {
	for _, p := range m.Phases {
		if p.Name == name && p.To != 0 {
			return report.Span{From: time.Unix(0, p.From), To: time.Unix(0, p.To)}
		}
	}
	return report.Span{}
}
