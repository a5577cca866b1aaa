package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cometctl/memlog"
	"cometctl/report"
)

// plotOptions are the flags of plot.
type plotOptions struct {
	output, size, title string
	every               int
	connections         bool
}

func newPlotCmd(s streams) *cobra.Command {
	var o plotOptions
	cmd := &cobra.Command{
		Use:   "plot LOG...",
		Short: "Draw memory logs as PNG, SVG or PDF",
		Long: `plot draws the memory over time from one or more memory logs; - is standard input.

The picture of one log stands beside it, with .png in place of its extension, unless
-o says otherwise. Several logs are laid over each other, each from its own start, with
a legend. Rows that cannot be read are counted, named and skipped. A log of any length
is reduced so that every peak survives. The file's name is printed when it is written;
-o - writes the picture itself to stdout, as PNG.`,
		Example: `  # mochimem.log becomes mochimem.png, 500x300
  cometctl plot mochimem.log

  # every tenth row, as the article's NR%10, with the article's title
  cometctl plot --every 10 --title 'Mem usage with 10k active connections, 1000 msg/sec' mochimem.log

  # before and after, larger, with the connections below
  cometctl plot --connections --size 1000x600 -o engines.svg epoll/mochimem.log goroutine/mochimem.log

  # what is there so far of a log on another machine
  ssh far cat mochimem.log | cometctl plot - -o far.png

  # shown at once, without a file
  cometctl plot mochimem.log -o - | display`,
		Args: someArgs("a memory log such as mochimem.log, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return plot(cmd.Context(), s, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "file to write; .png, .svg or .pdf decides the format, - is PNG to stdout (default the first log's name with .png)")
	f.StringVar(&o.size, "size", "", `width and height in pixels (default "500x300", with --connections "500x450")`)
	f.StringVar(&o.title, "title", "", "title (default made from the number of connections)")
	f.IntVar(&o.every, "every", 1, "draw every N-th row only")
	f.BoolVar(&o.connections, "connections", false, "show established connections in a second panel")
	return cmd
}

func plot(ctx context.Context, s streams, o plotOptions, logs []string) error {
	pic := report.Picture{Title: o.title, Connections: o.connections}
	if o.connections {
		pic.Height = report.DefaultHeight * 3 / 2
	}
	if o.size != "" {
		var err error
		if pic.Width, pic.Height, err = parseSize(o.size); err != nil {
			return usageError(err)
		}
	}
	if err := pic.Check(); err != nil {
		return usageErrorf("--size: %w", err)
	}
	if o.every < 1 {
		return usageErrorf("--every %d: want 1 or more", o.every)
	}
	output, err := plotOutput(o.output, logs)
	if err != nil {
		return usageError(err)
	}
	if output == "-" && isTerminal(s.out) {
		return usageErrorf("-o -: a terminal shows no PNG; pipe it, as in `| display`, or name a file")
	}

	names := report.ShortNames(logs)
	series := make([]*report.Series, len(logs))
	for i, log := range logs {
		if series[i], err = loadLog(ctx, s, log, o.every); err != nil {
			return err
		}
		series[i].Name = names[i]
	}
	if output == "-" {
		return pic.Write(s.out, report.PNG, series...)
	}
	if err := pic.Save(output, series...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, output)
	return err
}

// parseSize reads a size like 500x300.
func parseSize(size string) (width, height int, err error) {
	w, h, ok := strings.Cut(size, "x")
	width, errW := strconv.Atoi(w)
	height, errH := strconv.Atoi(h)
	if !ok || errW != nil || errH != nil || width <= 0 || height <= 0 {
		return 0, 0, fmt.Errorf("--size %q: want WIDTHxHEIGHT in pixels, such as 500x300", size)
	}
	return width, height, nil
}

// plotOutput decides which file is written, and refuses to write over a log.
func plotOutput(output string, logs []string) (string, error) {
	first := logs[0]
	if first == "-" {
		first = "mochimem.log"
	}
	if output == "" {
		output = strings.TrimSuffix(first, filepath.Ext(first)) + ".png"
	}
	if _, err := report.FormatOf(output); err != nil && output != "-" {
		return "", fmt.Errorf("-o %w", err)
	}
	was, _ := os.Stat(output)
	stdin := 0
	for _, log := range logs {
		if log == "-" {
			stdin++
			continue
		}
		if is, err := os.Stat(log); err == nil && was != nil && os.SameFile(is, was) {
			return "", fmt.Errorf("%s is a log and would be overwritten; name another file with -o", output)
		}
	}
	if stdin > 1 {
		return "", fmt.Errorf("- is given %d times, and standard input can be read once", stdin)
	}
	return output, nil
}

// loadLog loads one log and names what is odd about it. An interrupt ends it even where standard input is silent.
func loadLog(ctx context.Context, s streams, log string, every int) (*report.Series, error) {
	in, name := s.in, "stdin"
	if log != "-" {
		f, err := os.Open(log)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, name = f, log
	}
	type result struct {
		series *report.Series
		err    error
	}
	loaded := make(chan result, 1)
	go func() {
		series, err := report.Load(in, every)
		loaded <- result{series, err}
	}()
	select {
	case r := <-loaded:
		warnOfRows(s.err, name, r.series)
		if r.err != nil {
			return nil, fmt.Errorf("%s: %w", name, r.err)
		}
		return r.series, nil
	case <-ctx.Done():
		return nil, errInterrupted
	}
}

// warnOfRows prints one line for the rows that were skipped and one for those whose time goes back.
func warnOfRows(w io.Writer, name string, s *report.Series) {
	var skipped, back []memlog.Warning
	for _, x := range s.Warnings {
		if x.Skipped {
			skipped = append(skipped, x)
		} else {
			back = append(back, x)
		}
	}
	if len(skipped) > 0 {
		fmt.Fprintf(w, "%s: %s skipped, first: line %d: %s\n", name, rows(s.Skipped), skipped[0].Line, skipped[0].Reason)
	}
	if len(back) > 0 {
		fmt.Fprintf(w, "%s: %s drawn as if time stood still, first: line %d: %s\n", name, rows(len(back)), back[0].Line, back[0].Reason)
	}
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return strconv.Itoa(n) + " rows"
}
