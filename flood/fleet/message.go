package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cometctl/flood"
	"cometctl/internal/pace"
	"cometctl/internal/strain"
	"cometctl/internal/timing"
)

// version of the protocol. Who speaks another one is told so, in the answer to its hello.
const version = 3

// Subjects of the requests that workers make. The first two are answered by whoever coordinates; the others belong to one
// run, and begin with its name.
const (
	clockSubject = "comet.flood.clock" // the coordinator's time, in ns since the epoch, decimal
	helloSubject = "comet.flood.hello" // hello -> welcome
)

func shareSubject(run string) string { return "comet.flood." + run + ".share" } // wanted -> piece
func beatSubject(run string) string  { return "comet.flood." + run + ".beat" }  // beat -> orders
func wakeSubject(run string) string  { return "comet.flood." + run + ".wake" }  // to all workers: ask for your orders now

// Bounds of what either side accepts.
const (
	maxTargets = 1<<28 - 1
	maxText    = 4 << 10 // bytes of a name, a host, an error
	maxTurns   = 10_000
	maxDue     = 20_000 // steps of time in one beat
)

// errMessage is the error of a message that neither side of this version writes.
var errMessage = errors.New("fleet: a message that is none of ours")

// hello is a worker's first message.
type hello struct {
	Version int           `json:"v"`
	Name    string        `json:"name"`
	Host    string        `json:"host"`
	PID     int           `json:"pid"`
	Room    int           `json:"room"`            // connections that it can have
	Offset  time.Duration `json:"clock_offset_ns"` // what the coordinator's clock is ahead
	Error   time.Duration `json:"clock_error_ns"`  // how wrong that may be
	Token   string        `json:"token,omitempty"` // of a local worker's invitation
}

// printable makes what another process calls something fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

func parseHello(b []byte) (hello, error) {
	var h hello
	if err := json.Unmarshal(b, &h); err != nil {
		return h, errMessage
	}
	if h.Version != version {
		return h, nil // the rest may mean anything
	}
	if len(h.Name) > maxText || len(h.Host) > maxText || len(h.Token) > maxText || h.Room < 0 || h.Room > maxTargets || h.Error < 0 {
		return h, errMessage
	}
	h.Name, h.Host = printable(h.Name), printable(h.Host)
	return h, nil
}

// welcome answers a hello.
type welcome struct {
	Version int    `json:"v"`
	Run     string `json:"run"`
	Worker  int    `json:"worker"` // its number
	Name    string `json:"name"`   // its name
	Error   string `json:"error,omitempty"`
}

func parseWelcome(b []byte) (welcome, error) {
	var w welcome
	if err := json.Unmarshal(b, &w); err != nil {
		return w, errMessage
	}
	if w.Version != version {
		return w, fmt.Errorf("%w: it speaks version %d of the protocol, this worker version %d; use one cometctl everywhere", ErrRefused, w.Version, version)
	}
	if w.Error != "" {
		return w, fmt.Errorf("%w: %s", ErrRefused, printable(w.Error))
	}
	if w.Worker < 0 || !isName(w.Run) {
		return w, errMessage
	}
	return w, nil
}

// isName reports whether s can be one token of a NATS subject.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// wanted asks for a piece of the worker's share: its targets from From on.
type wanted struct {
	Worker int `json:"worker"`
	From   int `json:"from"` // among its own
}

// appendPiece appends the answer: the first target that is not in it, a line break, and lines that make those before it.
func appendPiece(dst []byte, t *flood.Targets, s flood.Share, from, limit int) []byte {
	text, next := t.AppendText(nil, s.From+from, s.To, limit)
	dst = strconv.AppendInt(dst, int64(next-s.From), 10)
	return append(append(dst, '\n'), text...)
}

// parsePiece returns the lines of a piece, and where the next one begins.
func parsePiece(b []byte, from, targets int) (next int, text []byte, err error) {
	first, text, ok := bytes.Cut(b, []byte("\n"))
	next, err = strconv.Atoi(string(first))
	if !ok || err != nil || next <= from || next > targets || len(text) == 0 {
		return 0, nil, errMessage
	}
	return next, text, nil
}

// plan is a worker's part in a run.
type plan struct {
	Targets        int           `json:"targets"`
	Rotation       uint64        `json:"rotation"`
	Ask            flood.Ask     `json:"ask"`
	Pace           string        `json:"pace"`
	Turns          flood.Turns   `json:"turns,omitempty"`
	InFlight       int           `json:"in_flight"`
	ConnectTimeout time.Duration `json:"connect_timeout_ns"`
	Redial         flood.Redial  `json:"redial,omitzero"`
	Seed           uint64        `json:"seed,omitzero"`
	Manners        flood.Manners `json:"manners,omitzero"`
	ByDue          time.Duration `json:"by_due_ns,omitzero"`
	Drain          time.Duration `json:"drain_ns,omitzero"`
	Run            string        `json:"run,omitzero"`      // whose messages count, as flood.ParseRuns reads it
	Every          time.Duration `json:"beat_ns"`           // between two beats
	Clock          time.Duration `json:"clock_ns,omitzero"` // what the clock of the run is ahead of the coordinator's
}

