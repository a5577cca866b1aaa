// Command cometctl holds very many long-lived connections, feeds them, watches
// what they cost, and gives a verdict.
//
// This package is the user interface and nothing else: flags in, a Config out,
// one call into a package, and the result printed. It is the only place that
// prints, reads flags or exits. One file per command (serve.go, flood.go, ...),
// and besides them:
//
//	run.go      one run from arguments to exit code; signals
//	root.go     the root command and the list of all commands
//	exit.go     exit codes, and the one function that maps errors to them
//	live.go     the live line
//	version.go  what --version says
//
// The rules of the interface stand above the code that keeps them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// streams is what a command may touch of the world outside: its standard
// streams, and the word that it must quit at once. Data goes to out, everything
// else to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer

	// quit is closed at the second signal. A command that owns something which
	// outlives it (soak and its processes) lets go of it then; all others may
	// ignore quit and look at their context only.
	quit <-chan struct{}

	// hangups is for a command that reads files again at SIGHUP.
	hangups *hangups
}

// hangups is what SIGHUP means. It is one of the signals that ask for an end until a command takes it over, as servers do.
type hangups struct{ taken atomic.Bool }

// take returns the SIGHUPs that come from now on; nohup does not keep them away.
func (h *hangups) take() <-chan os.Signal {
	h.taken.Store(true)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// asksForEnd tells whether a signal does.
func (h *hangups) asksForEnd(sig os.Signal) bool { return sig != syscall.SIGHUP || !h.taken.Load() }

// sameSignal is how soon after the first signal another one is still the same word: timeout(1) signals its child and then
// the whole process group, a terminal that closes sends SIGHUP after SIGINT. Nobody presses Ctrl-C twice in that time.
const sameSignal = 50 * time.Millisecond

// quitGrace is how long a command may take to let go of what it owns after the
// second signal.
const quitGrace = 500 * time.Millisecond

// stopSignals returns the signals that ask for an end. SIGHUP is one of them (a
// terminal that closes), unless the caller had it ignored, as nohup does, or a
// command takes it over.
func stopSignals() <-chan os.Signal {
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return c
}

// run runs the command that args name and returns the exit code.
func run(args []string, in io.Reader, out, errw io.Writer, signals <-chan os.Signal) int {
	hup := &hangups{}
	return int(supervise(signals, hup, errw, func(ctx context.Context, quit <-chan struct{}) exitCode {
		return execute(ctx, args, streams{in: in, out: out, err: errw, quit: quit, hangups: hup})
	}))
}

// supervise runs work to its end.
//
// Signals, and this is all there is to them: the first cancels work's context,
// upon which it stops gently and still reports. The second, unless it is the echo of
// the first, closes quit and ends with 130, whatever work is doing. A SIGHUP that work has taken over is none of them.
func supervise(signals <-chan os.Signal, hup *hangups, errw io.Writer, work func(context.Context, <-chan struct{}) exitCode) exitCode {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	quit := make(chan struct{})
	code := make(chan exitCode, 1)
	go func() { code <- work(ctx, quit) }()

	for first, again := (time.Time{}), false; !again; {
		select {
		case c := <-code:
			return c
		case sig := <-signals:
			switch {
			case !hup.asksForEnd(sig):
			case first.IsZero():
				first = time.Now()
				cancel()
			default:
				again = time.Since(first) >= sameSignal
			}
		}
	}
	close(quit)
	select {
	case <-code:
	case <-time.After(quitGrace):
	}
	fmt.Fprintln(errw, "cometctl: interrupted twice, not waiting any longer")
	return exitInterrupted
}

// execute runs one command to its end and prints its error, once.
//
// Everything that cobra refuses before a command's RunE begins (an unknown
// command, an unknown flag, a bad value, a wrong number of arguments) is wrong
// usage. That is decided by where the error arose, not by its words.
func execute(ctx context.Context, args []string, s streams) exitCode {
	began := false
	root := newRootCmd(s, func() { began = true })
	root.SetArgs(args)
	words := &cobraWriter{w: s.out}
	root.SetOut(words)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		err = usageError(err)
	}
	if err == nil {
		err = words.err
	}
	if err != nil {
		printError(s.err, cmd, err)
	}
	return codeOf(err)
}

// cobraWriter is where cobra prints help, versions and completions. It keeps the first error, which cobra forgets for some of
// them and prints itself for others.
type cobraWriter struct {
	w   io.Writer
	err error
}

func (c *cobraWriter) Write(b []byte) (int, error) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
	return len(b), nil
}
