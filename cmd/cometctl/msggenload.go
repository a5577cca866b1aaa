package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"cometctl/internal/pace"
	"cometctl/msggen"
)

// loadOptions are the flags of msggen that say what its load looks like: to whom, how large, what it says, and how it comes.
type loadOptions struct {
	dist, hot, size, lines string
	zipf                   float64
	burst                  int
	poisson                bool

	flags *pflag.FlagSet // to know which were given
}

func (o *loadOptions) add(f *pflag.FlagSet) {
	o.flags = f
	f.StringVar(&o.dist, "dist", "uniform", "how messages are spread over the ids: uniform, zipf, sequential or hot")
	f.Float64Var(&o.zipf, "zipf", msggen.DefaultZipf, "of --dist zipf: the `exponent`, above 0; id k gets messages in proportion to k^-exponent")
	f.StringVar(&o.hot, "hot", "1%:90%", "of --dist hot: `IDS%:MESSAGES%`, so many of the messages go to the first so many of the ids")
	f.StringVar(&o.size, "size", "0", "pad messages to so many `bytes`, the stamp included, or to sizes in between with 100..4000; 0 is as they come")
	f.StringVar(&o.lines, "lines", "", "messages are the lines of this `file` in turn, any UTF-8, each with its stamp behind it")
	f.IntVar(&o.burst, "burst", 1, "messages come so many at a time; the rate is kept")
	f.BoolVar(&o.poisson, "poisson", false, "messages, or bursts, come at random, with exponential gaps; the rate is kept")
}

// apply sets what the flags say, and reads the file of lines.
func (o *loadOptions) apply(cfg *msggen.Config) error {
	var err error
	if cfg.Dist.Kind, err = o.kind(); err != nil {
		return err
	}
	if cfg.Dist.Zipf = o.zipf; o.zipf == 0 {
		return fmt.Errorf("--zipf 0: the exponent must be above 0; all ids alike are --dist uniform")
	}
	if cfg.Dist.Hot, err = msggen.ParseHot(o.hot); err != nil {
		return fmt.Errorf("--hot %w", err)
	}
	if cfg.Size, cfg.SizeTo, err = msggen.ParseSize(o.size); err != nil {
		return fmt.Errorf("--size %w", err)
	}
	if o.burst < 1 {
		return fmt.Errorf("--burst %d: there must be one message at least", o.burst)
	}
	cfg.Burst, cfg.Poisson = o.burst, o.poisson
	if cfg.Burst == 1 {
		cfg.Burst = 0
	}
	if o.lines == "" {
		return nil
	}
	text, err := os.ReadFile(o.lines)
	if err != nil {
		return fmt.Errorf("--lines: %w", err)
	}
	if cfg.Lines, err = msggen.ParseLines(text); err != nil {
		return fmt.Errorf("--lines %s: %w", o.lines, err)
	}
	return nil
}

// kind is the distribution: --zipf and --hot say which one they are of.
func (o *loadOptions) kind() (msggen.DistKind, error) {
	kind, err := msggen.ParseDist(o.dist)
	if err != nil {
		return kind, fmt.Errorf("--dist %w", err)
	}
	for _, k := range []msggen.DistKind{msggen.DistZipf, msggen.DistHot} {
		switch {
		case !o.flags.Changed(string(k)) || kind == k:
		case kind == msggen.DistUniform && !o.flags.Changed("dist"), kind == msggen.DistUniform && o.dist == "":
			kind = k
		default:
			return kind, fmt.Errorf("--%s and --dist %s exclude each other; give one of them", k, kind)
		}
	}
	return kind, nil
}

// parseRate reads --rate: one rate, or steps.
func parseRate(text string) (pace.Rate, pace.Steps, error) {
	if !strings.ContainsAny(text, " ,") {
		rate, err := pace.Parse(text)
		return rate, pace.Steps{}, err
	}
	steps, err := pace.ParseSteps(text)
	return pace.Rate{}, steps, err
}

// asked is the schedule in words, for the result. The flags are good ones.
func (o *msggenOptions) asked() string {
	var text string
	if o.interval != "" {
		each, _ := pace.ParseInterval(o.interval)
		text = each.Times(uint64(o.cfg.Workers)).String()
	} else if rate, steps, _ := parseRate(o.rate); len(steps.All()) > 0 {
		text = steps.String()
	} else {
		text = rate.String()
	}
	if o.load.burst > 1 {
		text += fmt.Sprintf(" in bursts of %d", o.load.burst)
	}
	if o.load.poisson {
		text += ", Poisson"
	}
	return text
}

// printSteps prints what was asked for and what came of it, a line for each step of the schedule.
func printSteps(w io.Writer, steps []msggen.Step) {
	if len(steps) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "step\tfrom\tfor\tasked\tsent\tasked/s\tsent/s\tlate\tlag p99 ms")
	for _, s := range steps {
		fmt.Fprintf(t, "%s\t%v\t%v\t%d\t%d\t%.1f\t%.1f\t%d\t%.3f\n", s.Step, seconds(s.Begin), seconds(s.For), s.Asked, s.Sent, s.AskedRate, s.Rate, s.Late, s.Lag.P99)
	}
	t.Flush()
}

// seconds is for people: to the millisecond.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
