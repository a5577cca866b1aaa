package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"

	"cometctl/internal/loglimit"
)

// logOptions say how serve logs, to stderr. A worker is told them.
type logOptions struct {
	Format  string // "text" or "json"
	Verbose bool
}

func (o *logOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.Format, "log", "text", "`format` of the log on stderr: text or json")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "log why each connection ended")
}

// open makes the log. It lets ten messages of a kind through and then sums up, but for those of --verbose; end tells what is not summed up yet.
func (o *logOptions) open(w io.Writer) (log *slog.Logger, end func(), err error) {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.Verbose {
		opts.Level = slog.LevelDebug
	}
	var to slog.Handler
	switch o.Format {
	case "text":
		to = slog.NewTextHandler(w, opts)
	case "json":
		to = slog.NewJSONHandler(w, opts)
	default:
		return nil, nil, fmt.Errorf(`--log %q: use "text" or "json"`, o.Format)
	}
	h := loglimit.New(to)
	return slog.New(h), h.Close, nil
}
