package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cometctl/internal/pace"
	"cometctl/internal/promise"
	"cometctl/msggen"
)

// msggenOptions are the flags of msggen that are not simply a field of its Config.
type msggenOptions struct {
	cfg            msggen.Config
	rate, interval string
	load           loadOptions
	body           string
	tokenFile      string
	trust          trustOptions
	nats           natsOptions
	hdr            hdrOptions
	statsEvery     time.Duration
	json           bool
	clock          clockOption
	judge          promiseOptions
	findMax        findMaxOptions
}

func newMsggenCmd(s streams) *cobra.Command {
	var o msggenOptions
	cmd := &cobra.Command{
		Use:   "msggen",
		Short: "Send messages to random ids at a rate",
		Long: `msggen sends stamped messages to random ids through the server's POST /send.

The schedule is absolute: message n is due n/rate after the start, whatever happened
before. What cannot be sent in time is sent as soon as possible and counted as late, never
skipped. A connection that breaks is opened again; what the server did not confirm by then
is counted as unconfirmed and not sent twice.

--rate may be several steps: '1000 for 60s, 5000 for 60s', 'ramp 1000..5000 for 60s' from one rate
to another, 'pause for 5s'; the last may go on without a time. The result has what was asked for
and achieved in each. --burst 50 lets messages come fifty at a time, --poisson at random, with
exponential gaps; both keep the rate. Ids are drawn uniformly, or with --zipf 1.1 (id k in
proportion to k^-1.1), --hot 1%:90% (90 % of the messages to the first 1 % of the ids) or in
turn (--dist sequential); sizes with --size 100..4000; texts come from a file with --lines. All of
it comes from --seed: equal seeds send the same.

--rate and --count are those of all workers together. With --interval, the article's form,
every worker waits so long between two messages and sends --count of them: msggen:start(Num,
Interval, Max) is --count Num --interval Interval --ids Max. The workers take turns.

--to with a method in front, or with a placeholder in it, sends each message to any server
in a request of its own, without waiting for the answers of those before: up to --pipeline
of them on each of --connections. Placeholders in the URL, in --header and in --body are {id},
{msg}, {msg_url} (percent-encoded, for URLs) and {msg_json} (a JSON string, with its quotes).
Answers are counted by status; 2xx is accepted. Other braces stand for themselves, in pairs.

--to may be https://, with --ca, --insecure, or a certificate of ours (--cert, --key), and have
user:password@ in front of its host, which becomes an Authorization field.

--to nats://host:port, with further servers of the same cluster behind commas, publishes
straight to the subjects that the nodes of a cluster listen to, past their POST /send.
Accepted is then what NATS has confirmed; the nodes are asked at the end what they did with
the messages, and what they did not see was in transit, or is lost.

--find-max 'p99<100ms' looks for the highest rate at which that promise holds. msggen starts a
flood on --receive, whose options stand behind --, and sends at --rate for --trial, at twice as
much while it holds, then at rates in between, until the rate that holds and the one that does not
are within --precision; one trial that does not hold is repeated, as it may be chance, and the
rate that is told has held in most of --repeats trials. Unless a promise says otherwise, 99.9 % of the
messages must come. A rate that this machine could not send, or receive, is no limit of the
server's: the exit code is 4 then; 3 says that no rate holds.

It runs until --count or --duration is over or Ctrl-C is pressed, waits up to 10 s for the
last answers, and ends with exit code 1 if anything that was due was not accepted, and with 4
if a rate was not kept since msggen itself had no processor time left.

With --fail-if 'lag_p99>5ms' it ends with 3 if that is so at its end, and --abort-on 'bad>0' ends
it as soon as that is so, looked at each second. One that is about accepted, bad, unconfirmed or
unsent takes the place of the rule that everything must be accepted. Where something was not
measured, the exit code is 4. A condition is METRIC OP VALUE, with shares in percent; the metrics:

` + metricNames(msggenMetrics().known(false)),
		Example: `  # 1000 messages a second to the ids 1 to 10000, until Ctrl-C
  cometctl msggen --rate 1000

  # as fast as it goes for ten seconds, the result as JSON
  cometctl msggen --rate 0 --duration 10s --json

  # steps of load, on a few hot ids, messages of many sizes
  cometctl msggen --rate '1000 for 60s, ramp 1000..5000 for 60s, 5000 for 60s' --hot 1%:90% --size 100..4000

  # the rate at which the bundled server, or nchan, still delivers 99 % within 50 ms
  cometctl msggen --find-max 'p99<50ms'
  cometctl msggen --find-max 'p99<50ms' --to 'POST http://127.0.0.1:8010/send/{id}' --connections 4 --ids 1000 \
    --receive 'http://127.0.0.1:8010/test/{1..1000}' -- -H 'TE: chunked'

  # the article's generator: 100 of msggen:start(1000000, 100, 10000)
  cometctl msggen --workers 100 --interval 100ms --count 1000000 --ids 10000

  # to NATS, which carries the messages to whichever node holds the id
  cometctl msggen --to nats://127.0.0.1:4222,nats://127.0.0.1:4223 --rate 1000 --duration 1m

  # other servers: nginx with nchan, mochiweb, and one that takes JSON
  cometctl msggen --to 'POST http://127.0.0.1:8010/send/{id}' --rate 200
  cometctl msggen --to 'GET http://127.0.0.1:8000/send/{id}?{msg_url}' --rate 200
  cometctl msggen --to 'PUT http://127.0.0.1:8080/pub' -H 'Content-Type: application/json' \
    --body '{"channel":"{id}","text":{msg_json}}' --connections 4`,
		Args: cobra.MatchAll(msggenArgs, oneOf("rate", "interval")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.given(cmd.Flags().Changed); err != nil {
				return err
			}
			if o.findMax.floodOptions = args; o.findMax.asked() {
				return runFindMax(cmd.Context(), s, o)
			}
			if err := o.findMax.unasked(); err != nil {
				return usageError(err)
			}
			return runMsggen(cmd.Context(), s, o)
		},
	}
	o.add(cmd.Flags())
	o.judge.add(cmd.Flags())
	o.clock.add(cmd.Flags(), "flood")
	o.findMax.add(cmd.Flags())
	return cmd
}

