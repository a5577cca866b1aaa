// Package fleet runs one flood in several processes: local ones that it starts itself, and others, on this or other machines,
// that join. It is for more connections than one process may have descriptors, or one core or one machine can carry. A fleet's
// result is what one flood's would be: counts are summed, histograms merged by their buckets, times are by one clock.
//
// Two roles, and NATS between them:
//
//   - The coordinator (coordinator.go, member.go) has the targets and knows every worker: it shares the targets out, lets all
//     begin together, sums up what they count, tells them to stop, and says so when one dies. It opens no connection itself.
//     It starts the local workers (local.go).
//   - A worker (worker.go) is a flood.Flood and a voice: it says hello, measures how its clock differs from the coordinator's
//     (internal/offset), fetches its share, and then reports every second or so, which is also how it hears what to do.
//
// Their messages are in message.go, with all that one side checks of what the other says. Every exchange is a request of the
// worker's: it asks again when an answer is lost, and a coordinator elsewhere that does not answer for Silence is gone. The only
// thing that the coordinator says unasked is "ask now", so that nobody waits for a second to pass.
//
// A worker trusts the coordinator with nothing but a share of targets: what is done with this machine (whether targets may be
// remote, source addresses, engine, loops) is for who started the worker to say.
//
// Run's goroutine owns everything in the coordinator, Join's everything in a worker. Others only send to their channels,
// but for flood.Flood's calls of Config.Tally, which leave what they bring in a locked place.
package fleet

import (
	"errors"
	"runtime"
	"time"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/rlimit"
)

// Silence is how long either side waits for a sign of life before it takes the other for dead, where they are on different machines. On
// one machine the end of a process is seen, and silence tells of too much work only.
const Silence = 15 * time.Second

// How often a worker reports: once a second, and less often where there are so many that the coordinator would have no time
// for anything else.
const (
	beatEvery = time.Second
	beatMost  = 25 // workers that beat once a second
	beatLast  = 5 * time.Second
)

// Died is the cause under which connections are counted that a worker's death has ended, in flood.Result's ClosedBy, and those
// that it had not tried yet, in FailedBy.
const Died = "worker died"

// Errors of this package; compare with errors.Is.
var (
	// ErrNotStarted is returned by Run where no connection was opened, because of what was asked for.
	ErrNotStarted = errors.New("fleet: nothing was opened")
	// ErrRefused is returned by Join where the coordinator has no place for this worker, or another version.
	ErrRefused = errors.New("fleet: the coordinator refuses")
	// ErrNobody is returned by Join where no coordinator answers.
	ErrNobody = errors.New("fleet: nobody coordinates a flood there")
	// ErrGone is returned by Join, beside the result, when the coordinator does not answer any more.
	ErrGone = errors.New("fleet: the coordinator is gone")
)

// Config says what a fleet is to do. Flood, and Workers or Machines, are all that is needed.
type Config struct {
	// Flood is what one flood would be told. InFlight bounds the handshakes of all workers together; each may have one, and
	// where it is 0 some 16. What is a worker's own (Sources, Engine, Loops), or is for this package to set (Turns, Start, Watch,
	// Tally), is not looked at.
	Flood    flood.Config
	Ask      flood.Ask // how targets are asked; the workers are told, certificate and key included
	Workers  int       // processes to start here
	Machines int       // workers to wait for
	Program  string    // what to start, with Args and "--join -": a program that reads an Invitation from its stdin and calls Join
	Args     []string

	Embed   broker.EmbedConfig   // the NATS server to run in this process
	Connect broker.ConnectConfig // if it has URLs: a NATS outside, instead; if not: how to log in to Embed's

	Watch func(Progress) // called each Flood.Every and at the beginning of each phase; nil: nobody watches
	Log   func(string)   // what is worth a line: where to join, who died; nil: nobody listens
}

// Result is a flood's result, and who had which part in it.
type Result struct {
	flood.Result
	Workers []Worker `json:"workers"`
}

// Progress is a flood's progress, and who has which part in it. What a worker has counted is up to some seconds old.
type Progress struct {
	flood.Progress
	Workers []Worker `json:"workers"`
}

// Worker is the part of one process in a fleet.
type Worker struct {
	Name        string   `json:"name"` // local-1 and so on, or what the worker calls itself
	Host        string   `json:"host"`
	PID         int      `json:"pid"`
	Asked       int      `json:"asked"` // its targets; what follows means what it means in flood.Result
	Open        int      `json:"open"`
	Failed      int      `json:"failed"`
	ClosedEarly int      `json:"closed_early"`
	Reconnects  int      `json:"reconnects"`
	Messages    uint64   `json:"messages"`
	ClockOffset float64  `json:"clock_offset_ms"` // what the coordinator's clock is ahead of the worker's; 0 where it may be none
	ClockError  float64  `json:"clock_error_ms"`  // how wrong that may be
	Ended       string   `json:"ended"`           // how the worker ended where it should not have: "signal: killed"
	Share       []string `json:"share,omitempty"` // its targets as URLs and templates; nil where they are long
}

// maxShare is the length of the longest share that a Worker shows.
const maxShare = 4 << 10

// Auto is how many local workers n targets ask for: as many as descriptors demand, and one for each processor where there is
// much to do.
func Auto(n int) (int, error) {
	limit, err := rlimit.Raise()
	if err != nil {
		return 0, err
	}
	workers := needed(n, limit)
	if n >= 50_000 {
		workers = max(workers, runtime.NumCPU())
	}
	return workers, nil
}

// needed is how many processes with this limit n connections take.
func needed(n int, limit rlimit.Files) int {
	room := room(limit)
	if room == 0 {
		return n
	}
	return max((n+room-1)/room, 1)
}

// room is how many connections a process with this limit can have.
func room(limit rlimit.Files) int {
	return min((&rlimit.Shortage{Hard: limit.Hard}).Possible(), maxTargets)
}
