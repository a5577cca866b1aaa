package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"cometctl/flood"
)

// hdrOptions are the flags about the log of distributions.
type hdrOptions struct {
	file  string
	every time.Duration
}

func (o *hdrOptions) add(f *pflag.FlagSet, what string) {
	f.StringVar(&o.file, "hdr", "", "log the distribution of "+what+" in each interval to this `file`, in HdrHistogram's interval log format, as the run goes on")
	f.DurationVar(&o.every, "hdr-interval", flood.DefaultInterval, "with --hdr: `time` from one line of the log to the next")
}

// hdrFile is a log that remembers what went wrong with it: a run does not end for that.
type hdrFile struct {
	*os.File
	failed error
}

// open makes the file, and returns nil where none is wanted.
func (o *hdrOptions) open() (*hdrFile, error) {
	if o.every <= 0 {
		return nil, usageErrorf("--hdr-interval %v: give a time of more than zero, such as 1s", o.every)
	}
	if o.file == "" {
		return nil, nil
	}
	file, err := os.Create(o.file)
	if err != nil {
		return nil, usageErrorf("--hdr: %w", err)
	}
	return &hdrFile{File: file}, nil
}

// Write implements io.Writer.
func (f *hdrFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.failed = cmp.Or(f.failed, err)
	return n, err
}

// end closes the log, and returns the command's own error, or what is wrong with the log, or both. It may be called without a log.
func (f *hdrFile) end(own error) error {
	if f == nil {
		return own
	}
	failed := cmp.Or(f.failed, f.Close())
	switch {
	case failed == nil:
		return own
	case own == nil:
		return fmt.Errorf("--hdr: the log is not whole: %w", failed)
	}
	return fmt.Errorf("%w; besides, the log of --hdr is not whole: %w", own, failed)
}
