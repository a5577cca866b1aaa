package findmax

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"cometctl/internal/nursery"
	"cometctl/internal/timing"
)

// Heard is a line of the receiver's progress, in flood's JSON keys.
type Heard struct {
	Asked       int    `json:"asked"`
	Open        int    `json:"open"`
	Failed      int    `json:"failed"`
	ClosedEarly int    `json:"closed_early"`
	Messages    uint64 `json:"messages"`
	Duplicated  uint64 `json:"duplicated"`
	Reordered   uint64 `json:"reordered"`
	Corrupt     uint64 `json:"corrupt"`
	Phase       string `json:"phase"`
	Interval    struct {
		Latency timing.Counts `json:"latency"`
		Service timing.Counts `json:"service"`
	} `json:"interval_us"`
}

// receiver is the flood, and what it has said.
type receiver struct {
	cfg     Config
	nursery *nursery.Nursery
	cmd     *exec.Cmd
	busy    busy // of the trial; own is that of this process, the generator
	own     busy

	mu               sync.Mutex
	now, base        Heard // the last line, and the one before the trial
	n                int   // the trial
	rate             uint64
	heard            time.Time // when the number of messages last changed, or the trial began
	latency, service timing.Histogram
	ended            string        // how the process ended; empty while it lives
	changed          chan struct{} // holds a token after a line, or the end
	over             chan struct{} // closed at the end
}

// receive starts the receiver.
func receive(cfg Config) (*receiver, error) {
	r := &receiver{cfg: cfg, nursery: nursery.New(), cmd: exec.Command(cfg.Program, cfg.Receiver...), heard: time.Now(),
		latency: timing.New(), service: timing.New(), changed: make(chan struct{}, 1), over: make(chan struct{})}
	err := r.nursery.Listen(r.cmd, nursery.Listener{Out: discard{}, Err: discard{}, Torn: func(error) {},
		Line: func(line []byte, stderr bool) {
			if stderr {
				r.hear(line)
			}
		},
		Ended: func(s *os.ProcessState, last []string) {
			r.mu.Lock()
			r.ended = s.String()
			if len(last) > 0 {
				r.ended += ": " + strings.Join(last, "; ")
			}
			r.mu.Unlock()
			close(r.over)
			r.poke()
		}})
	if err != nil {
		r.nursery.Close()
		return nil, fmt.Errorf("%w cannot be started: %w", ErrReceiver, err)
	}
	return r, nil
}

type discard struct{ io.Writer }

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

func (r *receiver) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// hear takes in a line of progress. Words for people are kept by the nursery.
func (r *receiver) hear(line []byte) {
	var h Heard
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &h) != nil || h.Phase == "" {
		return
	}
	r.mu.Lock()
	if h.Messages != r.now.Messages {
		r.heard = time.Now()
	}
	r.latency.Add(h.Interval.Latency)
	r.service.Add(h.Interval.Service)
	r.now = h
	n, rate := r.n, r.rate
	r.mu.Unlock()
	if r.cfg.Hear != nil {
		r.cfg.Hear(h, n, rate)
	}
	r.poke()
}

// await waits until what is known is enough. It fails where the receiver has ended.
func (r *receiver) await(ctx context.Context, enough func(now Heard, quiet time.Duration) bool) error {
	tick := time.NewTicker(50 * time.Millisecond) // quiet grows without a line too
	defer tick.Stop()
	for {
		r.mu.Lock()
		done, ended := enough(r.now, time.Since(r.heard)), r.ended
		r.mu.Unlock()
		switch {
		case ended != "":
			return fmt.Errorf("%w ended: %s", ErrReceiver, ended)
		case done:
			return nil
		}
		select {
		case <-r.changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// ready waits until the receiver holds its connections. How long that takes is its own business: it gives up on each in time.
func (r *receiver) ready(ctx context.Context) error {
	if err := r.await(ctx, func(now Heard, _ time.Duration) bool { return now.Phase == "hold" }); err != nil || ctx.Err() != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if lost := r.now.Asked - r.now.Open; lost > 0 {
		return fmt.Errorf("%w holds only %d of %d connections: %d failed, %d ended early; run the same flood alone to see why", ErrReceiver,
			r.now.Open, r.now.Asked, r.now.Failed, r.now.ClosedEarly)
	}
	return nil
}

// begin begins a trial: what has come so far is not of it.
func (r *receiver) begin(n int, rate uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.base, r.n, r.rate, r.heard = r.now, n, rate, time.Now()
	r.latency.Reset()
	r.service.Reset()
	r.busy.begin(r.cmd.Process.Pid)
	r.own = busy{began: time.Now(), procs: map[int]map[string]spent{0: threads(os.Getpid())}}
}

// strain is why the generator or the receiver had no time left while something was sent since begin, a sentence of each, or empty; and the share of
// that time for which the generator waited for a processor.
func (r *receiver) strain() (generator, receiver string, waited float64) {
	most, took := r.busy.end(r.cmd.Process.Pid, r.cfg.Loops)
	receiver = sentence("The receiver", most, took, "give it --loops or --workers, or a machine of its own")
	own := busiest(r.own.procs[0], threads(os.Getpid()), r.cfg.Workers)
	took = time.Since(r.own.began)
	return sentence("The generator", own, took, "give it --workers, or a machine of its own"), receiver, own.wait.Seconds() / took.Seconds()
}

// settle waits until all that was sent has come, or nothing has for the time of Settle.
func (r *receiver) settle(ctx context.Context, sent uint64) error {
	r.mu.Lock()
	r.heard = time.Now()
	r.mu.Unlock()
	limit := time.Now().Add(settleMost)
	return r.await(ctx, func(now Heard, quiet time.Duration) bool {
		return now.Messages-r.base.Messages >= sent || quiet >= r.cfg.Settle || time.Now().After(limit)
	})
}

// came is what has come since begin.
func (r *receiver) came() Came {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Came{
		Received: r.now.Messages - r.base.Messages, Duplicated: r.now.Duplicated - r.base.Duplicated,
		Reordered: r.now.Reordered - r.base.Reordered, Corrupt: r.now.Corrupt - r.base.Corrupt,
		Connections: r.now.Asked, Open: r.now.Open, Failed: r.now.Failed - r.base.Failed, ClosedEarly: r.now.ClosedEarly - r.base.ClosedEarly,
		Latency: r.latency.Percentiles(), Service: r.service.Percentiles(),
	}
}

// close ends the receiver.
func (r *receiver) close() {
	_ = nursery.Interrupt(r.cmd.Process) // or it has ended already
	select {
	case <-r.over:
	case <-time.After(goneLimit):
	}
	r.nursery.Close()
}
