// Package msggen sends messages to random ids on a schedule, and accounts for every one of them.
//
// It is the article's msggen.erl as a measuring instrument. The schedule is absolute: event n is due n/rate after the
// start, whatever happened before. What could not be sent in time is sent as soon as possible and counted as late, never
// skipped. Each message carries a stamp (wire.AppendStamp) with the time at which it was due, so that whoever receives it
// can tell its latency, its loss and its order.
//
// A worker is a connection, a goroutine that writes and a goroutine that reads. Worker w of W owns the events w, w+W,
// w+2W and so on, its own random stream and its own sequence numbers, so nothing is shared between workers but counters.
// What belongs to whom:
//
//   - worker (worker.go) is touched by its writing goroutine only.
//   - link (link.go), a worker's connection, is written by that goroutine and read by its own; what both need is under
//     its lock.
//   - run (run.go) is shared: counters are atomic, the rest is under its lock.
//
// Messages travel as lines `id<TAB>message` in the body of a chunked POST. A server answers at the end of a request only,
// so requests are ended and begun again all the time, without waiting for the answer: such a piece of the stream is what
// an answer confirms, or a break of the connection leaves unconfirmed. See docs/design/msggen.md.
//
// A server that nobody here wrote takes no such stream. For it, a worker has a publisher (publish.go) in the place of its
// link: pipes (pipe.go), each a connection that is kept and replaced (exchange.go), carry requests of one message each,
// made from a template (template.go). Publisher and pipes belong to the worker's goroutine; an exchange is written by it
// and read by its own, and what both need is atomic.
//
// On NATS there is no server to ask: the messages go to the subjects of their ids (nats.go), a PONG of NATS behind them is what
// accepts them, and at the end the nodes that hold the ids are asked what they did with them (natsledger.go).
//
// Time is package time's, so tests run in a testing/synctest bubble; they pass Dial and Sleep.
package msggen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"strings"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/clienttls"
	"cometctl/internal/pace"
	"cometctl/internal/wire"
)

const (
	// LateAfter is how long after its due time a message may leave without being counted as late. A timer that is asked
	// for precisely (see sleep_linux.go) misses by a tenth of it.
	LateAfter = time.Millisecond

	// MaxWorkers is how many workers a run may have: a run tag has four digits for them.
	MaxWorkers = 10_000

	// MaxSize is the greatest Config.Size and Config.SizeTo in bytes.
	MaxSize = 1 << 20

	maxBurst = 1_000_000

	// DefaultPipeline is how many requests of a connection may wait for their answers.
	DefaultPipeline = 64

	// MaxPipeline is the greatest Config.Pipeline.
	MaxPipeline = 1 << 16

	maxSequences = 1 << 30 // ids times workers, four bytes each
)

// ErrIncomplete is wrapped by what Run returns, beside the result, when messages that were due were not accepted.
var ErrIncomplete = errors.New("not every message was accepted")