// config is the plan as flood takes it, still without its targets, and the rules for those.
func (p *plan) config() (cfg flood.Config, rules flood.Rules, err error) {
	if p.Targets < 1 || p.Targets > maxTargets || len(p.Turns) > maxTurns || p.InFlight < 0 ||
		p.ConnectTimeout <= 0 || p.Redial.Check() != nil || p.Manners.Check(p.Targets) != nil || p.ByDue < 0 || p.Drain < 0 || p.Every < beatEvery || p.Every > beatLast {
		return cfg, rules, errMessage
	}
	cfg = flood.Config{Rotation: p.Rotation, Turns: p.Turns, InFlight: p.InFlight, ConnectTimeout: p.ConnectTimeout,
		Redial: p.Redial, Manners: p.Manners, Seed: p.Seed, ByDue: p.ByDue, Drain: p.Drain, Every: p.Every}
	if cfg.Pace, err = pace.Parse(p.Pace); err != nil {
		return cfg, rules, err
	}
	if cfg.Runs, err = flood.ParseRuns(p.Run); err != nil {
		return cfg, rules, errMessage
	}
	rules, err = p.Ask.Rules()
	return cfg, rules, err
}

// state is where a worker stands.
type state string

const (
	waiting state = "waiting" // for its plan
	loading state = "loading" // its share
	ready   state = "ready"   // for the start
	running state = "running"
	over    state = "over" // its connections are closed; Tally is the last
)

// beat is what a worker says every second or so, and whenever there is news.
type beat struct {
	Worker int         `json:"worker"`
	State  state       `json:"state"`
	Phase  flood.Phase `json:"phase,omitempty"` // of its run
	Tally  []byte      `json:"tally,omitempty"` // all that it has counted, as flood.Tally.AppendBinary writes it
	Due    *due        `json:"due,omitempty"`   // what came by due time since
	More   bool        `json:"more,omitempty"`  // there is more by due time, which comes with the next beat
	Error  string      `json:"error,omitempty"` // why it cannot go on; it ends

	Strain *strain.Reading `json:"strain,omitempty"` // with over: of the worker's process
}

// due is what was counted by due time, in pieces that are sent one after the other. A piece is repeated until it was answered,
// and counted once.
type due struct {
	Seq     uint64  `json:"seq"` // from 1
	At      []int64 `json:"at"`  // ns since the epoch
	N       []int64 `json:"n"`
	Outside int64   `json:"outside,omitzero"`
}

// cutDue makes pieces of what was counted, numbered from seq on.
func cutDue(b *timing.Buckets, seq uint64) (all []due) {
	last := due{Seq: seq, Outside: b.Outside()}
	for at, n := range b.All() {
		if len(last.At) == maxDue {
			all = append(all, last)
			last = due{Seq: last.Seq + 1}
		}
		last.At, last.N = append(last.At, at), append(last.N, n)
	}
	if len(last.At) > 0 || last.Outside > 0 {
		all = append(all, last)
	}
	return all
}

// addTo counts the piece.
func (d *due) addTo(b *timing.Buckets) {
	for i, at := range d.At {
		b.AddN(at, d.N[i])
	}
	b.AddOutside(d.Outside)
}

func parseBeat(b []byte) (beat, error) {
	var m beat
	if err := json.Unmarshal(b, &m); err != nil {
		return m, errMessage
	}
	switch m.State {
	case waiting, loading, ready, running, over:
	default:
		return m, errMessage
	}
	switch m.Phase {
	case "", flood.Ramp, flood.Hold, flood.Late, flood.Drain:
	default:
		return m, errMessage
	}
	if len(m.Error) > maxText || m.Due != nil && (len(m.Due.At) != len(m.Due.N) || len(m.Due.At) > maxDue) {
		return m, errMessage
	}
	m.Error = printable(m.Error)
	if m.Strain != nil {
		m.Strain.Name, m.Strain.Host = "", "" // the coordinator knows both
	}
	return m, nil
}

// orders answer a beat: what the coordinator wants of the worker by now.
type orders struct {
	Plan  *plan  `json:"plan,omitempty"`     // while it is waiting
	Start int64  `json:"start_ns,omitempty"` // while it is ready: when its run begins, ns since the epoch by the coordinator's clock
	Stop  bool   `json:"stop,omitempty"`
	Error string `json:"error,omitempty"` // it has no part in the run (any more)
}

func parseOrders(b []byte) (orders, error) {
	var o orders
	if err := json.Unmarshal(b, &o); err != nil || o.Start < 0 || len(o.Error) > maxText {
		return orders{}, errMessage
	}
	o.Error = printable(o.Error)
	return o, nil
}

// Invitation is what a local worker reads from its stdin: where to join, and by what it is known. It is there and not on the
// command line because it holds secrets. When stdin ends, so has the coordinator.
type Invitation struct {
	URLs     []string `json:"urls"`
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty"`
	Token    string   `json:"token"`
	Workers  int      `json:"workers"` // local ones, who share the processors
}

// ParseInvitation reads one line of a worker's stdin.
func ParseInvitation(b []byte) (Invitation, error) {
	var i Invitation
	if err := json.Unmarshal(b, &i); err != nil || len(i.URLs) == 0 || i.Token == "" || i.Workers < 1 {
		return Invitation{}, errors.New("fleet: this is no invitation; --join - is what flood --workers says to the processes that it starts")
	}
	return i, nil
}