// given takes in what matters only if it was given; changed says whether a flag was.
func (o *msggenOptions) given(changed func(flag string) bool) error {
	if changed("body") {
		o.cfg.Body = &o.body
	}
	for name, n := range map[string]int{"connections": o.cfg.Connections, "pipeline": o.cfg.Pipeline} {
		if n < 1 && changed(name) {
			return usageErrorf("--%s %d: there must be one at least", name, n)
		}
	}
	return nil
}

// add adds the flags.
func (o *msggenOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.rate, "rate", "1000", "`rate` of messages, all workers together: 1000, 500/s, 30/m, or steps of them: '1000 for 60s, 5000 for 60s'; 0 is as fast as it goes")
	f.StringVar(&o.interval, "interval", "", "instead of --rate: `time` between two messages of a worker, such as 100ms")
	f.IntVar(&o.cfg.Workers, "workers", 1, "connections, each with its own random ids and sequence numbers")
	f.Uint64Var(&o.cfg.Count, "count", 0, "stop after so many messages (with --interval: so many of each worker); 0 is no limit")
	f.DurationVar(&o.cfg.Duration, "duration", 0, "stop when what is due in this time is sent; 0 is no limit")
	f.IntVar(&o.cfg.IDs, "ids", 10_000, "messages go to the ids 1 to N")
	f.Uint64Var(&o.cfg.Seed, "seed", 1, "of the random ids, sizes and times")
	o.load.add(f)
	f.StringVar(&o.cfg.To, "to", "http://127.0.0.1:8001/send", "`URL` of the server's POST /send (the path may be left out), or METHOD URL of any server, with {id} and {msg_url} in it, or nats://host:port[,nats://host:port]")
	f.StringArrayVarP(&o.cfg.Header, "header", "H", nil, "with METHOD URL: a `field` of each request, such as 'Content-Type: text/plain'; may be given several times")
	f.StringVar(&o.body, "body", "", "with METHOD URL: the `body` of each request (default {msg} for POST, PUT and PATCH, none for others)")
	f.IntVar(&o.cfg.Connections, "connections", 0, "with METHOD URL: connections that are kept, of all workers together (default one each)")
	f.IntVar(&o.cfg.Pipeline, "pipeline", 0, fmt.Sprintf("with METHOD URL: requests of a connection that wait for their answers, at most; 1 is no pipelining (default %d)", msggen.DefaultPipeline))
	addTokenFlag(f, &o.tokenFile)
	o.trust.add(f)
	o.nats.add(f)
	f.BoolVar(&o.cfg.AllowRemote, "allow-remote", false, "allow a target that is no loopback address")
	f.DurationVar(&o.cfg.ByDue, "by-due", 0, "count what was sent by the time at which it was due, in `steps` such as 100ms, for --json; 0 is none")
	o.hdr.add(f, "the lag")
	f.DurationVar(&o.statsEvery, "stats-every", 10*time.Second, "time between two lines of progress; 0 is none")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object, and progress as JSON lines on stderr")
}