// Config says what to send, when, and where to. To and IDs are required; the zero value of every other field has a meaning.
type Config struct {
	// To is the server's POST /send, "http://127.0.0.1:8001/send", which takes a stream; http or https, with user:password@ where the server wants them. Without a path, /send is
	// meant. With a method in front of it, or a placeholder in it, it is any server's: each message is a request of its own, as Header and Body shape it.
	// nats://host:port or tls://host:port, several with commas between, are servers of one NATS cluster: messages go to the subjects of their ids.
	To          string
	AllowRemote bool // without it, To must be a loopback address

	// Authorization is that field of each request, such as "Bearer TOKEN", for a server of HTTP that wants to know who sends; empty: there is
	// none. Neither a result nor an error tells it.
	Authorization string

	// Trust is whom we trust, and who we are, where To is an https URL.
	Trust clienttls.Trust

	// NATS is who we are to NATS servers; which they are, To says.
	NATS broker.ConnectConfig

	// These need such a To. Placeholders: {id}, {msg}, {msg_url} (percent-encoded), {msg_json} (a JSON string).
	Header      []string // further fields, "Name: value"
	Body        *string  // nil: {msg} with POST, PUT and PATCH, none with other methods
	Connections int      // of all workers together; 0 means one each
	Pipeline    int      // requests of a connection that wait for their answers, at most; 0 means DefaultPipeline

	// Messages of all workers together follow Rate, zero being as fast as it goes, or in its place Steps, where there are any.
	Rate    pace.Rate
	Steps   pace.Steps
	Burst   int  // messages come in bursts of so many, the rates being kept; 0 and 1: they do not
	Poisson bool // messages, or bursts of them, come at random: gaps are independent and exponential, the rates being kept

	Workers  int           // connections; 0 means 1
	Count    uint64        // stop after so many messages of all workers together; 0: no limit
	Duration time.Duration // stop when the messages due within this time are sent; 0: no limit

	IDs    int    // messages go to the ids 1..IDs
	Dist   Dist   // how they are spread over them
	Seed   uint64 // of the random ids, sizes and times: equal seeds and equal workers choose equal ids
	Size   int    // bytes of a message, padded, with its stamp; 0: as long as it comes out
	SizeTo int    // not 0: sizes are drawn, each from Size to SizeTo with the same probability
	Lines  *Lines // what messages say in front of their stamps; nil: their number. Lines are not padded

	ClockOffset time.Duration // what the clock of the stamps is ahead of this machine's

	ByDue time.Duration // Result.ByDue counts in steps of this length; 0: it does not

	// HDR, where not nil, gets the distribution of the lag in each HDREvery, as HdrHistogram's interval log with the tag lag. Where it fails
	// the run goes on, without the log.
	HDR      io.Writer
	HDREvery time.Duration

	Grace time.Duration // how long to go on without progress once nothing more falls due; 0 means 10 s

	// Progress, where not nil, is called every ProgressEvery while the run goes on, from one goroutine at a time.
	Progress      func(Progress)
	ProgressEvery time.Duration

	// Dial opens a connection; nil means net.Dialer's with a limit of 5 s.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Sleep pauses the calling goroutine; nil means the most precise sleep of this system, on a thread of its own.
	Sleep func(time.Duration)
}

// Check reports what is wrong with the configuration, naming the value, as a flag of its field's name, and the way out,
// before anything is opened.
func (c *Config) Check() error {
	if err := c.checkTo(); err != nil {
		return err
	}
	workers := max(c.Workers, 1)
	switch {
	case c.Workers < 0 || c.Workers > MaxWorkers:
		return fmt.Errorf("--workers %d: there must be 1 to %d", c.Workers, MaxWorkers)
	case c.IDs < 1:
		return fmt.Errorf("--ids %d: messages go to the ids 1 to N, N must be at least 1", c.IDs)
	case c.IDs > maxSequences/workers:
		return fmt.Errorf("--ids %d with %d workers: their sequence numbers would take more than 4 GiB; "+
			"at most %d ids with so many workers", c.IDs, workers, maxSequences/workers)
	case c.Duration < 0:
		return fmt.Errorf("--duration %v: it must be positive, or 0 for no limit", c.Duration)
	case c.HDR != nil && c.HDREvery <= 0:
		return fmt.Errorf("--hdr-interval %v: give a time of more than zero, such as 1s", c.HDREvery)
	case c.ByDue < 0:
		return fmt.Errorf("--by-due %v: give a time such as 100ms, or 0 for no counts by due time", c.ByDue)
	case c.Size < 0 || c.Size > MaxSize:
		return fmt.Errorf("--size %d: give at most %d bytes, or 0 for messages as long as they come out", c.Size, MaxSize)
	case c.SizeTo > MaxSize:
		return fmt.Errorf("--size %d..%d: give at most %d bytes", c.Size, c.SizeTo, MaxSize)
	case c.SizeTo != 0 && (c.Size < 1 || c.SizeTo < c.Size):
		return fmt.Errorf("--size %d..%d: sizes go from a smaller number above 0 to a larger one", c.Size, c.SizeTo)
	case c.Size > 0 && c.Lines != nil:
		return fmt.Errorf("--size %d with --lines: messages are as long as their lines; give one of the two", c.Size)
	case c.Size > 0 && c.Size < c.minSize():
		return fmt.Errorf("--size %d: number and stamp need %d bytes here", c.Size, c.minSize())
	}
	if err := c.checkSchedule(); err != nil {
		return err
	}
	return c.Dist.check(c.IDs)
}

