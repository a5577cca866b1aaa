// Package strain tells whether a client was the limit of what it has measured. A load tool whose loop has no time left, that waits for a
// processor, that sends late or has no ports reports itself, and must say so before it says anything else.
//
// Two halves:
//
//   - Meter reads once a second, from a goroutine of its own, what this process and the kernel under it have to tell: processor time of
//     its threads, how long they waited for a processor, resident memory, and counters of the network (sample*.go). What is left of it
//     is a Reading, a few numbers that travel between the processes of a fleet.
//   - Judge (judge.go) lays readings beside the figures that are reported, and returns a Client: full sentences, and what they make
//     doubtful. It is pure, so every rule is tested with readings that nobody had. Why the rules are as they are is in docs/design/limits.md.
//
// A Meter may be used by one goroutine beside its own. Where a system does not tell something, its part of a Reading is zero and no rule
// that needs it applies.
package strain

import (
	"cmp"
	"os"
	"runtime"
	"sync"
	"time"
)

// Reading is what a process had to bear in the measured phase of its run. All times are in seconds.
type Reading struct {
	Name       string  `json:"name,omitempty"` // of the worker, among several
	Host       string  `json:"host,omitempty"` // where it ran
	Processors int     `json:"processors"`     // that it might use
	Measured   float64 `json:"measured_s"`     // how long the phase took
	Opening    float64 `json:"opening_cpu"`    // CPU of what was before the phase
	CPU        float64 `json:"cpu"`            // share of a processor that its busiest loop took, on average
	Busy       float64 `json:"busy_s"`         // of Measured: time in whose samples that share was over 0.9
	Run        float64 `json:"run_s"`          // how long the whole run took
	Starved    float64 `json:"starved_s"`      // of Run: time in whose samples it waited for a processor for more than half
	RSS        int64   `json:"rss_bytes"`      // resident memory in the end
	Kernel     Kernel  `json:"kernel"`         // of the whole run
}

// Kernel is what the kernel's counters for this network namespace, everybody's in it, have grown by.
type Kernel struct {
	SynRetrans      int64 `json:"syn_retrans"`      // SYNs that were sent again, a second late and more (TcpExt TCPSynRetrans)
	ListenOverflows int64 `json:"listen_overflows"` // handshakes that met a full accept queue, of servers here (TcpExt ListenOverflows)
	ListenDrops     int64 `json:"listen_drops"`     // SYNs that a server here has dropped, for that or any reason (TcpExt ListenDrops)
}

func (k Kernel) less(o Kernel) Kernel {
	return Kernel{max(k.SynRetrans-o.SynRetrans, 0), max(k.ListenOverflows-o.ListenOverflows, 0), max(k.ListenDrops-o.ListenDrops, 0)}
}

// Meter takes a Reading.
type Meter struct {
	take  func() sample
	loops int
	over  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex // for what follows
	began   sample
	last    sample
	reading Reading
	shares  float64 // of Reading.CPU: the sum of what each sample says, times its length
}

// every is the time between two samples: long enough that reading some ten files costs nothing, short enough for a burst to show.
const every = time.Second

// Start begins a reading of a process with so many loops, each of which is one goroutine; 0 is very many goroutines that share the processors.
// All of the run is measured until Measure says that only now the phase begins which counts.
func Start(loops int) *Meter { return start(loops, take) }

func start(loops int, take func() sample) *Meter {
	m := &Meter{take: take, loops: loops, over: make(chan struct{}), began: take()}
	m.last = m.began
	m.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.read()
			case <-m.over:
				return
			}
		}
	})
	return m
}

// Measure forgets what was measured, but for what the Reading has of the whole run and of its opening: the phase that counts begins.
func (m *Meter) Measure() {
	m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares, m.reading = 0, Reading{Opening: m.mean(), Run: m.reading.Run, Starved: m.reading.Starved}
}

// mean is Reading.CPU. Its caller has the lock.
func (m *Meter) mean() float64 {
	if m.reading.Measured == 0 {
		return 0
	}
	return m.shares / m.reading.Measured
}

// Now is the reading until now.
func (m *Meter) Now() Reading {
	m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.reading
	r.CPU = m.mean()
	host, err := os.Hostname()
	if err == nil {
		r.Host = host
	}
	r.Processors, r.RSS, r.Kernel = runtime.NumCPU(), m.last.rss, m.last.kernel.less(m.began.kernel)
	return r
}

// End ends the meter and returns its reading.
func (m *Meter) End() Reading {
	close(m.over)
	m.done.Wait()
	return m.Now()
}

// Shares above which a loop counts as busy, or as starved, for the time of a sample.
const (
	busyShare    = 0.9
	starvedShare = 0.5
)

// read takes a sample, one after the other.
func (m *Meter) read() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(m.take())
}

// add takes in a sample. Its caller has the lock.
func (m *Meter) add(now sample) {
	took := now.at.Sub(m.last.at).Seconds()
	if took <= 0 {
		return
	}
	run, wait := now.since(m.last, m.loops)
	m.last = now
	r := &m.reading
	r.Measured += took
	r.Run += took
	m.shares += run.Seconds()
	if run.Seconds() > busyShare*took {
		r.Busy += took
	}
	if wait.Seconds() > starvedShare*took {
		r.Starved += took
	}
}

// sample is what a process tells at one moment. Times are since it began.
type sample struct {
	at      time.Time
	cpu     time.Duration  // of all threads, also of those that have ended
	threads map[int]thread // nil: the system does not tell
	rss     int64
	kernel  Kernel
}

// thread is one of the process's.
type thread struct{ run, wait time.Duration } // on a processor, and in the queue for one

// since is what the busiest loop took, and how long the loop that wanted most waited, since another sample. A loop is a goroutine and may change
// its thread, so the busiest thread may be too little; all threads together, divided by the loops, may be too much, as others work for them.
// Where both are known the greater one counts, and never more than one processor. Without loops it is the part of all processors.
func (s sample) since(o sample, loops int) (run, wait time.Duration) {
	var wanted time.Duration
	for id, t := range s.threads {
		before := o.threads[id]
		ran, waited := t.run-before.run, t.wait-before.wait
		run = max(run, ran)
		if ran+waited > wanted {
			wanted, wait = ran+waited, waited
		}
	}
	all := s.cpu - o.cpu
	if loops == 0 {
		run, loops = 0, runtime.GOMAXPROCS(0)
	}
	return min(max(run, all/time.Duration(loops)), s.at.Sub(o.at)), wait
}

// worst is the reading whose loop was the busiest.
func worst(all []Reading) (r Reading) {
	for _, x := range all {
		if cmp.Or(cmp.Compare(x.CPU, r.CPU), cmp.Compare(x.Busy, r.Busy)) > 0 {
			r = x
		}
	}
	return r
}