// runMsggen checks the flags' values, sends, and prints what became of it.
func runMsggen(ctx context.Context, s streams, o msggenOptions) error {
	cfg, err := o.config()
	if err != nil {
		return usageError(err)
	}
	judge, err := parsePromises(msggenMetrics(), o.judge)
	if err != nil {
		return err
	}
	if cfg.ClockOffset, err = o.clock.measure(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	log, err := o.hdr.open()
	if err != nil {
		return err
	}
	if log != nil {
		defer log.Close()
		cfg.HDR, cfg.HDREvery = log, o.hdr.every
	}
	live := newLive(s.err, 0, time.Now)
	o.watch(&cfg, s, live, judge, stop)
	res, err := msggen.Run(running, cfg)
	live.done()
	if err == nil && ctx.Err() != nil && (cfg.Count > 0 || cfg.Duration > 0) {
		err = errInterrupted
	}
	if res.Run.Start.IsZero() {
		return err
	}
	judged := judge.report(res)
	if err := o.print(s, res, judged, o.clock.result(ctx)); err != nil {
		return err
	}
	if excused(err, res, judge) {
		err = nil
	}
	return promiseError(judged, bottleneckError(res.Client, log.end(err)))
}

// watch makes the run show its progress, and end when a promise is broken.
func (o msggenOptions) watch(cfg *msggen.Config, s streams, live *live, judge *promises[msggen.Result, msggen.Progress], stop func()) {
	show, every := func(msggen.Progress) {}, o.statsEvery
	switch {
	case every == 0:
	case o.json:
		progress := json.NewEncoder(s.err)
		show = func(p msggen.Progress) { _ = progress.Encode(p) } // a stderr that is gone has no reader
	default:
		if live.terminal() {
			every = min(every, time.Second)
		}
		show = func(p msggen.Progress) { live.update("msggen", msggenText(p)) }
	}
	cfg.ProgressEvery = judge.watched(every)
	shown := time.Now()
	cfg.Progress = func(p msggen.Progress) {
		judge.watch(p, stop)
		if now := time.Now(); now.Sub(shown) > every-cfg.ProgressEvery/2 { // falls due with the look that comes closest
			shown = now
			show(p)
		}
	}
}

// print prints the result, and what became of the promises.
func (o msggenOptions) print(s streams, res msggen.Result, judged *promise.Report, clock *clockResult) error {
	if o.json {
		return json.NewEncoder(s.out).Encode(struct {
			msggen.Result
			Promises *promise.Report `json:"promises,omitempty"`
			Clock    *clockResult    `json:"clock,omitempty"`
		}{res, judged, clock})
	}
	return errors.Join(printMsggen(s.out, o.asked(), res), clock.print(s.out), printPromises(s.out, judged))
}

// msggenText is the live line. A stream's messages are accepted when the server answers it, at its end:
// until then a number of them would only alarm.
func msggenText(p msggen.Progress) string {
	accepted := ""
	if p.Accepted > 0 {
		accepted = fmt.Sprintf("%d accepted, ", p.Accepted)
	}
	return fmt.Sprintf("%d sent, %s%d late, %.0f/s", p.Sent, accepted, p.Late, p.Rate)
}

// config is the package's configuration for these flags.
func (o *msggenOptions) config() (msggen.Config, error) {
	cfg := o.cfg
	if cfg.Workers < 1 {
		return cfg, fmt.Errorf("--workers %d: there must be one at least", cfg.Workers)
	}
	if o.statsEvery < 0 {
		return cfg, fmt.Errorf("--stats-every %v: give a time, or 0 for no lines of progress", o.statsEvery)
	}
	var err error
	if cfg.Authorization, err = authorization(o.tokenFile); err != nil {
		return cfg, err
	}
	if cfg.Trust, err = o.trust.trust(); err != nil {
		return cfg, err
	}
	if cfg.NATS, err = o.nats.connect(nil); err != nil {
		return cfg, err
	}
	if err := o.load.apply(&cfg); err != nil {
		return cfg, err
	}
	if o.interval == "" {
		if cfg.Rate, cfg.Steps, err = parseRate(o.rate); err != nil {
			return cfg, fmt.Errorf("--rate %w", err)
		}
		return cfg, cfg.Check()
	}
	each, err := pace.ParseInterval(o.interval)
	if err != nil {
		return cfg, fmt.Errorf("--interval %w", err)
	}
	cfg.Rate = each.Times(uint64(cfg.Workers))
	over, count := bits.Mul64(cfg.Count, uint64(cfg.Workers))
	if over != 0 {
		return cfg, fmt.Errorf("--count %d of each of %d workers: that is more than can be counted", cfg.Count, cfg.Workers)
	}
	cfg.Count = count
	return cfg, cfg.Check()
}

// printMsggen prints the result for people.
func printMsggen(w io.Writer, asked string, r msggen.Result) error {
	if err := printBottleneck(w, r.Client); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sent      %d at %.1f/s (asked: %s), %d never sent\n", r.Sent, r.Rate, asked, r.Unsent)
	fmt.Fprintf(&b, "accepted  %d, %d refused as bad, %d unconfirmed, %d reconnects\n",
		r.Accepted, r.Bad, r.Unconfirmed, r.Reconnects)
	fmt.Fprintf(&b, "took      %.1f s%s\n", r.Run.Elapsed, beside(r.Asked.Duration, "%.4g s"))
	if r.Asked.Rate > 0 { // or else nothing can be late
		fmt.Fprintf(&b, "late      %d by more than %v\n", r.Late, msggen.LateAfter)
		fmt.Fprintf(&b, "lag ms    p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f\n",
			r.Lag.P50, r.Lag.P90, r.Lag.P99, r.Lag.P999, r.Lag.Max)
	}
	printSteps(&b, r.Steps)
	if l := r.Ledger; l != nil {
		fmt.Fprintf(&b, "ledger    delivered %d  offline %d  dropped %d  gone %d  pending %d",
			l.Delivered, l.Offline, l.Dropped, l.Gone, l.Pending)
		if l.Forwarded > 0 && r.Run.Origin == "" {
			fmt.Fprintf(&b, "  forwarded to other nodes %d", l.Forwarded)
		}
		if l.Unpublished > 0 {
			fmt.Fprintf(&b, "  not published %d", l.Unpublished)
		}
		b.WriteString("\n")
	}
	if l := r.Ledger; l != nil && r.Run.Origin != "" {
		fmt.Fprintf(&b, "nodes     forwarded %d  received %d  overrun %d, %d in transit or lost\n",
			l.Forwarded, l.Received, l.Overrun, l.Forwarded-min(l.Received+l.Overrun, l.Forwarded))
		if r.Unheard > 0 {
			fmt.Fprintf(&b, "unheard   %d words of NATS that nobody wanted a message came too fast: those were offline, not forwarded\n", r.Unheard)
		}
	}
	if r.Status != nil {
		b.WriteString("answers ")
		for code, n := range r.Status {
			if n > 0 {
				fmt.Fprintf(&b, "  %d: %d", code, n)
			}
		}
		fmt.Fprintf(&b, "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
