package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cometctl/flood"
	"cometctl/flood/fleet"
	"cometctl/internal/netloop"
	"cometctl/internal/rlimit"
	"cometctl/internal/wire"
)

// floodOptions are the flags of flood.
type floodOptions struct {
	rate, interval, source string
	inFlight, loops        int
	connectTimeout         time.Duration
	hold, drain            time.Duration
	statsEvery             time.Duration
	run                    string
	hdr                    hdrOptions
	byDue                  time.Duration
	again                  redialOptions
	manners                mannerOptions
	engine                 string
	header                 []string
	as, cursor             string
	subprotocols, hello    []string
	trust                  trustOptions
	allowRemote, json      bool
	intervals              bool
	judge                  promiseOptions
	seed                   uint64
	clock                  clockOption
	fleet                  fleetOptions
	shape                  shapeOptions
	holds                  bool // --hold was given
}

func newFloodCmd(s streams) *cobra.Command {
	var o floodOptions
	cmd := &cobra.Command{
		Use:   "flood FILE|URL|TEMPLATE|-...",
		Short: "Open and hold connections, count and time what they receive",
		Long: `flood opens one connection for each URL and holds it, as the article's floodtest did,
and counts and times what comes. The URLs come from a file (one a line; blank lines
and lines that begin with # are skipped), from stdin (-), or from a template with one
range, such as http://127.0.0.1:8000/test/{1..10000}; {00001..10000} gives all numbers
five digits.

In URLs, in -H and in --ws-hello, {n} is the number of the connection from 1, {run} a tag of this
flood, and {id} what the template's range gives, or the last segment of a path without one.
Other braces of -H and --ws-hello stand for themselves. user:password@ in front of a host is
sent as basic authorization, and not shown.

URLs that begin with https:// or wss:// speak TLS, on the goroutine engine: --ca FILE says
whom to trust, --insecure anybody, --cert and --key who we are. What is refused is counted by
its reason (failed_by "certificate: expired"), and tls_ms is the time of a handshake. The
first connection of each URL makes a whole one; who comes again resumes its host's session.

URLs that begin with ws:// or wss:// are WebSockets: each message counts, pings are answered, and a
close is given back (closed_by "close 1001"). --ws-hello TEXT is sent behind the upgrade. With --as sse, flood asks for server-sent
events and takes nothing else for an answer. With --as poll, it polls: each answer is
followed by the next request on the same connection, from where the answer ended (since=,
from its Last-Event-ID; or If-Modified-Since, from its Last-Modified, as nchan has it; or with
--cursor header:NAME or json:NAME, which is then {cursor} in the URL or in -H), and each message in an answer counts. Who polls is open when the first request has left.

All URLs are checked before the first connection is opened. Connections are opened as
fast as --in-flight handshakes at a time allow, or one each --interval, or at a --rate.
With --ramp, they come and go by stages instead, separated by semicolons:

  A..B in D            from A to B connections, evenly over the time D: up or down
  to N in D            the same from wherever it stands
  spike N in D         N more
  exp A..B in D        from A to B, by the same factor in equal times
  step N               to N, as fast as --in-flight handshakes at a time allow
  poisson RATE for D   they come by themselves, RATE on average, and stay
  hold D               nothing comes and goes

The first that was opened is the first to be closed. Where there are more connections
than URLs, these are taken in turn, again and again. The run ends with the last stage;
with --hold it holds what is open behind it. The result lays what each stage was asked
for beside what it came to.

--lifetime 60s±20s (or 60s+-20s) ends each connection after that time, each time in between
as likely, and opens another one in its place: a new listener, to which nothing is owed that
was sent before. --arrivals 100/s lets connections come by themselves, whatever becomes of
those before them, and leave after their lifetime: what is open is what comes out of that.
What flood ends itself counts as retired, and as nothing else. Who is dialed more than 10 ms
late is counted as well: that is flood's own fault, not the server's.

--hold begins when every connection is open or has failed; without it they are held
until Ctrl-C.

With --reconnect, a connection that failed or ended is dialed again, as long as the run
lasts: immediate, which is at once (some 100 ms after a failure); after a time such as
500ms, give or take half of it; or backoff, after none to 500 ms, then to 1 s, and so on
up to 30 s (--backoff 500ms..30s), drawn evenly. With --respect-retry the wait begins
when the time is over that the server has asked for: by retry: in an event stream, or by
Retry-After with a 503 or 429. With --resume the next connection asks for what came since
the last: Last-Event-ID for event streams, and polls go on from their last answer. Each
failure and each end counts; what matters in the end is whether every connection is open.

Shares of the connections may misbehave: --slow 5%@1KiB/s reads at that speed, --stall 1%
asks and never reads, --abort 1% resets its connections after some seconds, --half-open 1%
connects and says nothing, --slowloris 2% sends its request a byte at a time. Each comes
back about a second after it has ended. --seed draws which they are. The result, its
latency and the exit code are about the others; misbehaving tells what became of these.

The messages of 'cometctl msggen' carry a stamp, from which flood tells how late each
came, and which are missing, came twice or in the wrong order, on whichever connection
to the same URL. With --by-due 100ms the JSON result also has by_due: how many distinct
messages came of those that were due in each 100 ms, to lay beside msggen's.

A message's latency counts from when it was due, and has two parts: the send lag, until the
generator had written it, and the service time since, which is the server's. With --hdr FILE all
three are logged as they grow, an interval a line, in the format of HdrHistogram's tools. A message
whose stamp was spoilt on its way is corrupt, and missing too. With --drain 2s, flood reads on for
that long when the hold is over, and counts what still comes as late. Messages of several runs
of msggen are told apart in the JSON result (runs); --run new counts only those that begin after
this flood, as a server may still send what it has kept of earlier ones.

--workers 8, or auto, splits the URLs over processes of this program, where one has not the
descriptors or the cores; --in-flight and the schedule are those of all together. With
--machines 2, two more may come from elsewhere: 'cometctl flood --join nats://HOST:PORT'
takes a share of the URLs, begins with the rest, and its counts and times (corrected by the
difference of the clocks) come into the one result. They meet on a NATS server that the
first flood runs (--nats-listen, for others an address that they can reach, best with
--nats-user and a password) or on one outside (--nats). Who joins decides itself what its
machine may do: --allow-remote, --source, --engine, --loops. When a process dies, what it
held counts as ended early, the others go on, and the exit code is 1 in the end.

Every --stats-every, Stats: {Active,Closed,Chunks} goes to stderr: connections open
now, connections that failed or ended, chunks received. The result goes to stdout; with
--json it is one JSON object, and so is each progress line on stderr.

--fail-if 'p99>200ms' makes the run fail (exit code 3) if that is so at its end, and --abort-on
'failed>1%' ends it as soon as that is so, looked at each second. One that is about open, failed
or closed_early takes the place of the rule that none may fail or end early. A condition is
METRIC OP VALUE; the metrics, shares in percent of sent or asked included:

` + metricNames(floodMetrics().known(false)) + `

Exit codes: 0 every connection was opened and stayed open (with --reconnect: is open at
the end), 1 one failed or ended early, 2 wrong usage (nothing was opened), 3 a condition of
--fail-if or --abort-on holds, 4 one could not be judged, as its metric was not measured, or
flood itself was the limit (its loops had no time left, no processor, no ports; SYNs were lost;
the generator was later than the server), which the result then says first, 130 interrupted
before the ramp or --hold was over.`,
		Example: `  # the article: a file of URLs, 10 ms from one connection to the next, until Ctrl-C
  cometctl flood urls.txt --interval 10ms

  # 10,000 connections as fast as it goes, held for a minute, the result as JSON
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}' --hold 60s --json

  # 500 connections a second, from the even ids
  seq -f http://localhost:8000/test/%.0f 2 2 20000 | cometctl flood - --rate 500/s

  # 100,000 connections over as many processes as that takes, and with a second machine's help
  cometctl flood 'http://127.0.0.1:8000/test/{1..100000}' --workers auto
  cometctl flood 'http://10.0.0.1:8000/test/{1..100000}' --allow-remote --machines 1 \
    --nats-listen 10.0.0.2:4222 --nats-user anna --nats-password-file secret
  cometctl flood --join nats://10.0.0.2:4222 --allow-remote --nats-user anna --nats-password-file secret

  # browsers with EventSource, while the server is killed and started again
  cometctl flood --as sse --reconnect backoff --respect-retry --resume 'http://127.0.0.1:8000/events/{1..10000}'

  # what do a few bad clients cost the good ones?
  cometctl flood --slow 5%@1KiB/s --stall 1% --slowloris 2% 'http://127.0.0.1:8000/test/{1..10000}'

  # a ramp with a spike; ten thousand that come and go; a crowd that nobody conducts
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}' --ramp '0..10000 in 30s; hold 60s; spike 5000 in 1s; hold 30s; to 0 in 10s'
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}' --lifetime 60s±20s --hold 10m
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}' --arrivals 100/s --lifetime 60s±20s --hold 10m

  # WebSocket, server-sent events, and long poll
  cometctl flood 'ws://127.0.0.1:8000/ws/{1..10000}'
  cometctl flood --as sse 'http://127.0.0.1:8000/events/{1..10000}'
  cometctl flood --as poll 'http://127.0.0.1:8000/poll/{1..10000}?wait=60s'

  cometctl flood --as poll --cursor json:next=0 'http://127.0.0.1:8010/updates/{1..100}?since={cursor}'

  # TLS, with an authority of one's own; and with any certificate
  cometctl flood --ca ca.pem 'https://127.0.0.1:8443/test/{1..1000}'
  cometctl flood --insecure 'wss://127.0.0.1:8443/ws/{1..1000}'

  # a verdict: nothing is lost, and a server that refuses one in a hundred is not flooded any longer
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}' --hold 60s --fail-if 'p99>200ms' \
    --fail-if 'missing>0' --abort-on 'failed>1%'

  # a name and a password; a token for each; a server that wants to be told first
  cometctl flood -H 'X-Client: {run}-{n}' 'http://anna:secret@127.0.0.1:8000/test/{1..100}'
  cometctl flood --subprotocol mqtt --ws-hello '{"subscribe":"{id}"}' 'ws://127.0.0.1:8010/ws/{1..100}'

  # another server: the chunked subscriber of nginx with nchan asks for this field
  cometctl flood -H 'TE: chunked' 'http://127.0.0.1:8010/test/{1..10000}'`,
		Args: cobra.MatchAll(floodArgs, oneOf("interval", "rate", "ramp", "arrivals"), oneOf("nats", "nats-listen")),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.holds = cmd.Flags().Changed("hold")
			if o.fleet.join != "" {
				return runJoin(cmd.Context(), s, o)
			}
			return runFlood(cmd.Context(), s, args, o)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

// add adds the flags.
func (o *floodOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.interval, "interval", "", "open one connection each `time`, such as 10ms")
	f.StringVar(&o.rate, "rate", "", "open connections at this `rate`, such as 500/s")
	f.IntVar(&o.inFlight, "in-flight", 0, fmt.Sprintf("most handshakes at a time (default %d; no bound with --interval, --rate, --arrivals or --ramp but for its steps)", flood.DefaultInFlight))
	f.DurationVar(&o.connectTimeout, "connect-timeout", flood.DefaultConnectTimeout, "from the start of a connection to the whole head of its response")
	f.DurationVar(&o.hold, "hold", 0, "hold the connections for this long; 0 is until Ctrl-C (with --ramp: hold what is open after the last stage; without --hold it ends with that)")
	f.DurationVar(&o.drain, "drain", 0, "read on for so long after the hold: what comes then is late, not missing")
	o.again.add(f)
	o.manners.add(f)
	f.DurationVar(&o.byDue, "by-due", 0, "count messages by due time in steps of this `time`, for the JSON result; 0 is not")
	f.StringVar(&o.run, "run", "", "count only the messages of the run with this `tag` (run.tag in msggen's result), or of runs that begin after this flood (new); those of others are told apart")
	o.hdr.add(f, "latency, service time and send lag")
	f.StringVar(&o.source, "source", "", "connect from these `addresses`, such as 127.0.0.0/8 or 10.0.0.1,10.0.0.2; default: rotate through 127.0.0.0/8 for loopback targets")
	f.StringArrayVarP(&o.header, "header", "H", nil, "a `field` that each request carries, such as 'TE: chunked'; {id}, {n} and {run} are filled; may be given several times, and may replace Host, User-Agent and Accept")
	f.StringVar(&o.as, "as", "", "how http:// URLs are read: sse or poll; default: a response without an end, whatever it is")
	f.StringVar(&o.cursor, "cursor", "", "with --as poll: `where` an answer has what {cursor} is in the next request: header:NAME, json:NAME, or last-modified (as If-Modified-Since); NAME=FIRST for the first one")
	f.StringSliceVar(&o.subprotocols, "subprotocol", nil, "`name` of a subprotocol that WebSockets ask for; several with commas between, the best first")
	f.StringArrayVar(&o.hello, "ws-hello", nil, "`text` of the message that a WebSocket begins with, such as '{\"subscribe\":\"{id}\"}'; may be given several times")
	o.trust.add(f)
	f.Uint64Var(&o.seed, "seed", 0, "of what is drawn: arrivals, lifetimes, how long who waits before it is dialed again; 0 is another one each time, which the result of a ramp tells")
	f.BoolVar(&o.allowRemote, "allow-remote", false, "accept targets that are not loopback addresses")
	f.DurationVar(&o.statsEvery, "stats-every", 10*time.Second, "time between two lines of Stats; 0 is none (with --json: only those at the beginning of a phase)")
	f.StringVar(&o.engine, "engine", "", "epoll or goroutine (default: epoll where there is one, and goroutine for https:// and wss://)")
	f.IntVar(&o.loops, "loops", 1, "number of event loops, each a thread's work")
	f.BoolVar(&o.intervals, "intervals", false, "with --json: each line of progress has interval_us, the latencies since the line before, as counts")
	f.BoolVar(&o.json, "json", false, "print the result, and the progress, as JSON")
	o.judge.add(f)
	o.clock.add(f, "msggen")
	o.shape.add(f)
	o.fleet.add(f)
}

// runFlood checks what was asked for, floods and prints the result.
func runFlood(ctx context.Context, s streams, sources []string, o floodOptions) error {
	cfg, ask, err := floodPlan(sources, s.in, o)
	if err != nil {
		return err
	}
	local, several, err := o.fleet.asked(cfg.Targets.Len())
	if err != nil {
		return err
	}
	show := newFloodView(s.err, o)
	if show.promises, err = parsePromises(floodMetrics(), o.judge); err != nil {
		return err
	}
	if cfg.ClockOffset, err = o.clock.measure(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	show.stop = stop
	log, err := o.hdr.open()
	if err != nil {
		return err
	}
	if log != nil {
		defer log.Close()
		cfg.HDR = flood.NewHDRLog(log, o.hdr.every)
	}
	cfg.Watch, cfg.Every, cfg.Log = show.watch, show.promises.watched(show.every), show.line.println
	var (
		result  flood.Result
		workers []fleet.Worker
	)
	if several {
		var all fleet.Result
		all, err = runFleet(running, o, ask, cfg, local, show)
		result, workers = all.Result, all.Workers
	} else {
		result, err = runAlone(running, cfg)
	}
	show.line.done()
	if errors.Is(err, netloop.ErrEngine) {
		return noEngine(o.engine)
	}
	if err != nil && !errors.Is(err, flood.ErrAllEnded) {
		return err
	}
	judged := show.promises.report(floodEnd{result, show.rate})
	if printErr := printFlood(s.out, result, workers, judged, o.clock.result(ctx), o.json); printErr != nil {
		return printErr
	}
	return promiseError(judged, bottleneckError(result.Client, log.end(floodVerdict(ctx, result, err, o, show.promises))))
}

// floodPlan is what was asked for, checked before anything is opened: the flags' values and every URL.
func floodPlan(sources []string, stdin io.Reader, o floodOptions) (flood.Config, flood.Ask, error) {
	cfg, err := floodConfig(o)
	if err != nil {
		return cfg, flood.Ask{}, err
	}
	ask, err := o.ask()
	if err != nil {
		return cfg, ask, usageError(err)
	}
	rules, err := ask.Rules()
	if err != nil {
		return cfg, ask, usageError(err)
	}
	rules.AllowRemote = o.allowRemote
	if cfg.Targets, err = flood.LoadTargets(sources, stdin, rules); err == nil {
		err = o.fits(cfg.Targets)
	}
	if err != nil {
		return cfg, ask, usageError(err)
	}
	return cfg, ask, nil
}

// runAlone floods in this process.
func runAlone(ctx context.Context, cfg flood.Config) (flood.Result, error) {
	f, err := flood.New(cfg)
	var short *rlimit.Shortage
	if errors.As(err, &short) {
		err = seeDoctor(fmt.Errorf("%w, or spread them over processes (--workers auto)", err), short.Asked)
	}
	if err != nil {
		return flood.Result{}, usageError(err)
	}
	return f.Run(ctx)
}

// ask is how targets are to be asked, by these flags.
func (o *floodOptions) ask() (a flood.Ask, err error) {
	a = flood.Ask{Header: o.header, As: o.as, Cursor: o.cursor, Subprotocols: o.subprotocols, Hello: o.hello,
		Run: o.run}
	if o.run == "" || o.run == "new" {
		a.Run = strconv.FormatUint(uint64(wire.NewRunTag(time.Now(), 0)), 10)
	}
	a.Trust, err = o.trust.trust()
	return a, err
}

// fits refuses flags that say nothing about these targets, or cannot be with them.
func (o *floodOptions) fits(t *flood.Targets) error {
	switch {
	case !t.Secure() && o.trust.given():
		return errors.New("--insecure, --ca, --cert and --key are about TLS; no URL begins with https:// or wss://")
	case !t.WebSocket() && len(o.subprotocols)+len(o.hello) > 0:
		return errors.New("--subprotocol and --ws-hello are for WebSockets; no URL begins with ws:// or wss://")
	case t.Secure() && o.engine == "epoll":
		return errors.New("--engine epoll does not speak TLS, and a URL begins with https:// or wss://; leave it out, or give --engine goroutine")
	}
	return nil
}