// checkTo is Check for the target and for what only a template has.
func (c *Config) checkTo() error {
	if !isNATS(c.To) && (c.NATS.User != "" || c.NATS.Creds != "" || c.NATS.TLS != nil) {
		return fmt.Errorf("--to %q is no NATS server: what the --nats-... flags say is for nats://host:port", wire.RedactURL(c.To))
	}
	if _, err := c.Trust.Config(); err != nil {
		return fmt.Errorf("%s %w", clienttls.Flag(err), err)
	}
	if !c.Trust.IsZero() && (isNATS(c.To) || !strings.Contains(strings.ToLower(c.To), "https://")) {
		return fmt.Errorf("--insecure, --ca, --cert and --key are about TLS, and --to %q is no https URL", wire.RedactURL(c.To))
	}
	if isNATS(c.To) && c.Authorization != "" {
		return fmt.Errorf("--token-file with --to %q: NATS takes no token of the admin listener's; say who we are by the --nats-... flags", broker.Redact(natsURLs(c.To)))
	}
	if isNATS(c.To) {
		return c.checkNATS()
	}
	if !isTemplate(c.To) {
		if len(c.Header) > 0 || c.Body != nil || c.Connections != 0 || c.Pipeline != 0 {
			return fmt.Errorf("--to %q takes a stream: headers, a body, connections and a pipeline go with one request per message; "+
				"put a method in front, such as POST %s/{id}", wire.RedactURL(c.To), wire.RedactURL(c.To))
		}
		if err := CheckTarget(c.To, c.AllowRemote); err != nil {
			return fmt.Errorf("--to %w", err)
		}
		if u, _ := url.Parse(c.To); u.User != nil && c.Authorization != "" {
			return errTwoAuthorizations
		}
		return nil
	}
	switch workers := max(c.Workers, 1); {
	case c.Connections < 0 || c.Connections > MaxWorkers:
		return fmt.Errorf("--connections %d: there must be 1 to %d", c.Connections, MaxWorkers)
	case c.Connections > 0 && c.Connections < workers:
		return fmt.Errorf("--connections %d for %d workers: each worker needs one at least", c.Connections, workers)
	case c.Pipeline < 0 || c.Pipeline > MaxPipeline:
		return fmt.Errorf("--pipeline %d: it must be 1 (none) to %d", c.Pipeline, MaxPipeline)
	}
	_, err := parseTemplate(c)
	return err
}

func (c *Config) connections() int { return max(c.Connections, c.Workers, 1) }

func (c *Config) pipeline() int {
	if c.Pipeline == 0 {
		return DefaultPipeline
	}
	return c.Pipeline
}

// minSize is the length of the longest message that the run can need.
func (c *Config) minSize() int {
	last := c.total()
	if last == math.MaxUint64 {
		last = 1e15 - 1 // thirty years at a million a second
	}
	longest := composer{tag: wire.NewRunTag(time.UnixMilli(1e13-1), 0)}
	short := longest.appendMessage(nil, appendID(nil, uint64(max(c.IDs, 1))), last, last, math.MaxInt64, wire.NoLag)
	return len(short) + len(".9999999999.4294967295") // a lag of 2.7 hours; what is later still is longer
}
