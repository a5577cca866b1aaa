package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"cometctl/flood"
	"cometctl/internal/pace"
	"cometctl/internal/ramp"
)

// shapeOptions are the flags of flood that say when connections come and go.
type shapeOptions struct {
	ramp, lifetime, arrivals string
}

func (o *shapeOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.ramp, "ramp", "", "open and close connections by these `stages`, such as '0..10000 in 30s; hold 60s; spike 5000 in 1s; to 0 in 10s'")
	f.StringVar(&o.lifetime, "lifetime", "", "end each connection after this `time`, such as 60s or 60s±20s (also 60s+-20s: each time in between as likely), and open another one in its place")
	f.StringVar(&o.arrivals, "arrivals", "", "connections come at this `rate`, such as 100/s, each independent of the others, and leave after their --lifetime")
}

// shape turns the flags into a Config's.
func (o *shapeOptions) shape(cfg *flood.Config, hold bool) (err error) {
	if o.ramp != "" {
		if cfg.Ramp, err = ramp.Parse(o.ramp); err != nil {
			return fmt.Errorf("--ramp %w", err)
		}
		cfg.End = !hold
	}
	if o.lifetime != "" {
		if cfg.Lifetime, err = ramp.ParseLifetime(o.lifetime); err != nil {
			return fmt.Errorf("--lifetime %w", err)
		}
	}
	if o.arrivals != "" {
		if cfg.Arrivals, err = pace.Parse(o.arrivals); err == nil && cfg.Arrivals.Unlimited() {
			err = fmt.Errorf("%q is no rate of arrivals; give one such as 100/s", o.arrivals)
		}
		if err != nil {
			return fmt.Errorf("--arrivals %w", err)
		}
		if o.lifetime == "" {
			return fmt.Errorf("--arrivals %s: how long does each stay? Give --lifetime as well, such as --lifetime 60s±20s; about rate times lifetime will be open", o.arrivals)
		}
	}
	return nil
}

// cutShort reports whether a run that was interrupted has not done all that it was to do.
func cutShort(r flood.Result, hold time.Duration) bool {
	switch {
	case hold > 0:
		return true
	case r.Arrivals != nil:
		return false
	case r.Ramp != nil:
		return r.Ramp.Stages[len(r.Ramp.Stages)-1].State != flood.StageOver
	}
	return r.Opened < r.Asked
}

// shapeLines are the rows of the printed result that are about the shape of the load.
func shapeLines(w io.Writer, r flood.Result) {
	if r.Retired > 0 {
		fmt.Fprintf(w, "opened in all\t%d\n", r.Opened)
		fmt.Fprintf(w, "ended by plan\t%d\n", r.Retired)
	}
	if l := r.Lifetime; l != nil {
		fmt.Fprintf(w, "lifetime\t%s asked, %.1f s on average of %d; %d replaced\n", l.Asked, l.MeanS, l.Ended, l.Replaced)
	}
	if a := r.Arrivals; a != nil {
		fmt.Fprintf(w, "arrivals\t%s asked, %.1f/s were due, %.1f/s opened\n", a.Rate, a.DuePerS, a.DonePerS)
		fmt.Fprintf(w, "  open\t%.0f expected, %d in the end\n", a.Expected, a.Open)
		lateLine(w, a.Late, a.LatestMS)
	}
}

func lateLine(w io.Writer, late int, latest float64) {
	if late > 0 {
		fmt.Fprintf(w, "  late\t%d, by this process's own fault: the latest was dialed %.0f ms after it was due\n", late, latest)
	}
}

// rampTable prints what each stage was asked for beside what it came to.
func rampTable(w io.Writer, r flood.Result) error {
	if r.Ramp == nil {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nstage\tasked\topen\tto open\topened\tto close\tclosed\tasked/s\tdone/s\tlate\n")
	for _, s := range r.Ramp.Stages {
		if s.State == flood.StageAhead {
			fmt.Fprintf(t, "%s\t%d\t%s\n", s.Stage, s.Wanted, s.State)
			continue
		}
		name := s.Stage
		if s.State == flood.StageCut {
			name += " (" + s.State + ")"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%d\n", name, s.Wanted, s.Open, s.Opens, s.Opened, s.Closes, s.Closed, orDash(s.PerS), orDash(s.DonePerS), s.Late)
	}
	fmt.Fprintf(t, "seed %d\n", r.Ramp.Seed)
	return t.Flush()
}

func orDash(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", x)
}

// stageText is the beginning of the live line while a ramp is under way, and the number of connections that it wants now.
func stageText(p flood.Progress) string {
	t := fmt.Sprintf("%d of %d open", p.Open, p.Asked)
	switch {
	case p.StageOf != "":
		t = fmt.Sprintf("stage %s, %s: %d of %d open", p.StageOf, p.Stage, p.Open, p.Wanted)
	case p.Stage != "":
		t = fmt.Sprintf("%s: %d open of %d that came", p.Stage, p.Open, p.Asked)
	}
	return t
}
