package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// exitCode is what cometctl tells the shell. The codes are part of the
// interface: scripts branch on them.
type exitCode int

const (
	exitOK           exitCode = 0
	exitFailed       exitCode = 1   // something did not work
	exitUsage        exitCode = 2   // the question was wrong: nothing was started
	exitVerdict      exitCode = 3   // everything ran, and the verdict is fail
	exitInconclusive exitCode = 4   // everything ran, and it shows nothing either way
	exitInterrupted  exitCode = 130 // a signal cut short what was asked for
)

// errInterrupted is returned by a command that a signal cut short: exit code
// 130. A command whose usual end is Ctrl-C (serve, flood without --hold, memlog
// without --duration) returns nil instead.
var errInterrupted = errors.New("interrupted")

// codedError is an error that chose its exit code.
type codedError struct {
	code exitCode
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// usageError marks err as wrong usage: exit code 2. Use it for everything that
// is found out before anything is opened, started or written.
func usageError(err error) error { return &codedError{exitUsage, err} }

// usageErrorf is usageError for a text. Name the flag, the value and the way out.
func usageErrorf(format string, args ...any) error {
	return usageError(fmt.Errorf(format, args...))
}

// codeOf maps a command's error to the exit code. It is the only place that does.
func codeOf(err error) exitCode {
	var coded *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailed
	}
}

// printError prints a command's error.
//
// Rules: one error, printed once, on stderr, as `cometctl COMMAND: what failed,
// with what value, and what to do`. Packages begin their errors with their own
// name; where that is the command's too, it is not said twice. Wrong usage adds
// one line that says where help is.
func printError(w io.Writer, cmd *cobra.Command, err error) {
	text := strings.TrimRight(err.Error(), "\n")
	text = strings.TrimPrefix(strings.TrimPrefix(text, cmd.Name()+": "), "server: ") // serve's package
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), text)
	if codeOf(err) == exitUsage {
		fmt.Fprintf(w, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
}
