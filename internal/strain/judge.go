package strain

import (
	"fmt"
	"slices"
	"strings"

	"cometctl/internal/timing"
)

// Client is what the measuring itself has cost, and whether it was the limit: the key `client` of a result.
type Client struct {
	CPU        float64   `json:"cpu"`                // share of a processor that the busiest loop or worker took, on average
	RSS        int64     `json:"rss_bytes"`          // of all processes
	Bottleneck []string  `json:"bottleneck"`         // full sentences: why the figures are the client's own, and what to do
	Doubtful   []Figure  `json:"doubtful,omitempty"` // what they are about
	Readings   []Reading `json:"-"`                  // what this was made of
}

// Figure is a kind of figure that a result has.
type Figure string

// The kinds.
const (
	Connections Figure = "connections" // how many opened, failed, or ended early
	Opening     Figure = "opening"     // how fast they opened
	Messages    Figure = "messages"    // how many came, and at which rate
	Latency     Figure = "latency"     // how late
)

// Figures are what is reported, as far as the rules need it. The zero value of a field is that it is not known, or was not asked for.
type Figures struct {
	Tool string // what speaks of itself: "flood" or "msggen"

	NoDescriptors, NoPorts, NoMemory int // connections that could not be dialed for lack of something here
	TimedOut                         int // that had no answer in time

	ConnectP99 float64 // ms, from dial to connected

	// Of the messages: how late they were sent, and how late they came after that. Messages is how many that is known of.
	Lag, Service *timing.Percentiles
	Messages     uint64

	// A schedule and what became of it, per second. Of msggen: its messages; of flood: its connections. 0 is as fast as it goes.
	Asked, Achieved float64

	// Arrivals of a schedule that waits for nobody, and those that were late.
	Arrivals, Late int
}

// Bounds of the rules.
const (
	busyLeast    = 2.0  // seconds that a loop must have been busy to count, and
	busyPart     = 0.1  // of the phase
	starvedLeast = 5.0  // the same of waiting for a processor
	starvedPart  = 0.2  //
	lagLeast     = 1.0  // ms: what a timer may be late by is no slow generator
	lagMessages  = 1000 // of fewer, ten are more than a percent: p99 says nothing
	synDelay     = 1000 // ms: when the first SYN is sent again (RFC 6298 section 2.1)
	reached      = 0.99 // share of a rate that counts as reaching it
	lateArrivals = 0.01 // share of arrivals
)

// Judge applies the rules to the readings of all processes of a client and the figures that it reports.
func Judge(all []Reading, f Figures) Client {
	w := worst(all)
	c := Client{CPU: w.CPU, Bottleneck: []string{}, Readings: all}
	for _, r := range all {
		c.RSS += r.RSS
	}
	c.shortages(f)
	c.opening(all, f)
	c.busy(all, f)
	c.starved(all, f)
	c.lag(f)
	c.queue(all, f)
	if f.Late > 0 && float64(f.Late) > lateArrivals*float64(f.Arrivals) {
		c.say([]Figure{Opening, Latency}, "%d of %d connections were dialed later than their arrival was due: the client did not keep to its own schedule.", f.Late, f.Arrivals)
	}
	return c
}

func (c *Client) say(about []Figure, format string, args ...any) {
	c.Bottleneck = append(c.Bottleneck, fmt.Sprintf(format, args...))
	for _, f := range about {
		if !slices.Contains(c.Doubtful, f) {
			c.Doubtful = append(c.Doubtful, f)
		}
	}
}

