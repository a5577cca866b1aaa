package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

func TestFirstSignalStopsGently(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	var errs bytes.Buffer
	got := supervise(signals, &hangups{}, &errs, func(ctx context.Context, quit <-chan struct{}) exitCode {
		<-ctx.Done()
		select {
		case <-quit:
			t.Error("quit is closed after one signal")
		default:
		}
		return exitVerdict // what it still reports is what counts
	})
	if got != exitVerdict || errs.Len() != 0 {
		t.Errorf("code %d, stderr %q; want the command's own code and silence", got, errs.String())
	}
}

func TestSecondSignalQuits(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		t.Run(fmt.Sprintf("obeys=%v", obeys), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan os.Signal, 2)
				signals <- os.Interrupt
				go func() {
					time.Sleep(sameSignal)
					signals <- os.Interrupt
				}()
				end := make(chan struct{})
				letGo := false
				var errs bytes.Buffer
				got := supervise(signals, &hangups{}, &errs, func(ctx context.Context, quit <-chan struct{}) exitCode {
					<-quit
					letGo = obeys
					if !obeys {
						<-end
					}
					return exitOK
				})
				if got != exitInterrupted {
					t.Errorf("code %d, want 130", got)
				}
				if letGo != obeys {
					t.Error("the command had no time to let go of what it owns")
				}
				if !strings.Contains(errs.String(), "interrupted twice") {
					t.Errorf("stderr %q", errs.String())
				}
				close(end)
			})
		})
	}
}

// timeout(1) sends its signal twice, which is not impatience.
func TestEchoOfASignalIsNotASecondOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		signals <- os.Interrupt
		signals <- os.Interrupt
		var errs bytes.Buffer
		got := supervise(signals, &hangups{}, &errs, func(ctx context.Context, quit <-chan struct{}) exitCode {
			<-ctx.Done()
			time.Sleep(time.Second) // its report takes a while
			return exitOK
		})
		if got != exitOK || errs.Len() != 0 {
			t.Errorf("code %d, stderr %q", got, errs.String())
		}
	})
}

// SIGHUP ends a command, but for one that has taken it over.
func TestHangup(t *testing.T) {
	for _, takes := range []bool{false, true} {
		signals := make(chan os.Signal) // who sends here knows that it was looked at
		hup := &hangups{}
		var errs bytes.Buffer
		got := supervise(signals, hup, &errs, func(ctx context.Context, quit <-chan struct{}) exitCode {
			if takes {
				hup.take()
				for range 3 {
					signals <- syscall.SIGHUP
				}
				if ctx.Err() != nil {
					t.Error("SIGHUP has ended the command")
				}
				signals <- os.Interrupt
			} else {
				signals <- syscall.SIGHUP
			}
			<-ctx.Done()
			return exitOK
		})
		if got != exitOK || errs.Len() > 0 {
			t.Errorf("takes it: %t: code %d, %q", takes, got, errs.String())
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want exitCode
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailed},
		{usageErrorf("--rate %d", 1), exitUsage},
		{fmt.Errorf("soak: %w", usageErrorf("x")), exitUsage},
		{errInterrupted, exitInterrupted},
		{fmt.Errorf("flood: %w", context.Canceled), exitInterrupted},
		{context.DeadlineExceeded, exitFailed},
		{&codedError{exitInconclusive, context.Canceled}, exitInconclusive},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("codeOf(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestPrintError(t *testing.T) {
	root := &cobra.Command{Use: "cometctl"}
	flood := &cobra.Command{Use: "flood"}
	root.AddCommand(flood)
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("flood: 3 connections failed"), "cometctl flood: 3 connections failed\n"},
		{errors.New("3 connections failed\n"), "cometctl flood: 3 connections failed\n"},
		{usageErrorf("--rate -1: must not be negative"),
			"cometctl flood: --rate -1: must not be negative\nRun 'cometctl flood --help' for usage.\n"},
	} {
		var b bytes.Buffer
		printError(&b, flood, c.err)
		if b.String() != c.want {
			t.Errorf("%v is printed as\n%swant\n%s", c.err, b.String(), c.want)
		}
	}
}

// Every command keeps to the rules that root.go states.
func TestCommandsKeepTheRules(t *testing.T) {
	for _, g := range commands(streams{}) {
		for _, c := range g.commands {
			if c.RunE == nil || c.Run != nil {
				t.Errorf("%s: it has RunE, never Run", c.Name())
			}
			if c.Short == "" || c.Example == "" {
				t.Errorf("%s: Short and Example are filled in", c.Name())
			}
			if c.Args == nil {
				t.Errorf("%s: Args says how many arguments there are", c.Name())
			}
		}
	}
}

// A PNG on a terminal helps nobody, and may leave it unusable.
func TestNoPictureOnATerminal(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil || !isTerminal(tty) {
		t.Skip("there is no terminal to be had")
	}
	defer tty.Close()
	var errs bytes.Buffer
	if code := run([]string{"plot", "none.log", "-o", "-"}, strings.NewReader(""), tty, &errs, nil); code != 2 || !strings.Contains(errs.String(), "-o -: a terminal shows no PNG") {
		t.Errorf("code %d, %s", code, errs.String())
	}
}
