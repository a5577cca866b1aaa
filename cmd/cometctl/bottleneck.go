package main

import (
	"fmt"
	"io"
	"strings"

	"cometctl/internal/strain"
)

// A client that was the limit of what it measured says so before anything else, and ends with exit code 4, whatever else there is to
// say: its figures show nothing about the server.

// printBottleneck says what a client was short of, if it was.
func printBottleneck(w io.Writer, c strain.Client) error {
	if len(c.Bottleneck) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("INCONCLUSIVE: the client was the limit, not the server\n")
	for _, s := range c.Bottleneck {
		fmt.Fprintf(&b, "  - %s\n", s)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// bottleneckError is the error of a client that was the limit; own is what else there is to say.
func bottleneckError(c strain.Client, own error) error {
	if len(c.Bottleneck) == 0 || codeOf(own) == exitInterrupted {
		return own
	}
	err := fmt.Errorf("the client was the limit: %s", strings.TrimSuffix(strings.Join(c.Bottleneck, " "), "."))
	if own != nil {
		err = fmt.Errorf("%w; besides: %w", err, own)
	}
	return &codedError{exitInconclusive, err}
}