// shortages of what a connection needs on this side.
func (c *Client) shortages(f Figures) {
	for _, s := range []struct {
		n    int
		what string
	}{
		{f.NoDescriptors, "this process, or the machine, had no descriptors left; raise them (ulimit -n, fs.file-max) or give --workers"},
		{f.NoPorts, "the source address had no ports left; give more of them (--source), or widen net.ipv4.ip_local_port_range"},
		{f.NoMemory, "the kernel here had no memory for their sockets"},
	} {
		if s.n > 0 {
			c.say([]Figure{Connections, Opening}, "%s could not be dialed, as %s ('cometctl doctor' tells the limits).", connections(s.n), s.what)
		}
	}
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// kept reports whether a generator did what was asked for, in time.
func (f Figures) kept() bool {
	return f.Achieved >= reached*f.Asked && (f.Lag == nil || f.Lag.P99 <= lagLeast)
}

// busy is a loop that had no time left. A generator that was asked for no rate is to use what there is, and one that kept to its
// schedule had enough.
func (c *Client) busy(all []Reading, f Figures) {
	if f.Tool == "msggen" && (f.Asked == 0 || f.kept()) {
		return
	}
	var names []string
	var most Reading
	for _, r := range all {
		if r.Busy >= busyLeast && r.Busy >= busyPart*r.Measured {
			names = append(names, r.Name)
			if r.Busy > most.Busy {
				most = r
			}
		}
	}
	if len(names) == 0 {
		return
	}
	c.say([]Figure{Messages, Latency, Opening}, "%s took more than 90 %% of a processor for %.0f of %.0f s: it had no time left, and the figures are its own limit, not the server's; %s.",
		who(names, f.Tool, "its busiest loop"), most.Busy, most.Measured, moreOf(f.Tool))
}

func moreOf(tool string) string {
	if tool == "msggen" {
		return "give --workers, or ask for less"
	}
	return "give --loops or --workers, or ask for less"
}

// opening is a schedule of connections that was not kept by a loop without time. One that is to open as fast as it goes uses what there is.
func (c *Client) opening(all []Reading, f Figures) {
	if f.Tool == "msggen" || f.Asked == 0 || f.Achieved == 0 || f.Achieved >= reached*f.Asked {
		return
	}
	for _, r := range all {
		if r.Opening > busyShare {
			c.say([]Figure{Opening}, "%.0f connections a second were opened of %.0f that were asked for, and the busiest loop took %.0f %% of a processor: that is the client's own limit; %s.",
				f.Achieved, f.Asked, 100*r.Opening, moreOf(f.Tool))
			return
		}
	}
}

// starved is a loop that had something to do and no processor. Of more workers than their machine has processors each waits for the others, by
// design: what is measured then is the machine, and latency says so. A generator is late for it, and late only, unless it did not reach its rate.
func (c *Client) starved(all []Reading, f Figures) {
	about := []Figure{Messages, Latency, Opening}
	if f.Tool == "msggen" {
		if f.kept() {
			return
		}
		if f.Achieved >= reached*f.Asked {
			about = []Figure{Latency}
		}
	}
	crowd := map[string]int{}
	for _, r := range all {
		crowd[r.Host]++
	}
	var names []string
	var most Reading
	for _, r := range all {
		if r.Starved >= starvedLeast && r.Starved >= starvedPart*r.Run && crowd[r.Host] <= r.Processors {
			names = append(names, r.Name)
			if r.Starved > most.Starved {
				most = r
			}
		}
	}
	if len(names) == 0 {
		return
	}
	c.say(about, "%s waited for a processor for more than half of %.0f of %.0f s: other programs had it (or niceness, affinity or a quota kept it away), and its times are not the server's.",
		who(names, f.Tool, f.Tool), most.Starved, most.Run)
}

// who names a process among several, or what there is of one.
func who(names []string, tool, alone string) string {
	if len(names) == 1 && names[0] == "" {
		return strings.ToUpper(alone[:1]) + alone[1:]
	}
	few := names[:min(len(names), 3)]
	text := strings.Join(few, ", ")
	if more := len(names) - len(few); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if len(names) == 1 {
		return "Worker " + text + " of " + tool
	}
	return "Workers " + text + " of " + tool
}

// lag is a generator that was later than the server. Here nobody knows whether it was slow, or a server did not take what it had to write.
func (c *Client) lag(f Figures) {
	if f.Lag == nil || f.Service == nil || f.Messages < lagMessages || f.Lag.P99 <= lagLeast || f.Lag.P99 <= f.Service.P99 {
		return
	}
	c.say([]Figure{Latency}, "Messages were written late, p99 %.3g ms after they were due, and took p99 %.3g ms from there: most of the latency is the generator's own, or that of whoever kept it waiting (blocked_s of msggen).",
		f.Lag.P99, f.Service.P99)
}

// queue is an accept queue that lost SYNs. Others' connections count in it as well, so it matters only where what is reported
// shows it: a connection that lost one took a second at least.
func (c *Client) queue(all []Reading, f Figures) {
	k := together(all)
	if k.SynRetrans == 0 || f.ConnectP99 < synDelay && f.TimedOut == 0 {
		return
	}
	why := "the network, or a queue of the server's, lost them"
	if k.ListenOverflows+k.ListenDrops > 0 {
		why = fmt.Sprintf("an accept queue on this machine was full %d times (net.core.somaxconn), %d were dropped", k.ListenOverflows, k.ListenDrops)
	}
	about := []Figure{Opening}
	if f.TimedOut > 0 {
		about = append(about, Connections)
	}
	c.say(about, "%d SYNs had to be sent again, each a second late or more, as %s: connect times (p99 %.0f ms) and %d timeouts are the queue's as much as the server's; open more slowly, or fewer at a time (--rate, --in-flight).",
		k.SynRetrans, why, f.ConnectP99, f.TimedOut)
}

// together adds up the kernels of all hosts. What two processes on one of them have seen is the same.
func together(all []Reading) (sum Kernel) {
	hosts := map[string]Kernel{}
	for _, r := range all {
		k := hosts[r.Host]
		hosts[r.Host] = Kernel{max(k.SynRetrans, r.Kernel.SynRetrans), max(k.ListenOverflows, r.Kernel.ListenOverflows), max(k.ListenDrops, r.Kernel.ListenDrops)}
	}
	for _, k := range hosts {
		sum.SynRetrans += k.SynRetrans
		sum.ListenOverflows += k.ListenOverflows
		sum.ListenDrops += k.ListenDrops
	}
	return sum
}
